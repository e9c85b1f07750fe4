import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.grammar import Field
from proxy.wire.rate_advice import LEAST_BURST, read_rate_advice
from proxy.wire.rate_limit import share_fields


def fields(lines: bytes) -> list[Field]:
    return [
        (name, value.strip())
        for name, _, value in (line.partition(b":") for line in lines.splitlines())
    ]


def advice(lines: bytes, status: int = 200) -> tuple[float | None, float, float] | None:
    read = read_rate_advice(status, fields(lines))
    return None if read is None else (read.rate, read.burst, read.hold)


@pytest.mark.parametrize("share", [0.001, 0.7, 3.3, 65.4, 250.0, 1e6])
def test_a_share_is_read_as_it_was_told_to_a_hundredth(share: float) -> None:
    read = read_rate_advice(200, fields(share_fields("front/shared", b"one", share, 0.0)))
    assert read is not None
    assert read.rate is not None
    assert read.rate == pytest.approx(share, rel=0.01)
    assert read.rate <= share
    assert read.burst >= LEAST_BURST
    assert read.hold == 0.0


def test_a_share_goes_before_all_that_a_refusal_says_besides() -> None:
    lines = (
        b"Retry-After: 6\r\n"
        b'RateLimit-Policy: "one-buyer";q=2;w=1\r\n'
        b'RateLimit: "one-buyer";r=0;t=3\r\n'
    ) + share_fields("front/shared", b"one", 50.0, 0.4)
    assert advice(lines, 429) == (50.0, 5.0, 0.0)
    assert advice(lines, 503) == (50.0, 5.0, 0.0)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # What is left, until its end; a tenth of it at once.
        (
            b'RateLimit-Policy: "default";q=100;w=60\r\nRateLimit: "default";r=50;t=25',
            (2.0, 5.0, 0.0),
        ),
        (b'RateLimit: "default";r=50;t=25', (2.0, 5.0, 0.0)),
        (b'ratelimit: "default";r=5;t=25', (0.2, 1.0, 0.0)),
        (b'RateLimit-Policy: "default";q=120;w=60', (2.0, 12.0, 0.0)),
        # Nothing left: a pause.
        (b'RateLimit-Policy: "a";q=100;w=60\r\nRateLimit: "a";r=0;t=25', (None, 1.0, 25.0)),
        (b'RateLimit-Policy: "a";q=100;w=60\r\nRateLimit: "a";r=0', (None, 1.0, 60.0)),
        (b'RateLimit-Policy: "a";q=0;w=10', (None, 1.0, 10.0)),
        # The slowest counts; of several lines too.
        (b'RateLimit-Policy: "a";q=100;w=1, "b";q=120;w=60', (2.0, 12.0, 0.0)),
        (b'RateLimit-Policy: "a";q=100;w=1\r\nRateLimit-Policy: "b";q=120;w=60', (2.0, 12.0, 0.0)),
        (b'RateLimit: "a";r=100;t=1, "b";r=0;t=7', (100.0, 10.0, 7.0)),
    ],
)
def test_a_strangers_limits_are_read(
    lines: bytes, expected: tuple[float | None, float, float]
) -> None:
    assert advice(lines) == expected


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"Content-Type: text/html",
        b"RateLimit-Policy: 100",
        b'RateLimit-Policy: "a"',
        b'RateLimit-Policy: "a";q=100',
        b'RateLimit-Policy: "a";q=100;w=0',
        b'RateLimit-Policy: "a";q=-1;w=1',
        b'RateLimit-Policy: "a";q=1.5;w=1',
        b'RateLimit-Policy: "a";q="1";w=1',
        b'RateLimit-Policy: "a";q=?1;w=1',
        b'RateLimit-Policy: "a";q=99999999999999999999;w=1',
        b'RateLimit-Policy: "a;q=100;w=1',
        b'RateLimit: "a";r=5',
        b'RateLimit: "a";t=5',
        b'RateLimit: "a";r=0',
        # Bytes, or requests at a time; and of whom is not known.
        b'RateLimit-Policy: "a";q=100;w=1;qu="content-bytes"',
        b'RateLimit-Policy: "a";q=1;w=1;pk=:YnV5ZXI=:\r\nRateLimit: "a";r=0;t=9',
        b"Retry-After: 5",
    ],
)
def test_what_says_nothing_or_nonsense_is_passed_over(lines: bytes) -> None:
    assert advice(lines) is None


@pytest.mark.parametrize(
    ("value", "hold"),
    [
        (b"5", 5.0),
        (b"999999", 999999.0),
        (b"Mon, 23 Nov 2026 10:00:30 GMT", 30.0),
        (b"Mon, 23 Nov 2026 09:00:30 GMT", 0.0),
        (b"-5", 0.0),
        (b"5.5", 0.0),
        (b"soon", 0.0),
        (b"9" * 16, 0.0),
        (b"\xb2", 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_may_ask_for_a_pause(value: bytes, hold: float, status: int) -> None:
    lines = b"Date: Mon, 23 Nov 2026 10:00:00 GMT\r\nRetry-After: " + value
    assert advice(lines, status) == ((None, 1.0, hold) if hold else None)


def test_two_pauses_are_nonsense_and_a_date_without_the_responses_own_says_nothing() -> None:
    assert advice(b"Retry-After: 5\r\nRetry-After: 6", 429) is None
    assert advice(b"Retry-After: Mon, 23 Nov 2026 10:00:30 GMT", 429) is None


@given(
    st.integers(200, 599),
    st.lists(
        st.tuples(
            st.sampled_from([b"RateLimit", b"RateLimit-Policy", b"Retry-After", b"Date"]),
            st.binary(max_size=60)
            | st.from_regex(rb'"[a-z]";[qrtw]=[0-9]{1,15};[qrtw]=[0-9]{1,15}', fullmatch=True),
        ),
        max_size=6,
    ),
)
def test_whatever_is_said_the_advice_is_a_number_above_zero(status: int, said: list[Field]) -> None:
    read = read_rate_advice(status, said)
    if read is not None:
        assert read.rate is None or read.rate > 0.0
        assert read.burst >= 1.0
        assert read.hold >= 0.0
