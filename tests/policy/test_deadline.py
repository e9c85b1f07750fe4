import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.deadline import as_timeout, time_left


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"250m", 0.25),
        (b"1S", 1.0),
        (b"2M", 120.0),
        (b"3H", 10800.0),
        (b"500u", 0.0005),
        (b"99999999n", 0.099999999),
        (b"1500", 1.5),
        (b"0", 0.0),
        (b"00000001S", 1.0),
    ],
)
def test_a_time_is_read(value: bytes, seconds: float) -> None:
    assert time_left(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [b"", b"m", b"-1m", b"1.5S", b"1s", b"1h", b"1 m", b"1mm", b"123456789m", b"1m,2m", b"1e3",
     b"\xd9\xa1m", b"0x1m", b"inf", b"1m\n"],
)  # fmt: skip
def test_whatever_else_is_said_is_nothing(value: bytes) -> None:
    assert time_left(value) is None


@pytest.mark.parametrize(
    ("seconds", "like", "written"),
    [
        (0.25, b"300m", b"250m"),
        (0.2599, b"1S", b"259m"),
        (1.5, b"2000", b"1500"),
        (0.0001, b"1S", b"1m"),
        (0.0001, b"7", b"1"),
        (200_000.0, b"9H", b"200000S"),
        (99_999_999 * 3600.0, b"99999999H", b"99999999H"),
    ],
)
def test_what_is_left_is_written_in_the_caller_s_form(
    seconds: float, like: bytes, written: bytes
) -> None:
    assert as_timeout(seconds, like) == written


@given(st.from_regex(rb"[0-9]{1,8}[HMSmun]?", fullmatch=True), st.floats(0.001, 1.0))
def test_what_is_written_is_read_as_no_more_than_was_left(value: bytes, spent: float) -> None:
    left = time_left(value)
    assert left is not None
    if left > spent + 0.001:
        read = time_left(as_timeout(left - spent, value))
        assert read is not None
        assert 0.0 < read <= left - spent + 1e-6
