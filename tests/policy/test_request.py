from collections.abc import Iterator
from time import perf_counter

import pytest

from proxy.policy.request import MOST_PAIRS
from tests.policy.guarded import request


def cookie(*lines: bytes) -> bytes | None:
    return request(fields=[(b"Cookie", line) for line in lines]).cookie(b"sid")


def query(raw: bytes) -> bytes | None:
    return request(query=raw).query_parameter(b"id")


def test_a_header_is_found_in_any_case() -> None:
    about = request(fields=[(b"X-API-Key", b"secret"), (b"Other", b"x")])
    assert about.header(b"x-api-key") == b"secret"
    assert about.header(b"missing") is None


def test_a_header_that_says_two_things_says_nothing() -> None:
    about = request(fields=[(b"Key", b"a"), (b"key", b"b")])
    assert about.header(b"key") is None
    assert request(fields=[(b"Key", b"a"), (b"key", b"a")]).header(b"key") == b"a"


def test_fields_are_gone_through_when_one_is_asked_for_and_not_before() -> None:
    class Pairs:
        read = 0

        def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
            self.read += 1
            return iter([(b"Key", b"a"), (b"Cookie", b"sid=1")])

    pairs = Pairs()
    about = request(fields=pairs)
    assert about.query_parameter(b"id") is None
    assert pairs.read == 0
    assert (about.header(b"key"), about.cookie(b"sid")) == (b"a", b"1")
    assert pairs.read == 2


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"sid=1", b"1"),
        (b"lang=en; sid=1; theme=dark", b"1"),
        (b"lang=en;sid=1", b"1"),
        (b'sid="1"', b"1"),
        (b"sid=a=b", b"a=b"),
        (b"sid=", b""),
        (b"sid", None),
        (b"SID=1", None),
        (b"xsid=1", None),
        (b"x=sid=1", None),
        (b"sid=1; sid=1", b"1"),
        (b"sid=1; sid=2", None),
        (b"", None),
    ],
)
def test_a_cookie_s_value(line: bytes, value: bytes | None) -> None:
    assert cookie(line) == value


@pytest.mark.parametrize(
    "line",
    [
        b"sid=a+b1",
        b" sid = a+b1 ",
        b"lang=en;\tsid\t=\ta+b1",
        b'sid="a+b1"',
        b'sid= "a+b1" ',
        b'sid="\\141+b\\061"',
        b'sid="\\a\\+b1"',
        b"sid=%61%2bb%31",
        b"sid=%61%2Bb1",
        b"sid=a%20b1",
        b"s%69d=a+b1",
        b"sid=\xc2\xa0a+b1\xe3\x80\x80",
        b"sid=\xa0a+b1\x85",
        b"\xc2\xa0sid=a+b1",
        b"sid=a+b1 x=1",
        b"sid=a+b1, x=1",
        b'sid="a+b1"x',
    ],
)
def test_every_spelling_of_a_cookie_is_counted_as_one(line: bytes) -> None:
    assert cookie(line) == b"a b1"
    assert cookie(line, b"sid=a+b1") == b"a b1"


@pytest.mark.parametrize(
    "line", [b'sid="a', b'sid=a"', b"sid=\\141", b"sid=%22a%22", b"sid=\xc3\xa9"]
)
def test_what_is_no_spelling_of_a_cookie_stays_apart(line: bytes) -> None:
    assert cookie(line) not in {None, b"", b"a"}


def test_cookies_may_come_in_several_fields() -> None:
    assert cookie(b"lang=en", b"sid=1") == b"1"
    assert cookie(b"sid=2", b"sid=1") is None


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"id=1", b"1"),
        (b"a=b&id=1&c", b"1"),
        (b"id=a%20b", b"a b"),
        (b"id=a+b", b"a b"),
        (b"%69d=1", b"1"),
        (b"id", b""),
        (b"id=", b""),
        (b"id=%zz", b"%zz"),
        (b"idx=1", None),
        (b"id=1&id=1", b"1"),
        (b"id=1&id=2", None),
        (b"id=1&i%64=2", None),
        (b"", None),
    ],
)
def test_a_query_parameter_s_value(raw: bytes, value: bytes | None) -> None:
    assert query(raw) == value


def test_of_more_pairs_than_are_looked_at_none_counts() -> None:
    others = MOST_PAIRS - 1
    assert query(b"a&" * others + b"id=1") == b"1"
    assert query(b"id=1" + b"&a" * others) == b"1"
    assert query(b"id=1" + b"&a" * (others + 1)) is None
    assert cookie(b"a=;" * others + b"sid=1") == b"1"
    assert cookie(b"a=;" * (others + 1) + b"sid=1") is None
    assert cookie(*[b"a="] * others, b"sid=1") == b"1"
    assert cookie(b"sid=1", *[b"a="] * (others + 1)) is None


@pytest.mark.parametrize("pair", [b"%&", b"id=%&", b"%69d&", b"+&", b"a&"])
def test_no_query_takes_long_to_read(pair: bytes) -> None:
    def seconds() -> float:
        begun = perf_counter()
        query(pair * (65_000 // len(pair)))
        return perf_counter() - begun

    # All pairs decoded took some 30 ms.
    assert min(seconds() for _ in range(5)) < 0.001
