"""Which responses may be kept, and for how long they say that they are fresh."""

from math import inf

import pytest

from proxy.wire.cache_control import Terms, directives, http_time, response_of, terms
from proxy.wire.response_head import ResponseHead, ResponseHeadReader

NOW = 784111777.0
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"  # that moment, of RFC 9110 section 5.6.7


def head(*lines: str, status: int = 200) -> ResponseHead:
    text = "\r\n".join([f"HTTP/1.1 {status} OK", *lines, "", ""])
    found = ResponseHeadReader(65536).feed(text.encode("latin-1"))
    assert found is not None
    return found


def agreed(*lines: str, delay: float = 0.0) -> Terms:
    found = terms(head(*lines), delay=delay, wall=NOW)
    assert found is not None
    return found


def test_directives_are_read_whatever_their_case_and_quotes() -> None:
    assert directives(b'Max-Age=5, PRIVATE="a, no-store" , s-maxage = "7",,x=') == {
        b"max-age": b"5",
        b"private": b"a, no-store",
        b"s-maxage": b"7",
        b"x": b"",
    }


@pytest.mark.parametrize("value", [b"", b",", b'"', b"=", b'a="', b"\xff", b"," * 10_000])
def test_nonsense_is_no_directive_and_takes_no_time(value: bytes) -> None:
    assert directives(value).keys() <= {b"a"}


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (DATE.encode(), 784111777),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", None),
        (b"0", None),
        (b"Sun, 06 Nov 1994 08:49:37 +0000", None),
        (b"Sun, 06 Nov 0000 08:49:37 GMT", None),
        # It is for its sender to make sense of it.
        (b"Sun, 99 Nov 1994 99:99:99 GMT", 792477639),
    ],
)
def test_a_date_is_a_moment(value: bytes, moment: int | None) -> None:
    assert http_time(value) == moment


@pytest.mark.parametrize(
    "lines",
    [
        ("Set-Cookie: a=1",),
        ("SET-COOKIE2: a=1",),
        ("Cache-Control: private",),
        ("Cache-Control: max-age=5", "cache-control: no-store"),
        ('Cache-Control: private="set-cookie"',),
        ("Vary: *",),
        ("Vary: accept", "Vary: x, *"),
        ("Vary: a b",),
        ("Vary: " + ", ".join(f"x{number}" for number in range(17)),),
        ("Content-Range: bytes 0-1/2",),
    ],
)
def test_what_is_somebody_s_own_or_a_part_is_not_kept(lines: tuple[str, ...]) -> None:
    assert terms(head(*lines), delay=0.0, wall=NOW) is None


@pytest.mark.parametrize("status", [203, 204, 206, 301, 304, 404, 410, 500])
def test_nothing_but_a_200_is(status: int) -> None:
    assert terms(head(status=status), delay=0.0, wall=NOW) is None


@pytest.mark.parametrize(
    ("lines", "fresh_for"),
    [
        ((), inf),
        (("Cache-Control: public, must-revalidate",), inf),
        (("Cache-Control: max-age=60",), 60.0),
        (("Cache-Control: max-age=60, s-maxage=5",), 5.0),
        (("Cache-Control: max-age=60", "Age: 20"), 40.0),
        (("Cache-Control: max-age=60, no-cache",), 0.0),
        (('Cache-Control: no-cache="x"',), 0.0),
        (("Cache-Control: max-age=x",), 0.0),
        (("Cache-Control: max-age=-1",), 0.0),
        (("Cache-Control: max-age=" + "9" * 30,), 2.0**31),
        ((f"Date: {DATE}", "Expires: Sun, 06 Nov 1994 08:50:37 GMT"), 60.0),
        (("Expires: Sun, 06 Nov 1994 08:50:37 GMT",), 60.0),
        ((f"Date: {DATE}", "Expires: Sun, 06 Nov 1994 08:00:00 GMT"), 0.0),
        (("Expires: 0",), 0.0),
        (("Expires: 0", "Cache-Control: max-age=60"), 60.0),
    ],
)
def test_it_is_fresh_for_as_long_as_it_says(lines: tuple[str, ...], fresh_for: float) -> None:
    assert agreed(*lines).fresh_for == fresh_for


@pytest.mark.parametrize(
    ("lines", "age"),
    [
        ((), 0.5),
        ((f"Date: {DATE}",), 0.5),
        (("Date: Sun, 06 Nov 1994 08:49:07 GMT",), 30.0),
        (("Date: Sun, 06 Nov 1994 08:50:37 GMT",), 0.5),
        (("Age: 20",), 20.5),
        (("Age: 20", "Date: Sun, 06 Nov 1994 08:49:07 GMT"), 30.0),
        (("Age: x",), 0.5),
        (("Age: 20", "Age: 30"), 20.5),
        (("Age: 20 , x",), 20.5),
        (("Age: , 20",), 0.5),
    ],
)
def test_it_is_as_old_as_rfc_9111_has_it(lines: tuple[str, ...], age: float) -> None:
    assert agreed(*lines, delay=0.5).age == age


def test_validators_and_what_it_varies_with_are_read() -> None:
    found = agreed('ETag: W/"1"', f"Last-Modified: {DATE}", "Vary: X, accept", "VARY: x")
    assert (found.etag, found.modified) == (b'W/"1"', 784111777)
    assert found.vary == (b"accept", b"x")
    assert agreed("Content-Encoding: br", "Vary: x").vary == (b"accept-encoding", b"x")
    assert (agreed().etag, agreed("Last-Modified: x").modified, agreed().vary) == (None, None, ())


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "via", "X-Real-IP"])
def test_what_varies_with_where_a_request_comes_from_is_nobody_else_s(name: str) -> None:
    found = head(f"Vary: Accept, {name}")
    assert terms(found, delay=0.0, wall=0.0) is None


def test_a_head_is_kept_as_it_would_have_been_sent_but_for_its_age() -> None:
    hops = ("Connection: x-hop", "X-Hop: 1")
    sent = head("Server: x", "content-LENGTH: 2", "age: 5", *hops, "A: b")
    kept = response_of(sent, b"ok", agreed(), arrived_at=1.0, date=b"(now)")
    assert kept.head == (
        b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-LENGTH: 2\r\nA: b\r\nDate: (now)\r\n"
    )
    assert (kept.status, kept.body, kept.arrived_at) == (200, b"ok", 1.0)


def test_one_that_came_in_chunks_gets_its_length() -> None:
    sent = head("Transfer-Encoding: chunked", f"Date: {DATE}")
    kept = response_of(sent, b"ok", agreed(), arrived_at=1.0, date=b"(now)")
    assert kept.head == f"HTTP/1.1 200 OK\r\nDate: {DATE}\r\nContent-Length: 2\r\n".encode()
