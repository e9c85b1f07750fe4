"""How one Cookie field is searched. What values mean is in test_request.py."""

from time import perf_counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.policy.cookies import cookie_values
from proxy.policy.percent import percent_decode


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (b"sid=1", [b"1"]),
        (b"a=b; sid=1; c=d", [b"1"]),
        (b"a=b;sid=1", [b"1"]),
        (b"a=%20; sid=1; c=%3D", [b"1"]),
        (b"a=%20; c=sid", []),
        (b"a=%3D=; sid=1", [b"1"]),
        (b"connect.sid=2; sid=1", [b"1"]),
        (b"sid=1; sid=2", [b"1", b"2"]),
        (b"sid=1; s%69d=2", [b"1", b"2"]),
        (b"sid", []),
        (b"a; sid", []),
        (b"sid=", [b""]),
        (b"sid=a.b-c", [b"a.b-c"]),
        (b" sid=1", [b"1"]),
        (b" sid=1;", [b"1"]),
        (b"x; sid=1", [b"1"]),
        (b"x sid=1", []),
    ],
)
def test_all_values_of_a_name_are_found(line: bytes, values: list[bytes]) -> None:
    assert cookie_values(line, b"sid") == values


def split_and_compared(line: bytes, name: bytes) -> list[bytes]:
    pairs = [pair.strip().partition(b"=") for pair in line.split(b";")]
    return [value.strip() for key, equals, value in pairs if equals and same(key, name)]


def same(key: bytes, name: bytes) -> bool:
    return percent_decode(key.strip()) == name


PIECES = [b"id", b"=", b";", b"; ", b" ", b"1", b"x", b"%69", b"%", b"idx", b"id=1", b"%3D"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join), st.booleans())
@example(b"id=1; x=2", False)
def test_searching_a_line_finds_what_splitting_it_finds(line: bytes, long: bool) -> None:
    if long:
        line += b"; y=%" + b"z" * 5000
    found = len(cookie_values(line, b"id"))
    assert found == len(split_and_compared(line, b"id"))


@pytest.mark.parametrize("piece", [b"%", b"%=", b"%;", b"sid", b"; sid="])
def test_no_line_takes_long_to_read(piece: bytes) -> None:
    def seconds() -> float:
        begun = perf_counter()
        # As many pairs as are looked at; one line of a whole head.
        pairs = min(256, 65_000 // len(piece)) if b";" in piece else 65_000 // len(piece)
        cookie_values(piece * pairs, b"sid")
        return perf_counter() - begun

    assert min(seconds() for _ in range(5)) < 0.001
