"""An upstream whose limit finds itself, over real sockets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxy.surge.generator import LoadGenerator, get
from tests.scenarios.storefront import Storefront, rules, storefront
from tests.support.http_origin import HttpOrigin
from tests.support.messages import Request
from tests.support.origin import Peer, ok
from tests.support.planb import PlanB
from tests.support.raw_client import request_head

NAME = "shop/adaptive"
TWO = "adaptive_concurrency: {min: 2, max: 2}"


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Storefront]:
    """Two places, at most and at least."""
    async with storefront(tmp_path, upstream=TWO) as running:
        yield running


async def test_who_finds_no_place_waits_for_a_moment_and_is_refused(shop: Storefront) -> None:
    async with HttpOrigin(port=shop.origin_port), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(shop.client()) for _ in range(2)]
        for client in clients:
            await client.send(request_head("GET", "/delay/1"))
        await shop.until_metric(2, "planb_limit_in_flight", limit=NAME)
        assert await shop.planb.metric("planb_limit_capacity", limit=NAME) == 2
        begun = time.monotonic()
        answer = await shop.fetch("GET", "/")
        assert answer.status == 503
        assert 0.09 < time.monotonic() - begun < 0.6
        assert answer.header("Retry-After")
        assert b"queue_timeout" in answer.head
        for client in clients:
            assert (await client.read_response()).status == 200
        assert (await shop.fetch("GET", "/")).status == 200
    await shop.is_at_rest()


async def test_streams_and_tunnels_take_no_place_from_others(shop: Storefront) -> None:
    async with HttpOrigin(port=shop.origin_port) as origin, AsyncExitStack() as stack:
        for _ in range(4):
            client = await stack.enter_async_context(shop.client())
            await client.send(request_head("GET", "/events"))
            await client.read_head()
        assert await shop.planb.metric("planb_requests_in_flight") == 4
        assert await shop.planb.metric("planb_limit_in_flight", limit=NAME) == 0
        assert (await shop.fetch("GET", "/")).status == 200
        for _ in range(4):
            origin.events.put_nowait(None)
    await shop.is_at_rest()


async def test_an_upstream_that_refuses_connections_keeps_no_place(shop: Storefront) -> None:
    for _ in range(5):
        assert (await shop.fetch("GET", "/")).status == 502
    await shop.is_at_rest()


async def test_who_leaves_gives_its_place_back(shop: Storefront) -> None:
    async with HttpOrigin(port=shop.origin_port):
        for _ in range(3):
            async with shop.client() as client:
                await client.send(request_head("GET", "/stall"))
                await shop.until_metric(1, "planb_requests_in_flight")
            await shop.is_at_rest()
        assert (await shop.fetch("GET", "/")).status == 200


async def test_a_shop_of_five_workers_is_kept_busy_and_not_drowned(tmp_path: Path) -> None:
    workers = asyncio.Semaphore(5)
    most = asked = 0

    async def serve(peer: Peer, request: Request) -> None:
        nonlocal most, asked
        asked += 1
        most = max(most, asked)
        async with workers:
            await asyncio.sleep(0.05)
        asked -= 1
        await peer.send(ok(b"served"))

    async with HttpOrigin({"/work": serve}, records=False) as origin:
        text = rules(origin.url, upstream="adaptive_concurrency: {}")
        async with PlanB(text, tmp_path) as planb:
            port = planb.port("storefront")
            request = get("127.0.0.1", port, "/work")
            result = await LoadGenerator("127.0.0.1", port, [request], rate=600, seconds=5.0).run()
            baseline = await planb.metric("planb_upstream_latency_seconds", of="baseline")
    assert result.failed == 0, result.table()
    assert set(result.statuses) == {200, 503}
    # The shop can serve 100 a second, were its timers exact.
    assert result.statuses[200] > 0.7 * 100 * 5
    assert most < 40, "the limit began with 16, and had to fall"
    assert 0.04 < baseline < 0.15
