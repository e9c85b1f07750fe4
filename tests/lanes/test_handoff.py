"""What the express lane leaves to the full one."""

import pytest

from proxy.lanes.handoff import is_unusual
from proxy.wire.request_head import RequestHead, RequestHeadReader
from tests.support.raw_client import request_head


def _head(data: bytes) -> RequestHead:
    head = RequestHeadReader(65536).feed(data)
    assert head is not None
    return head


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PURGE", "get"])
@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Content-Length: 5",),
        ("Connection: close",),
        ("Connection: keep-alive, x",),
        ("Upgrade: websocket",),
        ("TE: trailers",),
    ],
)
def test_the_usual_is_the_express_lane_s(method: str, lines: tuple[str, ...]) -> None:
    assert not is_unusual(_head(request_head(method, "/", *lines)))


@pytest.mark.parametrize(
    "data",
    [
        request_head("POST", "/", "Transfer-Encoding: chunked"),
        request_head("POST", "/", "Content-Length: 5", "Expect: 100-continue"),
        request_head("GET", "/", "Connection: upgrade", "Upgrade: websocket"),
        request_head("GET", "/").replace(b"HTTP/1.1", b"HTTP/1.0"),
        request_head("GET", "/", "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
        request_head("CONNECT", "shop.test:443", host="shop.test:443"),
        request_head("TRACE", "/"),
        request_head("TRACE", "/", "Max-Forwards: 1"),
        request_head("OPTIONS", "/", "Max-Forwards: 0"),
        request_head("OPTIONS", "*", "Max-Forwards: 10"),
    ],
)
def test_the_unusual_is_not(data: bytes) -> None:
    assert is_unusual(_head(data))
