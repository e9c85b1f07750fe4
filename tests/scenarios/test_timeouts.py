"""Whoever keeps Plan B waiting: client or upstream, in whichever part of a message."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.http_origin import block
from tests.support.messages import PeerLeftError
from tests.support.origin import Peer, answering, ok
from tests.support.raw_client import request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTENER = "timeouts: {head: 600ms, body: 600ms, idle: 300ms, send: 500ms}, min_body_rate: 1KB/s"
UPSTREAM = "timeouts: {response: 500ms, body: 500ms, idle: 500ms, tunnel: 500ms}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    directory = tmp_path_factory.mktemp("planb")
    async with storefront(directory, listener=LISTENER, upstream=UPSTREAM) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


# -------------------------------------------------------------------- listener


async def test_a_head_that_does_not_end_is_given_up(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        await client.send(b"GET / HTTP/1.1\r\nHost: shop.test\r\nX-")
        answer = await client.read_response()
        assert answer.status == 408
        assert answer.header("connection") == "close"
        assert await client.is_closed_by_peer()
        assert origin.peers == []


async def test_a_head_that_comes_byte_by_byte_is_given_up(shop: Storefront) -> None:
    async with shop.client() as client:

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await client.send(b"x")
                    await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        try:
            assert (await client.read_response()).status == 408
        finally:
            dripping.cancel()


async def test_the_second_head_must_end_as_well(shop: Storefront) -> None:
    async with shop.origin(answering(ok())), shop.client() as client:
        await client.send(request_head("GET", "/") + b"GET / HT")
        assert (await client.read_response()).status == 200
        assert (await client.read_response()).status == 408


async def test_a_head_in_its_time_outlives_the_idle_time(shop: Storefront) -> None:
    async with shop.origin(answering(ok())), shop.client() as client:
        data = request_head("GET", "/")
        await client.send(data[:-2])
        await asyncio.sleep(0.4)
        await client.send(data[-2:])
        assert (await client.read_response()).status == 200


@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_come_is_given_up(shop: Storefront, framing: str) -> None:
    async with shop.origin(answering(ok()), peers_may_leave=True), shop.client() as client:
        await client.send(request_head("POST", "/", framing))
        answer = await client.read_response()
        assert answer.status == 408
        assert answer.header("connection") == "close"
        assert await client.is_closed_by_peer()


async def test_a_body_that_comes_too_slowly_is_given_up(shop: Storefront) -> None:
    async with shop.origin(answering(ok()), peers_may_leave=True), shop.client() as client:
        await client.send(request_head("POST", "/", "Content-Length: 5000"))
        began = time.monotonic()

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                for _ in range(5000):
                    await client.send(b"x")
                    await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        try:
            assert (await client.read_response()).status == 408
        finally:
            dripping.cancel()
        assert time.monotonic() - began < 5.0


async def test_a_body_at_the_least_rate_earns_its_time(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        await client.send(request_head("POST", "/", "Content-Length: 5000"))
        for _ in range(10):
            await client.send(block(500))
            await asyncio.sleep(0.1)
        assert (await client.read_response()).status == 200
        assert origin.requests[0].body == block(500) * 10


async def test_no_earned_time_is_for_silence(shop: Storefront) -> None:
    async with shop.origin(answering(ok()), peers_may_leave=True), shop.client() as client:
        # Worth a hundred seconds.
        await client.send(request_head("POST", "/", "Content-Length: 200000") + block(100_000))
        assert (await client.read_response()).status == 408


async def test_an_idle_connection_is_closed_without_an_answer(shop: Storefront) -> None:
    async with shop.origin(answering(ok())):
        async with shop.client() as client:
            assert await client.is_closed_by_peer()
        async with shop.client() as client:
            await client.get("/")
            assert await client.is_closed_by_peer()


async def test_a_client_that_takes_nothing_is_cut(shop: Storefront) -> None:
    async def endless(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            await peer.send(block(1 << 16))

    async with (
        shop.origin(endless, records=False, peers_may_leave=True) as origin,
        shop.client() as client,
    ):
        await client.send(request_head("GET", "/"))
        await client.read_head()
        async with asyncio.timeout(10):
            await origin.peers[0].left.wait()
        await shop.is_at_rest()
        with pytest.raises(ConnectionError):
            await client.read_to_end()


async def test_a_client_that_does_not_take_the_last_bytes_is_cut(shop: Storefront) -> None:
    size = 8 << 20

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await peer.send(block(size))

    async with shop.origin(script, peers_may_leave=True), shop.client() as client:
        await client.send(request_head("GET", "/", "Connection: close"))
        await client.read_head()
        await shop.is_at_rest()


# -------------------------------------------------------------------- upstream


async def test_an_upstream_that_does_not_answer_is_given_up(shop: Storefront) -> None:
    async def stall(peer: Peer) -> None:
        await peer.read_request()
        await peer.left.wait()

    async with shop.origin(stall), shop.client() as client:
        for _ in range(2):
            answer = await client.get("/")
            assert answer.status == 504
            assert answer.header("proxy-status") == (
                'planb; error=http_response_timeout; details="upstream_timeout"'
            )


async def test_an_upstream_that_does_not_end_its_head_is_given_up(shop: Storefront) -> None:
    async def drip(peer: Peer) -> None:
        await peer.read_request()
        await peer.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 2000, interval=0.02)

    async with shop.origin(drip, peers_may_leave=True):
        assert (await shop.fetch("GET", "/")).status == 504


async def test_interim_responses_do_not_prolong_the_wait(shop: Storefront) -> None:
    async def hints(peer: Peer) -> None:
        await peer.read_request()
        for _ in range(30):
            await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            await asyncio.sleep(0.1)

    async with shop.origin(hints, peers_may_leave=True):
        assert (await shop.fetch("GET", "/")).status == 504


async def test_the_wait_for_a_response_begins_with_the_request_s_end(shop: Storefront) -> None:
    async with shop.origin(answering(ok())), shop.client() as client:
        await client.send(request_head("POST", "/", "Content-Length: 5000"))
        for _ in range(8):
            await client.send(block(625))
            await asyncio.sleep(0.1)
        assert (await client.read_response()).status == 200


async def test_an_upstream_that_does_not_ask_for_the_body_is_given_up(shop: Storefront) -> None:
    async def stall(peer: Peer) -> None:
        await peer.read_request_head()
        await peer.left.wait()

    async with shop.origin(stall), shop.client() as client:
        await client.send(request_head("PUT", "/", "Expect: 100-continue", "Content-Length: 2"))
        assert (await client.read_response()).status == 504


async def test_a_client_that_was_asked_for_the_body_must_send_it(shop: Storefront) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request_head()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.left.wait()

    async with shop.origin(script), shop.client() as client:
        await client.send(request_head("PUT", "/", "Expect: 100-continue", "Content-Length: 2"))
        assert (await client.read_response()).status == 100
        assert (await client.read_response()).status == 408


async def test_an_upstream_that_takes_no_more_of_an_upload_is_given_up(shop: Storefront) -> None:
    async def deaf(peer: Peer) -> None:
        await peer.read_request_head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    async with shop.origin(deaf, peers_may_leave=True), shop.client() as client:
        await client.send(request_head("POST", "/", f"Content-Length: {64 << 20}"))

        async def upload() -> None:
            with contextlib.suppress(ConnectionError):
                for _ in range(64):
                    await client.send(block(1 << 20))

        uploading = asyncio.create_task(upload())
        assert (await client.read_response()).status == 504
        assert await client.is_closed_by_peer()
        await uploading


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhalf",
    ],
)
async def test_silence_within_a_response_leaves_it_incomplete(
    shop: Storefront, head: bytes
) -> None:
    async def stall(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(head)
        await peer.left.wait()

    async with shop.origin(stall), shop.client() as client:
        await client.send(request_head("GET", "/"))
        with pytest.raises(PeerLeftError):
            await client.read_response()


async def test_a_slow_client_is_not_the_upstream_s_silence(shop: Storefront) -> None:
    size = 12 << 20

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await peer.send(block(size))

    async with shop.origin(script, records=False), shop.client() as client:
        await client.send(request_head("GET", "/"))
        await client.read_head()
        # Longer than the upstream may be silent; the client takes a little before `send` ends.
        for _ in range(10):
            await asyncio.sleep(0.1)
            await client.read_exactly(1 << 20)
        assert len(await client.read_exactly(2 << 20)) == 2 << 20
