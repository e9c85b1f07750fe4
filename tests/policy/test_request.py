import pytest

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
