"""Connections that change to another protocol: tunnelled, both ways, until either side ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support import websocket
from tests.support.http_origin import HttpOrigin, block
from tests.support.messages import Response
from tests.support.origin import Peer, answering, ok, response
from tests.support.raw_client import RawClient, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPSTREAM = "timeouts: {tunnel: 700ms}"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET = request_head(
    "GET",
    "/websocket",
    "Connection: keep-alive, Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)
FOO = request_head("GET", "/", "Connection: Upgrade", "Upgrade: foo/1")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo/1\r\n\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    async with storefront(tmp_path_factory.mktemp("planb"), upstream=UPSTREAM) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


def _frame(opcode: int, payload: bytes) -> bytes:
    return websocket.render_frame(opcode, payload, masked=True)


async def _upgraded(client: RawClient, data: bytes) -> Response:
    await client.send(data)
    answer = await client.read_head()
    assert answer.status == 101, answer
    assert (answer.header("connection") or "").lower() == "upgrade"
    return answer


async def test_a_websocket_talks_both_ways_until_it_closes(shop: Storefront) -> None:
    async with HttpOrigin(port=shop.origin_port), shop.client() as client:
        answer = await _upgraded(client, WEBSOCKET)
        assert answer.header("upgrade") == "websocket"
        assert answer.header("sec-websocket-accept") == websocket.accept_key(KEY)
        for opcode, payload in [
            (websocket.TEXT, "Grüße".encode()),
            (websocket.PING, b"?"),
            (websocket.BINARY, block(300_000)),
            (websocket.CLOSE, b"\x03\xe8"),
        ]:
            await client.send(_frame(opcode, payload))
            assert await client.read_frame() == (opcode, payload)
        assert await client.is_closed_by_peer()
    assert await shop.verdicts("forwarded") >= 1


async def test_frames_sent_with_the_upgrade_s_head_are_not_lost(shop: Storefront) -> None:
    async with HttpOrigin(port=shop.origin_port), shop.client() as client:
        early = _frame(websocket.TEXT, b"early") + _frame(websocket.BINARY, block(100_000))
        await _upgraded(client, WEBSOCKET + early)
        assert await client.read_frame() == (websocket.TEXT, b"early")
        assert await client.read_frame() == (websocket.BINARY, block(100_000))


async def test_any_protocol_passes_and_what_comes_with_the_101(shop: Storefront) -> None:
    async def script(peer: Peer) -> None:
        request = await peer.read_request()
        assert request is not None
        assert request.header("upgrade") == "foo/1"
        assert request.header("connection") == "Upgrade"
        await peer.send(SWITCHED + b"welcome")
        assert await peer.reader.readexactly(3) == b"\x00hi"
        await peer.send(b"bye")

    async with shop.origin(script), shop.client() as client:
        assert (await _upgraded(client, FOO)).head == SWITCHED.replace(
            b"Connection: Upgrade\r\nUpgrade: foo/1", b"Upgrade: foo/1\r\nConnection: Upgrade"
        )
        assert await client.read_exactly(7) == b"welcome"
        await client.send(b"\x00hi")
        assert await client.read_to_end() == b"bye"


@pytest.mark.parametrize("status", [426, 200, 400])
async def test_a_declined_upgrade_leaves_the_connection_usable(
    shop: Storefront, status: int
) -> None:
    declined = response(status, "No", b"no", "Upgrade: foo/2", "Connection: Upgrade")
    async with shop.origin(answering(declined, ok())), shop.client() as client:
        await client.send(FOO + request_head("GET", "/next"))
        answer = await client.read_response()
        assert (answer.status, answer.body) == (status, b"no")
        assert answer.header("upgrade") == ("foo/2" if status == 426 else None)
        assert (await client.read_response()).body == b"ok"


@pytest.mark.parametrize("protocol", ["h2c", "HTTP/2.0", "TLS/1.2", "h2c, TLS/1.2"])
async def test_http_itself_is_never_upgraded_to(shop: Storefront, protocol: str) -> None:
    lines = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAM")
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        assert (await client.get("/", *lines)).body == b"ok"
        for name in ("upgrade", "connection", "http2-settings"):
            assert origin.requests[0].values(name) == []


async def test_an_upgrade_without_its_connection_option_is_none(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        await client.get("/", "Upgrade: websocket")
        assert origin.requests[0].values("upgrade") == []


@pytest.mark.parametrize(
    ("lines", "switched"),
    [
        ((), SWITCHED),
        (("Connection: Upgrade", "Upgrade: foo/1"), SWITCHED.replace(b"foo/1", b"h2c")),
        (("Connection: Upgrade", "Upgrade: foo/1", "Content-Length: 9"), SWITCHED),
    ],
)
async def test_a_change_that_was_not_asked_for_is_a_502(
    shop: Storefront, lines: tuple[str, ...], switched: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request_head()
        await peer.send(switched)
        await peer.left.wait()

    async with shop.origin(script), shop.client() as client:
        await client.send(request_head("GET", "/", *lines))
        assert (await client.read_response()).status == 502


# ------------------------------------------------------------------- its end


class Tunnel:
    """An upstream that has switched, for the test to play with."""

    def __init__(self) -> None:
        self.peer: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    async def __call__(self, peer: Peer) -> None:
        await peer.read_request()
        await peer.send(SWITCHED)
        self.peer.set_result(peer)
        await peer.left.wait()


@pytest.mark.parametrize("resets", [False, True])
async def test_a_client_that_leaves_ends_the_tunnel(shop: Storefront, resets: bool) -> None:
    script = Tunnel()
    async with shop.origin(script):
        async with shop.client() as client:
            await _upgraded(client, FOO)
            peer = await script.peer
            await client.send(b"last words")
            if resets:
                assert await peer.reader.readexactly(10) == b"last words"
                await client.reset()
        async with asyncio.timeout(5):
            await peer.left.wait()


async def test_a_client_s_last_words_arrive(shop: Storefront) -> None:
    words = block(200_000)
    script = Tunnel()
    async with shop.origin(script), shop.client() as client:
        await _upgraded(client, FOO)
        peer = await script.peer
        await client.send(words)
        client.half_close()
        assert await peer.reader.readexactly(len(words)) == words
        assert await peer.reader.read() == b""


@pytest.mark.parametrize("resets", [False, True])
async def test_an_upstream_that_leaves_ends_the_tunnel(shop: Storefront, resets: bool) -> None:
    script = Tunnel()
    async with shop.origin(script), shop.client() as client:
        await _upgraded(client, FOO)
        peer = await script.peer
        if resets:
            peer.reset()
        else:
            await peer.send(b"last words")
            peer.close()
            assert await client.read_exactly(10) == b"last words"
        assert await client.is_closed_by_peer()


async def test_a_silent_tunnel_ends(shop: Storefront) -> None:
    script = Tunnel()
    async with shop.origin(script), shop.client() as client:
        await _upgraded(client, FOO)
        for _ in range(5):
            # Either direction keeps it open.
            await asyncio.sleep(0.3)
            await client.send(b"x")
        assert await client.is_closed_by_peer()


async def test_a_tunnel_has_flow_control_both_ways(shop: Storefront) -> None:
    script = Tunnel()
    async with shop.origin(script, records=False), shop.client() as client:
        await _upgraded(client, FOO)
        peer = await script.peer
        size = 32 << 20
        before = shop.planb.rss_bytes()

        async def flood() -> None:
            with contextlib.suppress(ConnectionError):
                await peer.send(block(size))

        async def upload() -> None:
            for _ in range(size >> 20):
                await client.send(block(1 << 20))

        flooding = asyncio.create_task(flood())
        uploading = asyncio.create_task(upload())
        # Neither reads for a while.
        await asyncio.sleep(0.3)
        assert not flooding.done()
        assert not uploading.done()
        await asyncio.gather(client.read_exactly(size), peer.reader.readexactly(size))
        await asyncio.gather(flooding, uploading)
        assert shop.planb.peak_rss_bytes() - before < 20 << 20
