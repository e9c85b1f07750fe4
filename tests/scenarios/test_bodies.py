"""Bodies both ways: every framing, as they come, under flow control."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, send_until_stuck, storefront
from tests.support.http_origin import HttpOrigin, block
from tests.support.messages import read_head
from tests.support.origin import Peer, RawOrigin, answering, chunked, ok, response
from tests.support.raw_client import RawClient, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMITS = """
routes:
  - {name: small, match: {path: /small}, max_body_size: 1KB}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    async with storefront(tmp_path_factory.mktemp("planb"), more=LIMITS) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


def _http(shop: Storefront) -> HttpOrigin:
    return HttpOrigin(port=shop.origin_port, records=False)


# ---------------------------------------------------------------------- sizes


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 3_000_000])
@pytest.mark.parametrize("kind", ["bytes", "chunked", "until-close"])
async def test_a_download_arrives_whole(shop: Storefront, kind: str, size: int) -> None:
    async with _http(shop):
        answer = await shop.fetch("GET", f"/{kind}/{size}")
        assert answer.body == block(size)
        framing = "content-length" if kind == "bytes" else "transfer-encoding"
        assert answer.values(framing) == [str(size) if kind == "bytes" else "chunked"]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 3_000_000])
@pytest.mark.parametrize("kind", ["length", "chunked"])
async def test_an_upload_arrives_whole(shop: Storefront, kind: str, size: int) -> None:
    body = block(size)
    async with _http(shop), shop.client() as client:
        for _ in range(2):
            if kind == "length":
                await client.send(request_head("POST", "/upload", f"Content-Length: {size}"))
                await client.send(body)
            else:
                await client.send(request_head("POST", "/upload", "Transfer-Encoding: chunked"))
                await client.send(chunked(body, 70_000))
            content = json.loads((await client.read_response()).body)
            assert content == {"length": size, "sha256": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize("kind", ["bytes", "chunked", "until-close"])
async def test_a_1_0_client_gets_a_body_without_chunks(shop: Storefront, kind: str) -> None:
    async with _http(shop), shop.client() as client:
        await client.send(b"GET /%b/100000 HTTP/1.0\r\n\r\n" % kind.encode())
        answer = await client.read_response()
        assert answer.values("transfer-encoding") == []
        assert answer.body == block(100_000)
        assert await client.is_closed_by_peer()


async def test_trailers_pass_both_ways(shop: Storefront) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.read_request()
        assert request is not None
        assert request.trailers == [(b"X-Sum", b"1")]
        await peer.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n"
            b"2\r\nhi\r\n0\r\nX-Check: \xe9\r\nContent-Length: 7\r\n\r\n"
        )

    async with shop.origin(script):
        answer = await shop.fetch(
            "POST", "/", "Transfer-Encoding: chunked", body=b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"
        )
    assert answer.body == b"hi"
    # What would have had to be known before is no trailer.
    assert answer.trailers == [(b"X-Check", b"\xe9")]
    assert answer.header("trailer") == "X-Check"


async def test_chunk_extensions_do_not_pass(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin:
        await shop.fetch(
            "POST", "/", "Transfer-Encoding: chunked", body=b'1;a="b"\r\na\r\n0;x\r\n\r\n'
        )
    assert origin.received.endswith(b"\r\n\r\n1\r\na\r\n0\r\n\r\n")


# --------------------------------------------------------------------- limits


@pytest.mark.parametrize("size", [1000, 1001])
async def test_a_body_s_length_is_limited_before_it_comes(shop: Storefront, size: int) -> None:
    async with shop.origin(answering(ok())) as origin:
        length = f"Content-Length: {size}"
        status = (await shop.fetch("POST", "/small", length, body=block(size))).status
        assert status == (200 if size == 1000 else 413)
        assert bool(origin.peers) == (size == 1000)


@pytest.mark.parametrize("size", [1000, 1001])
async def test_a_chunked_body_is_limited_as_it_comes(shop: Storefront, size: int) -> None:
    async with shop.origin(answering(ok()), peers_may_leave=True), shop.client() as client:
        await client.send(request_head("POST", "/small", "Transfer-Encoding: chunked"))
        await client.send(chunked(block(size), 100))
        answer = await client.read_response()
        assert answer.status == (200 if size == 1000 else 413)
        if size > 1000:
            assert answer.header("connection") == "close"
            assert await client.is_closed_by_peer()


# --------------------------------------------------------------- 100-continue


async def test_the_upstream_s_100_asks_for_the_body(shop: Storefront) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.read_request_head()
        assert request is not None
        assert request.header("expect") == "100-continue"
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.read_body(request)
        await peer.send(ok(request.body))

    async with shop.origin(script), shop.client() as client:
        await client.send(request_head("PUT", "/", "Expect: 100-continue", "Content-Length: 2"))
        assert (await client.read_response()).status == 100
        await client.send(b"hi")
        assert (await client.read_response()).body == b"hi"


@pytest.mark.parametrize("status", [417, 200])
async def test_an_upstream_may_answer_instead_of_asking_for_the_body(
    shop: Storefront, status: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request_head()
        await peer.send(response(status, "No", b"no"))
        await peer.left.wait()

    async with shop.origin(script, peers_may_leave=True), shop.client() as client:
        await client.send(request_head("PUT", "/", "Expect: 100-continue", "Content-Length: 2"))
        answer = await client.read_response()
        assert (answer.status, answer.body) == (status, b"no")
        # Whether the body still comes is not known: the connection can't be used again.
        assert answer.header("connection") == "close"
        assert await client.is_closed_by_peer()


async def test_a_client_need_not_wait_for_a_100(shop: Storefront) -> None:
    async with shop.origin(answering(b"HTTP/1.1 100 Continue\r\n\r\n" + ok())) as origin:
        async with shop.client() as client:
            head = request_head("PUT", "/", "Expect: 100-continue", "Content-Length: 2")
            await client.send(head + b"hi")
            assert (await client.read_response()).status == 100
            assert (await client.read_response()).status == 200
            assert (await client.get("/next")).status == 100
        assert origin.requests[0].body == b"hi"


async def test_a_1_0_client_is_never_sent_a_100(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        await client.send(b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")
        assert (await client.read_response()).status == 200
        assert origin.requests[0].values("expect") == []


# -------------------------------------------------------------- early answers


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("kind", ["length", "chunked"])
async def test_an_answer_during_an_upload_arrives(
    shop: Storefront, kind: str, closes: bool
) -> None:
    size = 10 << 20

    async def script(peer: Peer) -> None:
        await peer.read_request_head()
        await peer.reader.readexactly(10_000)
        await peer.send(response(413, "Too Large", b"too large", "Connection: close"))
        if closes:
            peer.close()
        else:
            await peer.left.wait()

    async with shop.origin(script, records=False, peers_may_leave=True):
        for _ in range(10):
            async with shop.client() as client:
                sending = asyncio.create_task(_upload(client, kind, size))
                answer = await client.read_response()
                assert (answer.status, answer.body) == (413, b"too large")
                await client.is_closed_by_peer()
                await sending


async def _upload(client: RawClient, kind: str, size: int) -> None:
    framing = "Transfer-Encoding: chunked" if kind == "chunked" else f"Content-Length: {size}"
    with contextlib.suppress(ConnectionError):
        await client.send(request_head("POST", "/", framing))
        for _ in range(size >> 16):
            piece = block(1 << 16)
            await client.send(chunked(piece, 1 << 16)[:-5] if kind == "chunked" else piece)
            # While the kernel takes everything, sending alone lets nobody read.
            await asyncio.sleep(0)


async def test_the_rest_of_an_upload_that_was_answered_is_no_request(shop: Storefront) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request_head()
        await peer.send(ok(b"early"))
        await peer.left.wait()

    smuggled = request_head("GET", "/smuggled")
    async with shop.origin(script, peers_may_leave=True) as origin, shop.client() as client:
        await client.send(request_head("POST", "/", f"Content-Length: {len(smuggled) + 1}"))
        assert (await client.read_response()).body == b"early"
        with contextlib.suppress(ConnectionError):
            await client.send(smuggled + b"x" + smuggled)
        assert await client.is_closed_by_peer()
        assert len(origin.requests) == 1


async def test_a_malformed_chunk_after_an_early_answer_ends_the_connection(
    shop: Storefront,
) -> None:
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh")
        await begun.wait()
        await peer.send(b"i")
        await peer.left.wait()

    async with shop.origin(script, peers_may_leave=True) as origin, shop.client() as client:
        await client.send(request_head("POST", "/", "Transfer-Encoding: chunked") + b"1\r\na\r\n")
        await client.read_head()
        await client.send(b"zz\r\n" + request_head("GET", "/smuggled"))
        begun.set()
        assert (await client.read_to_end()) in (b"h", b"hi")
        assert len(origin.requests) == 1


async def test_both_bodies_stream_at_the_same_time(shop: Storefront) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while (line := await peer.reader.readuntil(b"\r\n")) != b"0\r\n":
            piece = await peer.reader.readexactly(int(line, 16) + 2)
            await peer.send(line + piece)
        await peer.reader.readexactly(2)
        await peer.send(b"0\r\n\r\n")

    async with shop.origin(script), shop.client() as client:
        await client.send(request_head("POST", "/", "Transfer-Encoding: chunked"))
        assert (await client.read_head()).status == 200
        for number in range(20):
            piece = b"2\r\n%02d\r\n" % number
            await client.send(piece)
            assert await client.read_exactly(len(piece)) == piece
        await client.send(b"0\r\n\r\n")
        assert await client.read_exactly(5) == b"0\r\n\r\n"


# ------------------------------------------------------------------ streaming


async def test_server_sent_events_arrive_one_by_one(shop: Storefront) -> None:
    async with _http(shop) as origin, shop.client() as client:
        await client.send(request_head("GET", "/events", "Accept: text/event-stream"))
        assert (await client.read_head()).header("content-type") == "text/event-stream"
        for number in range(20):
            event = b"data: %d\n\n" % number
            origin.events.put_nowait(event)
            assert await client.read_until(event + b"\r\n") == b"%x\r\n%b\r\n" % (len(event), event)
        origin.events.put_nowait(None)
        assert await client.read_until(b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_a_head_arrives_before_its_body(shop: Storefront) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await go_on.wait()
        await peer.send(b"hi")

    async with shop.origin(script), shop.client() as client:
        await client.send(request_head("GET", "/"))
        await client.read_head()
        go_on.set()
        assert await client.read_exactly(2) == b"hi"


# --------------------------------------------------------------- flow control

IN_THE_KERNEL = 128 << 20
"""More than four socket buffers (tcp_rmem lets one be 32 MiB on some systems) and Plan B's own."""


class Endless:
    """Sends as much as the other side takes."""

    def __init__(self) -> None:
        self.sent = 0
        self.stalled = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            try:
                async with asyncio.timeout(0.5):
                    await peer.send(block(1 << 16))
            except TimeoutError:
                self.stalled.set()
                await peer.writer.drain()
            self.sent += 1 << 16


async def test_a_client_that_does_not_read_pauses_the_upstream(shop: Storefront) -> None:
    script = Endless()
    async with shop.origin(script, records=False, peers_may_leave=True), shop.client() as client:
        await client.send(request_head("GET", "/"))
        await client.read_head()
        async with asyncio.timeout(10):
            await script.stalled.wait()
        assert script.sent < IN_THE_KERNEL
        paused_at = script.sent
        while script.sent < paused_at + IN_THE_KERNEL:
            assert await client.read_some()


async def test_an_upstream_that_does_not_read_pauses_the_client(shop: Storefront) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await read_head(peer.reader)
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go_on.wait()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        while await peer.reader.read(1 << 18):
            pass

    size = 2 * IN_THE_KERNEL
    async with (
        RawOrigin(script, port=shop.origin_port, records=False, peers_may_leave=True),
        shop.client() as client,
    ):
        await client.send(request_head("POST", "/", f"Content-Length: {size}"))
        assert await send_until_stuck(client, size) < IN_THE_KERNEL
        go_on.set()
        await client.send(block(IN_THE_KERNEL))
