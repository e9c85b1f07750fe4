"""Clients that leave: the work for them ends at once, and what it held is free again."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, send_until_stuck, storefront
from tests.support.http_origin import block
from tests.support.origin import Peer, RawOrigin, answering, ok
from tests.support.raw_client import RawClient, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONE_AT_A_TIME = """
routes:
  - name: one
    match: {path: "/one/**"}
    limits: [{name: one, concurrency: 1, queue: 10, queue_timeout: 60s}]
  - name: paced
    match: {path: /paced}
    limits: [{name: paced, pace: 1/m, max_wait: 10m}]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    async with storefront(tmp_path_factory.mktemp("planb"), more=ONE_AT_A_TIME) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


class Waiting:
    """Reads a request's head, sends `begun`, and waits until its client has left."""

    def __init__(self, begun: bytes = b"") -> None:
        self.reached = asyncio.Event()
        self._begun = begun

    async def __call__(self, peer: Peer) -> None:
        await peer.read_request_head()
        if self._begun:
            await peer.send(self._begun)
        self.reached.set()
        await peer.left.wait()


async def _leave(client: RawClient, how: str) -> None:
    if how == "reset":
        await client.reset()
    else:
        client.half_close()


async def _has_left(origin: RawOrigin) -> None:
    """The upstream's connection closes at once, not with some time-out."""
    async with asyncio.timeout(3):
        await origin.peers[0].left.wait()


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_waiting_for_an_answer(shop: Storefront, how: str) -> None:
    abandoned = await shop.verdicts("abandoned")
    script = Waiting()
    async with shop.origin(script) as origin, shop.client() as client:
        await client.send(request_head("GET", "/one/x"))
        await script.reached.wait()
        assert await shop.planb.metric("planb_requests_in_flight") == 1
        assert await shop.planb.metric("planb_limit_in_flight", limit="one") == 1
        await _leave(client, how)
        await _has_left(origin)
        await shop.is_at_rest()
    assert await shop.verdicts("abandoned") == abandoned + 1


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("framing", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
async def test_within_an_upload(shop: Storefront, framing: str, how: str) -> None:
    abandoned = await shop.verdicts("abandoned")
    script = Waiting()
    async with shop.origin(script) as origin, shop.client() as client:
        await client.send(request_head("POST", "/one/x", framing))
        await client.send(b"5\r\nhello\r\n")
        await script.reached.wait()
        await _leave(client, how)
        await _has_left(origin)
        await shop.is_at_rest()
        # The shop can't take it for the whole.
        assert b"0\r\n\r\n" not in origin.received
    assert await shop.verdicts("abandoned") == abandoned + 1


async def test_within_an_upload_that_the_shop_does_not_take(shop: Storefront) -> None:
    async def deaf(peer: Peer) -> None:
        await peer.read_request_head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    async with shop.origin(deaf, records=False), shop.client() as client:
        await client.send(request_head("POST", "/one/x", "Content-Length: 1000000000"))
        await send_until_stuck(client, 1_000_000_000)
        await client.reset()
        await shop.is_at_rest()


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_within_a_download(shop: Storefront, how: str) -> None:
    stuck = asyncio.Event()

    async def endless(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            sending = asyncio.ensure_future(peer.send(b"10000\r\n" + block(1 << 16) + b"\r\n"))
            if not (await asyncio.wait({sending}, timeout=0.3))[0]:
                stuck.set()
            await sending

    async with (
        shop.origin(endless, records=False, peers_may_leave=True) as origin,
        shop.client() as client,
    ):
        await client.send(request_head("GET", "/one/x"))
        await client.read_exactly(1_000_000)
        # All buffers on the way are full, and nobody takes anything.
        await stuck.wait()
        await _leave(client, how)
        await _has_left(origin)
        await shop.is_at_rest()


async def test_within_a_silent_download(shop: Storefront) -> None:
    script = Waiting(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
    async with shop.origin(script) as origin, shop.client() as client:
        await client.send(request_head("GET", "/one/events"))
        await client.read_head()
        await client.reset()
        await _has_left(origin)
        await shop.is_at_rest()


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_within_a_queue(shop: Storefront, how: str) -> None:
    abandoned = await shop.verdicts("abandoned")
    script = Waiting()
    async with shop.origin(script) as origin, shop.client() as first, shop.client() as second:
        await first.send(request_head("GET", "/one/first"))
        await script.reached.wait()
        await second.send(request_head("GET", "/one/second"))
        await shop.until_metric(1, "planb_limit_waiting", limit="one")
        await _leave(second, how)
        await shop.until_metric(0, "planb_limit_waiting", limit="one")
        assert len(origin.peers) == 1
        assert await shop.verdicts("abandoned") == abandoned + 1


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_within_a_queue_and_an_upload(shop: Storefront, how: str) -> None:
    script = Waiting()
    async with shop.origin(script), shop.client() as first, shop.client() as second:
        await first.send(request_head("GET", "/one/first"))
        await script.reached.wait()
        # More than is read before its turn.
        data = request_head("POST", "/one/second", "Content-Length: 1000000") + block(1 << 17)
        await second.send(data)
        await shop.until_metric(1, "planb_limit_waiting", limit="one")
        await _leave(second, how)
        await shop.until_metric(0, "planb_limit_waiting", limit="one")


async def test_the_next_in_the_queue_takes_the_place(shop: Storefront) -> None:
    script = Waiting()
    async with shop.origin(script) as origin, shop.client() as first, shop.client() as second:
        await first.send(request_head("GET", "/one/first"))
        await script.reached.wait()
        await second.send(request_head("GET", "/one/second"))
        await shop.until_metric(1, "planb_limit_waiting", limit="one")
        origin.script = answering(ok(b"second"))
        await first.reset()
        assert (await second.read_response()).body == b"second"


async def test_before_its_turn_of_a_pace(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin:
        assert (await shop.fetch("GET", "/paced")).status == 200
        async with shop.client() as client:
            await client.send(request_head("GET", "/paced"))
            await client.reset()
        await shop.is_at_rest()
        assert len(origin.requests) == 1


async def test_within_its_own_head_nothing_is_counted(shop: Storefront) -> None:
    abandoned = await shop.verdicts("abandoned")
    async with shop.client() as client:
        await client.send(b"GET / HT")
        await client.reset()
    await shop.is_at_rest()
    assert await shop.verdicts("abandoned") == abandoned


async def test_with_pipelined_requests_behind(shop: Storefront) -> None:
    script = Waiting()
    async with shop.origin(script) as origin, shop.client() as client:
        await client.send(request_head("GET", "/one/x") * 20)
        await script.reached.wait()
        await client.reset()
        await _has_left(origin)
        await shop.is_at_rest()
        assert len(origin.peers) == 1


async def test_many_at_once(shop: Storefront) -> None:
    async def come_and_go(number: int) -> None:
        async with shop.client() as client:
            body = block(100_000) if number % 3 == 0 else b""
            target = "/one/x" if number % 2 else "/x"
            data = request_head("POST", target, f"Content-Length: {len(body)}") + body
            await client.send(data[: len(data) - number])
            await asyncio.sleep(number % 7 / 200)
            await client.reset()

    async def slow(peer: Peer) -> None:
        while await peer.read_request():
            await asyncio.sleep(0.01)
            await peer.send(ok())

    async with shop.origin(slow, records=False, peers_may_leave=True):
        await asyncio.gather(*(come_and_go(number) for number in range(200)))
        await shop.is_at_rest()
        assert (await shop.fetch("GET", "/one/x")).status == 200
