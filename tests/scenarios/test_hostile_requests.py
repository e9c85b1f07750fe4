"""Requests that are malformed, ambiguous or too large: refused, and nothing of them passed on."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.messages import Response
from tests.support.origin import Peer, answering, ok
from tests.support.raw_client import RawClient, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTENER = "max_head_size: 4KiB"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    async with storefront(tmp_path_factory.mktemp("planb"), listener=LISTENER) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


HOST = b"Host: shop.test\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"

SMUGGLING = {
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + SMUGGLED,
    "two equal lengths": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "signed length": POST + b"Content-Length: +5\r\n\r\nhello",
    "negative length": POST + b"Content-Length: -5\r\n\r\nhello",
    "hexadecimal length": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "empty length": POST + b"Content-Length:\r\n\r\n" + SMUGGLED,
    "length of 2^63": POST + b"Content-Length: 9223372036854775808\r\n\r\n",
    "length and chunked": POST
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "chunked and length": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings fields": POST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    "vertical tab before chunked": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in 1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before a colon": POST + b"Content-Length : 5\r\n\r\nhello",
    "tab before a colon": POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "folded line": POST + b"X: 1\r\n Transfer-Encoding: chunked\r\n\r\n",
    "space before the first field": b"GET / HTTP/1.1\r\n Host: shop.test\r\n\r\n",
    "bare LF in a head": b"GET / HTTP/1.1\nHost: shop.test\n\n",
    "bare LF after a field": b"GET / HTTP/1.1\r\nX: 1\n" + HOST + b"\r\n",
    "bare CR in a value": b"GET / HTTP/1.1\r\nX: 1\rY: 2\r\n" + HOST + b"\r\n",
    "NUL in a value": b"GET / HTTP/1.1\r\nX: a\0b\r\n" + HOST + b"\r\n",
    "control character in a value": b"GET / HTTP/1.1\r\nX: a\x01b\r\n" + HOST + b"\r\n",
    "control character in a name": b"GET / HTTP/1.1\r\nX\x01: a\r\n" + HOST + b"\r\n",
    "no name": b"GET / HTTP/1.1\r\n: a\r\n" + HOST + b"\r\n",
    "no colon": b"GET / HTTP/1.1\r\nabc\r\n" + HOST + b"\r\n",
    "space in the target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "tab in the target": b"GET /a\tb HTTP/1.1\r\n" + HOST + b"\r\n",
    "NUL in the target": b"GET /\0 HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /#a HTTP/1.1\r\n" + HOST + b"\r\n",
    "relative target": b"GET a HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "lower-case version": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "version 1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "version 0.9": b"GET /\r\n",
    "brackets in the method": b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "host with a path": b"GET / HTTP/1.1\r\nHost: shop.test/x\r\n\r\n",
    "host unlike the target's": b"GET http://other.test/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(32),
    "chunk size with 0x": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "negative chunk size": CHUNKED + b"-1\r\n\r\n0\r\n\r\n",
    "empty chunk size": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "chunk size of 17 digits": CHUNKED + b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "chunk size of 2^63": CHUNKED + b"8000000000000000\r\n",
    "space before a chunk size": CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n",
    "space after a chunk size": CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
    "bare LF after a chunk size": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "bare LF in an extension": CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "bare CR in an extension": CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "chunk too long": CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n",
    "bare LF after a chunk": CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    "space before a trailer's colon": CHUNKED + b"0\r\nX : 1\r\n\r\n",
    "bare LF in the trailers": CHUNKED + b"0\r\nX: 1\n\r\n",
}


async def _is_refused(client: RawClient, status: int = 400) -> Response:
    answer = await client.read_response()
    assert answer.status == status, answer
    assert answer.header("connection") == "close"
    assert await client.is_closed_by_peer()
    return answer


@pytest.mark.parametrize("name", SMUGGLING)
async def test_smuggling_is_refused_and_not_a_byte_reaches_the_shop(
    shop: Storefront, name: str
) -> None:
    async with shop.origin(answering(ok()), peers_may_leave=True) as origin:
        async with shop.client() as client:
            await client.send(SMUGGLING[name])
            await _is_refused(client)
        assert origin.received == b""


@pytest.mark.parametrize(
    "name",
    ["length and chunked", "bare LF after a field", "two lengths", "space after a chunk size"],
)
async def test_smuggling_is_refused_however_it_is_cut(shop: Storefront, name: str) -> None:
    data = SMUGGLING[name]
    refused = asyncio.Semaphore(8)

    async def cut_at(position: int) -> None:
        async with refused, shop.client() as client:
            await client.send(data[:position])
            # Nothing shows that the first part has been read: a moment is all there is.
            await asyncio.sleep(0.002)
            with contextlib.suppress(ConnectionError):
                await client.send(data[position:])
            await _is_refused(client)

    async with shop.origin(answering(ok()), peers_may_leave=True) as origin:
        await asyncio.gather(*(cut_at(position) for position in range(1, len(data))))
        assert origin.received == b""


@pytest.mark.parametrize("coding", ["gzip, chunked", "deflate,chunked"])
async def test_a_coding_that_we_do_not_know_is_not_implemented(
    shop: Storefront, coding: str
) -> None:
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        await client.send(request_head("POST", "/", f"Transfer-Encoding: {coding}"))
        await _is_refused(client, 501)
        assert origin.peers == []


# ------------------------------------------------------------------ pipelining


async def test_pipelined_requests_are_answered_in_order(shop: Storefront) -> None:
    data = b"".join(
        request_head("POST", f"/{number}", "Content-Length: 5") + b"%05d" % number
        if number % 2
        else request_head("GET", f"/{number}")
        for number in range(50)
    )
    script = answering(lambda request: ok(request.target + request.body))
    async with shop.origin(script), shop.client() as client:
        await client.send(data)
        for number in range(50):
            body = b"/%d" % number + (b"%05d" % number if number % 2 else b"")
            assert (await client.read_response()).body == body


async def test_a_pipelined_request_waits_for_the_answer_before_it(shop: Storefront) -> None:
    seen = asyncio.Event()
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        while request := await peer.read_request():
            if request.target == b"/slow":
                seen.set()
                await go_on.wait()
            await peer.send(ok(request.target))

    async with shop.origin(script) as origin, shop.client() as client:
        await client.send(request_head("GET", "/slow") + request_head("GET", "/next"))
        await seen.wait()
        assert [request.target for request in origin.requests] == [b"/slow"]
        go_on.set()
        assert (await client.read_response()).body == b"/slow"
        assert (await client.read_response()).body == b"/next"


async def test_many_pipelined_requests_take_little_memory(shop: Storefront) -> None:
    seen = asyncio.Event()
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        while request := await peer.read_request():
            seen.set()
            await go_on.wait()
            await peer.send(ok(request.target))

    before = shop.planb.rss_bytes()
    async with shop.origin(script, records=False), shop.client(20.0) as client:

        async def send() -> None:
            for number in range(0, 1000, 10):
                await client.send(
                    b"".join(
                        request_head("GET", f"/{each}", "X: " + "x" * 3500)
                        for each in range(number, number + 10)
                    )
                )

        sending = asyncio.create_task(send())
        await seen.wait()
        # 3.5 MB: what one connection may hold is far less, the rest stays in the kernel.
        go_on.set()
        for number in range(1000):
            assert (await client.read_response()).body == b"/%d" % number
        await sending
    assert shop.planb.peak_rss_bytes() - before < 10 << 20


async def test_a_valid_request_before_a_bad_one_is_served_and_nothing_after(
    shop: Storefront,
) -> None:
    bad = b"GET / HTTP/1.1\r\nHost : shop.test\r\n\r\n"
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        await client.send(request_head("GET", "/good") + bad + request_head("GET", "/after"))
        assert (await client.read_response()).body == b"ok"
        await _is_refused(client)
        assert [request.target for request in origin.requests] == [b"/good"]


async def test_nothing_after_a_refused_body_is_served(shop: Storefront) -> None:
    async with shop.origin(answering(ok()), peers_may_leave=True) as origin:
        async with shop.client() as client:
            await client.send(CHUNKED + b"5\r\nhello\r\nzz\r\n" + request_head("GET", "/after"))
            await _is_refused(client)
        assert b"/after" not in origin.received


async def test_empty_lines_before_a_request_are_skipped(shop: Storefront) -> None:
    async with shop.origin(answering(ok())), shop.client() as client:
        for _ in range(2):
            await client.send(b"\r\n" + request_head("GET", "/"))
            assert (await client.read_response()).status == 200


# ----------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    "head",
    [
        request_head("GET", "/" + "x" * 5000),
        request_head("GET", "/", *(f"X-{n}: {'x' * 100}" for n in range(50))),
        request_head("GET", "/", "X: " + "x" * 1_000_000),
        request_head("GET", "/")[:-2] + b"X" * 5000,
    ],
)
async def test_a_head_that_is_too_large_is_refused(shop: Storefront, head: bytes) -> None:
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        await client.send(head)
        await _is_refused(client, 431)
        assert origin.peers == []


# --------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/html,*/*;q=0.8", "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
        ("text/plain", "text/plain; charset=utf-8"),
    ],
)
async def test_an_error_comes_in_the_form_that_was_asked_for(
    shop: Storefront, accept: str, content_type: str
) -> None:
    # Nobody listens on the upstream's port now.
    answer = await shop.fetch("GET", "/", f"Accept: {accept}")
    assert answer.status == 502
    assert answer.header("content-type") == content_type
    assert answer.header("cache-control") == "no-store"
    assert answer.header("proxy-status") == (
        'planb; error=connection_terminated; details="upstream_error"'
    )
    assert answer.header("date")
    assert answer.header("retry-after")
    assert len(answer.body) == int(answer.header("content-length") or 0) > 0
    head = await shop.fetch("HEAD", "/", f"Accept: {accept}")
    assert (head.status, head.body) == (502, b"")
    assert head.header("content-length")


async def test_a_malformed_request_s_answer_has_what_all_answers_have(shop: Storefront) -> None:
    async with shop.client() as client:
        await client.send(b"nonsense\r\n\r\n")
        answer = await _is_refused(client)
    assert answer.header("cache-control") == "no-store"
    assert answer.header("proxy-status") == (
        'planb; error=http_request_error; details="bad_request"'
    )
    assert answer.header("date")
