import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.structured_fields import LONGEST_VALUE, MOST_MEMBERS, Member, read_list


@pytest.mark.parametrize(
    ("value", "members"),
    [
        (b"", []),
        (b'"a"', [("a", {})]),
        (b'  "a" , "b"\t,"c"', [("a", {}), ("b", {}), ("c", {})]),
        (
            b'"default";q=100;w=10, "burst";q=5;w=1',
            [("default", {"q": 100, "w": 10}), ("burst", {"q": 5, "w": 1})],
        ),
        (b'"a";x;y=?0; z=-3', [("a", {"x": True, "y": False, "z": -3})]),
        (b'"a\\"b\\\\";k="v"', [('a"b\\', {"k": "v"})]),
        (b"token/x;pk=:c2VjcmV0:", [("token/x", {"pk": b"c2VjcmV0"})]),
        (b"1.5;d=0.125", [(1.5, {"d": 0.125})]),
        (b'"a";q=1;q=2', [("a", {"q": 2})]),
    ],
)
def test_lists_are_read(value: bytes, members: list[Member]) -> None:
    assert read_list(value) == members


@pytest.mark.parametrize(
    "value",
    [
        b'"a',
        b'"a";',
        b'"a";Q=1',
        b'"a";q=',
        b'"a";q =1',
        b'"a"; q=1x y',
        b'"a",',
        b',"a"',
        b'"a" "b"',
        b'"\xe9"',
        b'"a\\b"',
        b'("a" "b")',
        b"1.",
        b"1.2345",
        b"1234567890123456",
        b"--1",
        b"?2",
        b":a b:",
        b"@1659578233",
        b'"' + b"a" * LONGEST_VALUE + b'"',
        b", ".join([b'"a"'] * (MOST_MEMBERS + 1)),
        b'"a"' + b"".join(b";k%d=1" % number for number in range(17)),
    ],
)
def test_what_is_no_list_is_none(value: bytes) -> None:
    assert read_list(value) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_none(value: bytes) -> None:
    read_list(value)
