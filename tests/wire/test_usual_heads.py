"""The quick readings of usual heads: they say what the strict readers say, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.errors import BadMessage
from proxy.wire.field_line import ACCEPT, ACCEPT_LANGUAGE
from proxy.wire.field_section import MAX_FIELDS
from proxy.wire.request_head import RequestHead, RequestHeadReader, whole_request_head
from proxy.wire.response_head import (
    LONGEST_HEAD,
    ResponseHead,
    ResponseHeadReader,
    whole_response_head,
)

LIMIT = 4096


def strictly(
    reader: RequestHeadReader | ResponseHeadReader, data: bytes
) -> tuple[RequestHead | ResponseHead, int] | None:
    """The head and its end as a reader has them that is fed byte by byte, and so never quick."""
    head: RequestHead | ResponseHead | None = None
    try:
        for index in range(len(data)):
            head = reader.feed(data[index : index + 1])
            if head is not None:
                return head, index + 1
    except BadMessage:
        pass
    return None


NAMES = st.sampled_from(
    b"Host host Connection Content-Length Transfer-Encoding Expect Upgrade TE Keep-Alive Accept "
    b"X-Forwarded-For X_Forwarded_For Proxy Cookie Date Max-Forwards A".split()
)
VALUES = st.sampled_from(
    b"a b:80 a/b 5 007 +5 5,5 9223372036854775808 chunked Chunked gzip,chunked close Keep-Alive "
    b"close,a upgrade 100-continue".split()
) | st.binary(max_size=4)
COLONS = st.sampled_from([b": "] * 6 + [b":", b":\t ", b" : ", b""])
ENDS = st.sampled_from(
    [b"\r\n"] * 12 + [b"\n", b"\x0b\r", b"\n\0", b" \r\n", b"\r\n ", b"\r", b"\r\r\n", b"\n\r"]
)
LINES = st.lists(st.tuples(NAMES, COLONS, VALUES, ENDS).map(b"".join), max_size=5).map(b"".join)
SECTION_ENDS = st.sampled_from([b"\r\n"] * 6 + [b"\r\nrest\r\n\r\n", b"\n", b"", b"\r\n\r\n"])
SIZES = st.just(LIMIT) | st.integers(1, 120)

REQUEST_LINES = st.sampled_from(
    [b"GET / HTTP/1.1\r\nHost: a\r\n"] * 6
    + [b"POST /a?b HTTP/1.1\r\n", b"GET / HTTP/1.0\r\n", b"GET /\xff HTTP/1.1\r\n"]
    + [b"GET /a#b HTTP/1.1\r\n", b"GET /a\tb HTTP/1.1\r\n", b"GET  / HTTP/1.1\r\n", b"\r\n"]
    + [b"get / HTTP/1.1\r\n", b"G@T / HTTP/1.1\r\n", b"GET * HTTP/1.1\r\n", b"GET / HTTP/1.1\n"]
    + [b"CONNECT a:1 HTTP/1.1\r\n", b"GET http://a/ HTTP/1.1\r\n", b"GET / HTTP/1.1\r\r\n"]
)
STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n"] * 6
    + [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 101 S\r\n", b"HTTP/1.1 200\r\n"]
    + [b"HTTP/1.1 299 \xff\r\n", b"HTTP/1.1 200 OK\n", b"HTTP/1.1 20 OK\r\n", b"HTTP/2 200 \r\n"]
)


@given(st.tuples(REQUEST_LINES, LINES, SECTION_ENDS).map(b"".join) | st.binary(max_size=60), SIZES)
def test_a_request_is_read_as_the_strict_reader_reads_it_or_not_at_all(
    data: bytes, max_bytes: int
) -> None:
    found = whole_request_head(data, max_bytes)
    if found is not None:
        assert repr(found) == repr(strictly(RequestHeadReader(max_bytes), data))


@given(st.tuples(STATUS_LINES, LINES, SECTION_ENDS).map(b"".join) | st.binary(max_size=60), SIZES)
def test_a_response_is_read_as_the_strict_reader_reads_it_or_not_at_all(
    data: bytes, max_bytes: int
) -> None:
    found = whole_response_head(data, max_bytes)
    if found is not None:
        assert repr(found) == repr(strictly(ResponseHeadReader(max_bytes), data))


BROWSER = (
    b"GET /items/1?a=b HTTP/1.1\r\nHost: shop:8080\r\nConnection: keep-alive\r\n"
    b"User-Agent: Mozilla/5.0\r\nAccept: text/html\r\nAccept-Language: en\r\n"
    b"Accept: second\r\nCookie: a=\xff; b\r\nX-Forwarded-For: 1.1.1.1\r\nTE: trailers\r\n\r\n"
)
UPLOAD = b"POST / HTTP/1.1\r\nhost:a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nbody!"


STREAM = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\n"


@pytest.mark.parametrize("data", [BROWSER, UPLOAD, STREAM, BROWSER + b"\r\n" * 2000])
def test_usual_requests_are_read(data: bytes) -> None:
    for _ in range(2):
        found = whole_request_head(data, LIMIT)
        assert found is not None
        assert repr(found) == repr(strictly(RequestHeadReader(LIMIT), data))


def test_what_a_refusal_needs_is_found() -> None:
    found = whole_request_head(BROWSER, LIMIT)
    assert found is not None
    assert found[0].value(ACCEPT) == b"text/html"
    assert found[0].value(ACCEPT_LANGUAGE) == b"en"
    assert found[0].values(ACCEPT) == [b"text/html", b"second"]
    found = whole_request_head(UPLOAD, LIMIT)
    assert found is not None
    assert found[0].value(ACCEPT) is None


@pytest.mark.parametrize(
    "line",
    [
        b"Expect: 100-continue",
        b"Upgrade: a",
        b"Connection: upgrade",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Connection: close\r\nConnection: close",
        b"Host: a",
        b"A\xe9: b",
        # As many bytes that are no text as line ends would be.
        b"A: b\x0b\rC: d",
        b"A: b\n\x00C: d",
        b"A: b\rC: d\n",
        b"A: b\n\rC: d",
    ],
)
def test_unusual_requests_are_left_to_the_strict_reader(line: bytes) -> None:
    assert whole_request_head(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % line, LIMIT) is None


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"Date: a", b"Content-Length: 5", b"Connection: keep-alive", b"Set-Cookie: a=\xff"],
        [b"Transfer-Encoding: chunked", b"Connection: close"],
    ],
)
def test_usual_responses_are_read(lines: list[bytes]) -> None:
    data = b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b"body\r\n\r\n"])
    for _ in range(2):
        found = whole_response_head(data, LIMIT)
        assert found is not None
        assert repr(found) == repr(strictly(ResponseHeadReader(LIMIT), data))


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 5, 5",
        b"Content-Length: 05",
        b"Connection: upgrade",
        b"Upgrade: h2c",
        b"Transfer-Encoding: gzip",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"A: 1\n",
        b"A: b\x0b\rC: d",
        b"A: b\n\x00C: d",
        b"A: b\rC: d\n",
        b"A: b\n\rC: d",
        b"A : 1",
    ],
)
def test_unusual_responses_are_left_to_the_strict_reader(line: bytes) -> None:
    assert whole_response_head(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % line, LIMIT) is None


@pytest.mark.parametrize("size", [len(BROWSER) - 1, len(BROWSER)])
def test_a_head_over_its_limit_is_not_read(size: int) -> None:
    assert (whole_request_head(BROWSER, size) is None) is (size < len(BROWSER))
    assert (whole_request_head(BROWSER + b"\0" * 9000, size) is None) is (size < len(BROWSER))


def test_more_fields_than_allowed_are_not_read() -> None:
    def found(count: int) -> tuple[object, object]:
        lines = b"A: b\r\n" * count
        return (
            whole_request_head(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % lines[6:], LIMIT),
            whole_response_head(b"HTTP/1.1 200 OK\r\n%b\r\n" % lines, LIMIT),
        )

    assert None not in found(MAX_FIELDS)
    assert found(MAX_FIELDS + 1) == (None, None)


def test_an_earlier_end_is_not_overlooked() -> None:
    second = b"GET /2 HTTP/1.1\r\nHost: b\r\n\r\n"
    reader = RequestHeadReader(LIMIT)
    head = reader.feed(BROWSER + second)
    assert head is not None
    assert (head.target, reader.rest) == (b"/items/1?a=b", second)


def test_a_pipeline_in_one_small_piece_is_read_head_by_head() -> None:
    head = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
    for count in range(1, 5):
        found = whole_request_head(head * count, LIMIT)
        assert found is not None
        assert (found[0].target, found[1]) == (b"/a", len(head))


def test_long_response_heads_are_not_kept() -> None:
    """Nobody fills the memory with heads of a quarter of a megabyte."""

    def read(size: int) -> list[ResponseHead]:
        line = b"Server: " + b"x" * 200 + b"\r\n"
        data = b"HTTP/1.1 200 OK\r\n" + line * size + b"\r\n"
        # Lines are known from the second time on, the head that they make up from the third.
        heads = [whole_response_head(data, 1 << 20) for _ in range(3)]
        return [head for head, _ in filter(None, heads)]

    short, long = read(LONGEST_HEAD // 400), read(LONGEST_HEAD // 100)
    assert short[1] is short[2]
    assert long[1] is not long[2]
