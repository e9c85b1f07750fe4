"""An upstream that is gone, or speaks nonsense: 502, or an answer that is visibly incomplete."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.origin import Peer, Script, answering, ok
from tests.support.raw_client import request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    async with storefront(tmp_path_factory.mktemp("planb")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


def _after(data: bytes, *, then: str) -> Script:
    """Sends `data` in answer to anything, then closes or resets."""

    async def script(peer: Peer) -> None:
        if await peer.read_request() is None:
            return
        await peer.send(data)
        if then == "reset" and data:
            # A reset overtakes what was sent before it, unless that has been read.
            await asyncio.sleep(0.05)
        if then == "reset":
            peer.reset()
        else:
            peer.close()

    return script


async def _is_502(shop: Storefront) -> None:
    failed = await shop.verdicts("failed", "upstream_error")
    async with shop.client() as client:
        for _ in range(2):
            answer = await client.get("/")
            assert answer.status == 502
            assert answer.header("proxy-status") == (
                'planb; error=connection_terminated; details="upstream_error"'
            )
            assert answer.header("retry-after")
    await shop.is_at_rest()
    assert await shop.verdicts("failed", "upstream_error") == failed + 2


async def test_an_upstream_that_refuses_is_a_502(shop: Storefront) -> None:
    await _is_502(shop)


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize(
    "data", [b"", b"HT", b"HTTP/1.1 200 OK\r\nContent-Length: 2", b"HTTP/1.1 103 E\r\n\r\n"]
)
async def test_an_upstream_that_leaves_before_its_head_s_end_is_a_502(
    shop: Storefront, data: bytes, then: str
) -> None:
    async with shop.origin(_after(data, then=then)):
        if data.startswith(b"HTTP/1.1 103"):
            async with shop.client() as client:
                await client.send(request_head("GET", "/"))
                assert (await client.read_response()).status == 103
                assert (await client.read_response()).status == 502
        else:
            await _is_502(shop)


async def test_an_upstream_that_resets_at_once_is_a_502(shop: Storefront) -> None:
    async def script(peer: Peer) -> None:
        peer.reset()

    async with shop.origin(script):
        await _is_502(shop)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 103 Hint\r\n\r\n" * 40,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"\x00\xff" * 100,
    ],
)
async def test_nonsense_is_a_502(shop: Storefront, data: bytes) -> None:
    async def script(peer: Peer) -> None:
        if await peer.read_request():
            await peer.send(data)
            await peer.left.wait()

    async with shop.origin(script, peers_may_leave=True), shop.client() as client:
        await client.send(request_head("GET", "/"))
        answer = await client.read_response()
        while answer.status == 103:
            answer = await client.read_response()
        assert answer.status == 502


INCOMPLETE = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
}


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("framing", INCOMPLETE)
async def test_a_response_that_is_cut_short_does_not_look_complete(
    shop: Storefront, framing: str, version: bytes, then: str
) -> None:
    script = _after(INCOMPLETE[framing], then=then)
    async with shop.origin(script), shop.client() as client:
        await client.send(b"GET / HTTP/%b\r\nHost: shop.test\r\n\r\n" % version)
        # To a 1.0 client a close would be a chunked body's good end: it sees a reset.
        with pytest.raises(ConnectionError):
            await client.read_response()


async def test_a_reset_is_no_end_of_a_response_without_a_length(shop: Storefront) -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\nhalf"
    async with shop.origin(_after(head, then="reset")):
        for version in (b"1.1", b"1.0"):
            async with shop.client() as client:
                await client.send(b"GET / HTTP/%b\r\nHost: shop.test\r\n\r\n" % version)
                with pytest.raises(ConnectionError):
                    await client.read_response()


async def test_a_malformed_chunk_within_a_response_leaves_it_incomplete(shop: Storefront) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await go_on.wait()
        await peer.send(b"zz\r\n")
        await peer.left.wait()

    async with shop.origin(script), shop.client() as client:
        await client.send(request_head("GET", "/"))
        assert await client.read_until(b"half\r\n")
        go_on.set()
        assert await client.is_closed_by_peer()


async def test_bytes_after_a_response_are_no_response_to_the_next_request(
    shop: Storefront,
) -> None:
    async with shop.origin(answering(ok(b"good") + ok(b"evil"))) as origin:
        async with shop.client() as client:
            for _ in range(3):
                assert (await client.get("/")).body == b"good"
        assert len(origin.peers) == 3


async def test_an_upstream_that_dies_while_it_is_sent_a_body_is_a_502(shop: Storefront) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request_head()
        await peer.reader.readexactly(1000)
        peer.reset()

    async with shop.origin(script), shop.client() as client:
        await client.send(request_head("POST", "/", "Content-Length: 5000000") + b"x" * 1000)
        answer = await client.read_response()
        assert answer.status == 502
        assert answer.header("connection") == "close"


async def test_an_upstream_that_dies_leaves_a_small_upload_s_connection_usable(
    shop: Storefront,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request_head()
        peer.reset()

    async with shop.client() as client:
        async with shop.origin(script):
            await client.send(request_head("POST", "/", "Content-Length: 2000") + b"x" * 1000)
            assert (await client.read_response()).status == 502
            await client.send(b"x" * 1000)
        async with shop.origin(answering(ok())):
            assert (await client.get("/")).status == 200


async def test_the_shop_s_return_is_noticed_at_once(shop: Storefront) -> None:
    async with shop.client() as client:
        for _ in range(3):
            async with shop.origin(answering(ok())):
                assert (await client.get("/")).status == 200
            assert (await client.get("/")).status == 502
