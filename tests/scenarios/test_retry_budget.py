"""An upstream that fails for all: what retries add to its load."""

import asyncio
from pathlib import Path

from proxy.policy.retry_budget import SAVED
from tests.scenarios.storefront import Storefront, storefront
from tests.support.origin import Peer, answering, ok

RULES = "retry: {attempts: 5, budget: 20%, min_per_second: 0, backoff: 1ms..5ms}"
CLIENTS, EACH = 8, 25


async def test_at_total_failure_an_upstream_gets_a_fifth_more_and_no_more(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        if await peer.read_request():
            peer.reset()

    async def keeps_asking(shop: Storefront) -> None:
        async with shop.client() as client:
            for _ in range(EACH):
                assert (await client.get("/")).status == 502

    async with storefront(tmp_path, upstream=RULES) as shop:
        async with shop.origin(answering(ok())):
            for _ in range(20):
                assert (await shop.fetch("GET", "/")).status == 200
        async with shop.origin(script) as origin:
            await asyncio.gather(*(keeps_asking(shop) for _ in range(CLIENTS)))
            load = len(origin.requests)
        requests = CLIENTS * EACH
        # A few more are saved up before, and some lost where requests come in a bunch.
        assert 1.1 * requests <= load <= 1.2 * requests + SAVED
        metric = shop.planb.metric
        assert await metric("planb_retries_total", result="failed") == load - requests
        assert await metric("planb_retries_not_sent_total", reason="over_budget") > 0
        assert 0.0 <= await metric("planb_retry_budget_left") <= SAVED
        await shop.is_at_rest()
