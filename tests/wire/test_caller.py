import pytest

from proxy.wire.caller import LARGEST_DEMAND, caller_field, read_caller


def value(line: bytes) -> bytes:
    assert line.startswith(b"Planb-Caller: ")
    return line[14:]


@pytest.mark.parametrize("demand", [0.0, 41.5, 123456.0])
def test_what_is_written_is_read(demand: float) -> None:
    assert read_caller(value(caller_field(b"8f14e45fceea167a", demand))) == (
        b"8f14e45fceea167a",
        demand,
    )


def test_demands_have_an_end() -> None:
    assert read_caller(value(caller_field(b"a", 1e300))) == (b"a", LARGEST_DEMAND)
    assert read_caller(b'"a";demand=999999999999999') == (b"a", LARGEST_DEMAND)


@pytest.mark.parametrize("said", [b'"a"', b'"a";x=1', b'"a";demand=-2'])
def test_a_caller_need_not_say_what_it_wants(said: bytes) -> None:
    caller = read_caller(said)
    assert caller is not None
    assert caller[0] == b"a"
    assert caller[1] < 0.0


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b'"";demand=1',
        b'"a b";demand=1',
        b'"' + b"a" * 65 + b'"',
        b'"a", "b"',
        b'"a";demand',
        b'"a";demand="9"',
        b'"a";demand=nan',
        b'"a";demand=1e9',
        b"7;demand=1",
    ],
)
def test_anything_else_is_nobody(said: bytes) -> None:
    assert read_caller(said) is None
