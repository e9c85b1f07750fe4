"""What is sent of a stored response."""

import pytest

from proxy.policy.stored_response import StoredResponse
from proxy.wire.request_head import RequestHead, RequestHeadReader
from proxy.wire.stored_answer import hit_line, last_good_lines, stored_answer

HEAD = (
    b"HTTP/1.1 200 Fine\r\nContent-Type: text/css\r\nContent-Length: 4\r\n"
    b'ETag: "1"\r\nVary: x\r\nCache-Control: max-age=5\r\nDate: then\r\n'
)
MODIFIED = 784111777


def stored(etag: bytes | None = b'"1"', modified: int | None = MODIFIED) -> StoredResponse:
    return StoredResponse(
        *(200, HEAD, b"body"),
        arrived_at=10.0,
        age=3.0,
        fresh_for=5.0,
        etag=etag,
        modified=modified,
    )


def asking(*lines: str, method: str = "GET") -> RequestHead:
    text = "\r\n".join([f"{method} / HTTP/1.1", "Host: a", *lines, "", ""])
    head = RequestHeadReader(65536).feed(text.encode())
    assert head is not None
    return head


def answer(
    *lines: str, method: str = "GET", of: StoredResponse | None = None, close: bool = False
) -> tuple[int, bytes, bytes]:
    head = asking(*lines, method=method)
    return stored_answer(of or stored(), head, now=12.9, extra=b"X: 1\r\n", close=close)


def test_it_is_what_the_shop_sent_with_its_age() -> None:
    assert answer() == (200, HEAD + b"Age: 5\r\nX: 1\r\n\r\n", b"body")
    assert answer(close=True)[1].endswith(b"\r\nX: 1\r\nConnection: close\r\n\r\n")
    assert answer("Range: bytes=0-1") == answer()


def test_a_head_gets_no_body() -> None:
    assert answer(method="HEAD") == (200, HEAD + b"Age: 5\r\nX: 1\r\n\r\n", b"")


@pytest.mark.parametrize(
    "line",
    [
        'If-None-Match: "1"',
        'If-None-Match: W/"1"',
        'If-None-Match: "0" , "1"',
        "If-None-Match: *",
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        "If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_has_it_is_told_so(line: str, method: str) -> None:
    status, head, body = answer(line, method=method)
    assert (status, body) == (304, b"")
    assert head == (
        b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nVary: x\r\nCache-Control: max-age=5\r\n'
        b"Date: then\r\nAge: 5\r\nX: 1\r\n\r\n"
    )


@pytest.mark.parametrize(
    "lines",
    [
        ('If-None-Match: "2"',),
        ("If-None-Match: 1",),
        ('If-None-Match: "2", *',),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT",),
        ("If-Modified-Since: yesterday",),
        # RFC 9110 section 13.1.3: without effect beside the other.
        ('If-None-Match: "2"', "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"),
    ],
)
def test_who_has_another_gets_all_of_it(lines: tuple[str, ...]) -> None:
    assert answer(*lines)[0] == 200


def test_without_validators_there_is_nothing_to_compare() -> None:
    bare = stored(None, None)
    assert answer('If-None-Match: "1"', of=bare)[0] == 200
    assert answer("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", of=bare)[0] == 200


def test_it_says_where_it_comes_from() -> None:
    assert hit_line(1.9) == b"Cache-Status: planb; hit; ttl=1\r\n"
    refused = last_good_lines(b"rate", -30.5, asked=False)
    assert refused == (
        b'Cache-Status: planb; hit; ttl=-30; detail=rate\r\nProxy-Status: planb; details="rate"\r\n'
    )
    failed = last_good_lines(b"upstream_error", -30.5, asked=True)
    assert failed.startswith(b"Cache-Status: planb; fwd=stale; detail=upstream_error\r\n")
