"""A gigabyte each way: streamed, so that Plan B's memory does not grow with it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.origin import Peer, RawOrigin
from tests.support.raw_client import RawClient, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

GIBIBYTE = 1 << 30
PIECE = bytes(1 << 20)
MOST_GROWTH = 50 << 20
WITHIN = 60.0


@pytest_asyncio.fixture(loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    # A process for each test: the peak is that of its whole life.
    async with storefront(tmp_path_factory.mktemp("planb")) as running:
        yield running
        await running.is_at_rest()


async def _send(peer: Peer | RawClient, *, chunked: bool) -> None:
    data = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE
    for _ in range(GIBIBYTE // len(PIECE)):
        await peer.send(data)
    if chunked:
        await peer.send(b"0\r\n\r\n")


async def _read_all(reader: asyncio.StreamReader, size: int) -> int:
    """Reads `size` bytes, or to the end: how many came."""
    count = 0
    while count < size and (piece := await reader.read(1 << 20)):
        count += len(piece)
    return count


@pytest.mark.parametrize("framing", ["length", "until close"])
async def test_a_download_of_a_gibibyte(shop: Storefront, framing: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        length = f"Content-Length: {GIBIBYTE}" if framing == "length" else "Connection: close"
        await peer.send(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
        await _send(peer, chunked=False)

    before = shop.planb.rss_bytes()
    async with shop.origin(script, records=False), shop.client(WITHIN) as client:
        # To a 1.0 client the content goes as it is.
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        await client.read_head()
        # A reader in fits and starts: what it does not take must wait at the upstream.
        for _ in range(20):
            await client.read_exactly(1 << 20)
            await asyncio.sleep(0.01)
        rest = GIBIBYTE - (20 << 20)
        async with asyncio.timeout(WITHIN):
            assert await _read_all(client._reader, rest + 1) == rest
    assert shop.planb.peak_rss_bytes() - before < MOST_GROWTH


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_an_upload_of_a_gibibyte(shop: Storefront, framing: str) -> None:
    chunked = framing == "chunked"
    received = 0

    async def script(peer: Peer) -> None:
        nonlocal received
        await peer.read_request_head()
        for _ in range(20):
            received += len(await peer.reader.read(1 << 18))
            await asyncio.sleep(0.01)
        received += await _read_all(peer.reader, GIBIBYTE - received)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    before = shop.planb.rss_bytes()
    origin = RawOrigin(script, port=shop.origin_port, records=False, peers_may_leave=True)
    async with origin, shop.client(WITHIN) as client:
        line = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {GIBIBYTE}"
        await client.send(request_head("POST", "/", line))
        await _send(client, chunked=chunked)
        assert (await client.read_response()).status == 200
    assert received >= GIBIBYTE
    assert shop.planb.peak_rss_bytes() - before < MOST_GROWTH
