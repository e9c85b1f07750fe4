"""What reaches the shop, and what comes back: as it was sent, byte for byte."""

import gzip
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.messages import Request
from tests.support.origin import Peer, answering, ok, response
from tests.support.raw_client import fetch, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    async with storefront(tmp_path_factory.mktemp("planb")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


async def _sent_on(shop: Storefront, data: bytes, *, method: str = "GET") -> Request:
    async with shop.origin(answering(ok())) as origin:
        assert (await fetch(shop.port, data, method=method)).status == 200
        (request,) = origin.requests
    return request


# ------------------------------------------------------------------- requests


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "OPTIONS", "DELETE", "PURGE", "M-SEARCH", "get", "X!#$%&'*+-.^_`|~9"]
)
async def test_any_method_passes(shop: Storefront, method: str) -> None:
    script = answering(ok()[: -len(b"ok")] if method == "HEAD" else ok())
    async with shop.origin(script) as origin:
        assert (await shop.fetch(method, "/x")).status == 200
        assert [request.method for request in origin.requests] == [method]


@pytest.mark.parametrize(
    "target",
    [
        b"//a/../b%2F%7e?x=%20&&?",
        b"/?",
        b"/%",
        b"/a;b=1/..;/c",
        b"/\xc3\xa4?\xff",
        b"/[]{}|\\^`\"<>'",
        b"http://shop.test/absolute/../x?y",
        b"HTTP://SHOP.test:80",
        b"/" + b"long" * 4000,
    ],
)
async def test_the_target_passes_byte_for_byte(shop: Storefront, target: bytes) -> None:
    request = await _sent_on(shop, b"GET " + target + b" HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert request.target == target


async def test_options_of_the_whole_server_passes(shop: Storefront) -> None:
    request = await _sent_on(shop, b"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n")
    assert request.target == b"*"


async def test_a_request_s_fields_pass_in_order_and_case(shop: Storefront) -> None:
    fields = [
        (b"hOsT", b"shop.test:81"),
        (b"X-Twice", b"1"),
        (b"x-twice", b"2"),
        (b"Cookie", b"a=1"),
        (b"X-Bytes", b"\xe9\x80\xff\tz"),
        (b"X-Empty", b""),
        (b"COOKIE", b"b=2"),
        (b"X-Twice", b"1"),
    ]
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    request = await _sent_on(shop, b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
    added = [
        (b"X-Forwarded-For", b"127.0.0.1"),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", b"shop.test:81"),
        (b"Via", b"1.1 planb"),
    ]
    assert request.fields == fields + added


async def test_hop_by_hop_fields_and_those_that_connection_names_do_not_pass(
    shop: Storefront,
) -> None:
    data = request_head(
        "GET",
        "/",
        "Connection: keep-alive, X-Private",
        "X-Private: 1",
        "Keep-Alive: timeout=5",
        "TE: trailers",
        "Proxy-Connection: keep-alive",
        "X-Kept: 1",
    )
    names = [name.lower() for name, _ in (await _sent_on(shop, data)).fields]
    assert names == [
        b"host", b"x-kept", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"via",
    ]  # fmt: skip


async def test_a_body_gets_no_content_type(shop: Storefront) -> None:
    request = await _sent_on(shop, request_head("POST", "/", "Content-Length: 2") + b"hi")
    assert request.values("content-type") == []
    assert request.body == b"hi"


@pytest.mark.parametrize("lines", [[], ["Host: shop.test"], ["Connection: keep-alive"]])
async def test_a_1_0_request_passes_as_1_1_with_a_host(shop: Storefront, lines: list[str]) -> None:
    data = "\r\n".join(["GET /old HTTP/1.0", *lines, "", ""]).encode()
    request = await _sent_on(shop, data)
    assert request.version == "HTTP/1.1"
    expected = "shop.test" if "Host: shop.test" in lines else f"127.0.0.1:{shop.origin_port}"
    assert request.header("host") == expected
    assert request.header("via") == "1.0 planb"
    assert request.values("connection") == []


# -------------------------------------------------------------- Max-Forwards


async def test_max_forwards_counts_down(shop: Storefront) -> None:
    data = request_head("OPTIONS", "/", "Max-Forwards: 3")
    assert (await _sent_on(shop, data)).header("max-forwards") == "2"


async def test_options_with_max_forwards_0_is_answered_here(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        await client.send(request_head("OPTIONS", "*", "Max-Forwards: 0"))
        answer = await client.read_response()
        assert (answer.status, answer.header("content-length"), answer.body) == (200, "0", b"")
        assert answer.header("date")
        assert origin.received == b""
        assert (await client.get("/next", "Max-Forwards: 0")).body == b"ok"


async def test_trace_with_max_forwards_0_is_not_implemented(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin:
        assert (await shop.fetch("TRACE", "/", "Max-Forwards: 0")).status == 501
        assert origin.peers == []


async def test_connect_is_not_implemented(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        await client.send(b"CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n")
        answer = await client.read_response()
        assert answer.status == 501
        assert answer.header("connection") == "close"
        assert await client.is_closed_by_peer()
        assert origin.peers == []


# ------------------------------------------------------------------ responses


async def test_a_response_s_head_passes_as_sent(shop: Storefront) -> None:
    head = (
        b"HTTP/1.1 299 Gr\xfc\xdfe, as ever\r\n"
        b"DATE: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
        b"Set-Cookie: a=1; Path=/\r\n"
        b"x-Odd: \xe9\xff\r\n"
        b"set-cookie: b=2\r\n"
        b"Server: shop/0.1\r\n"
        b"Content-Length: 2\r\n"
    )
    async with shop.origin(answering(head + b"\r\nhi")):
        answer = await shop.fetch("GET", "/")
    assert answer.head == head + b"\r\n"


async def test_a_response_gets_nothing_but_a_date(shop: Storefront) -> None:
    async with shop.origin(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")):
        answer = await shop.fetch("GET", "/")
    assert [name for name, _ in answer.fields] == [b"Content-Length", b"Date"]


async def test_an_empty_reason_phrase_stays_empty(shop: Storefront) -> None:
    async with shop.origin(answering(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")):
        assert (await shop.fetch("GET", "/")).head.startswith(b"HTTP/1.1 200 \r\n")


async def test_a_compressed_body_is_not_touched(shop: Storefront) -> None:
    body = gzip.compress(b"shop" * 1000)
    async with shop.origin(answering(ok(body, "Content-Encoding: gzip"))):
        answer = await shop.fetch("GET", "/", "Accept-Encoding: gzip")
    assert answer.body == body
    assert answer.header("content-encoding") == "gzip"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 401, 407, 418, 500, 599])
async def test_no_status_is_acted_upon(shop: Storefront, status: int) -> None:
    lines = ("Location: /elsewhere", "WWW-Authenticate: Basic", "Set-Cookie: sid=1")
    async with shop.origin(answering(response(status, "Any", b"body", *lines))) as origin:
        async with shop.client() as client:
            first = await client.get("/one")
            assert (first.status, first.reason, first.body) == (status, "Any", b"body")
            assert first.header("location") == "/elsewhere"
            await client.get("/two")
        assert [request.target for request in origin.requests] == [b"/one", b"/two"]
        assert origin.requests[1].values("cookie") == []


async def test_a_response_s_hop_by_hop_fields_do_not_pass(shop: Storefront) -> None:
    lines = ("Connection: X-Private", "X-Private: 1", "Keep-Alive: timeout=5", "X-Kept: 1")
    async with shop.origin(answering(ok(b"", *lines))):
        answer = await shop.fetch("GET", "/")
    assert [name for name, _ in answer.fields] == [b"X-Kept", b"Content-Length", b"Date"]


@pytest.mark.parametrize(
    ("method", "status", "line", "kept"),
    [
        ("HEAD", 200, "Content-Length: 12345", True),
        ("HEAD", 200, "Transfer-Encoding: chunked", True),
        ("GET", 304, "Content-Length: 12345", True),
        ("GET", 204, "X-None: 1", True),
        # RFC 9110 section 8.6: a server must not send it with 204.
        ("GET", 204, "Content-Length: 0", False),
    ],
)
async def test_a_response_without_a_body_keeps_what_it_says_of_one(
    shop: Storefront, method: str, status: int, line: str, kept: bool
) -> None:
    head = f"HTTP/1.1 {status} Any\r\n{line}\r\n\r\n".encode()
    async with shop.origin(answering(head)), shop.client() as client:
        for _ in range(2):
            await client.send(request_head(method, "/"))
            answer = await client.read_response(method)
            assert answer.status == status
            assert (line.encode() in answer.head) == kept


async def test_early_hints_pass_and_the_response_follows(shop: Storefront) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    async with shop.origin(answering(hints + ok())):
        async with shop.client() as client:
            await client.send(request_head("GET", "/"))
            early = await client.read_response()
            assert early.head == hints
            assert (await client.read_response()).body == b"ok"
        # A 1.0 client knows none.
        async with shop.client() as client:
            await client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert (await client.read_response()).status == 200


# ---------------------------------------------------- versions and connections


async def test_connections_of_a_1_0_client_live_as_it_says(shop: Storefront) -> None:
    async with shop.origin(answering(ok())):
        async with shop.client() as client:
            for _ in range(2):
                await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
                answer = await client.read_response()
                assert answer.header("connection") == "keep-alive"
        async with shop.client() as client:
            await client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert (await client.read_response()).header("connection") == "close"
            assert await client.is_closed_by_peer()


async def test_a_client_that_asks_to_close_is_closed(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        assert (await client.get("/", "Connection: close")).header("connection") == "close"
        assert await client.is_closed_by_peer()
        assert origin.requests[0].values("connection") == []


async def test_an_upstream_that_closes_does_not_close_the_client(shop: Storefront) -> None:
    async def once(peer: Peer) -> None:
        if await peer.read_request():
            await peer.send(ok(b"once", "Connection: close"))
            peer.close()

    async with shop.origin(once) as origin, shop.client() as client:
        for _ in range(3):
            assert (await client.get("/")).values("connection") == []
        assert len(origin.peers) == 3
