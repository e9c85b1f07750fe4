"""What is held back before it is sent: breakers and a throttle over real sockets."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.http_origin import HttpOrigin
from tests.support.messages import Request
from tests.support.origin import Peer, answering, ok, response
from tests.support.raw_client import request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = """
routes:
  - name: back
    match: {path: "/back/**"}
    breaker: {consecutive_failures: 3, open: 400ms, probes: 2, recovery: 200ms}
  - name: coupons
    match: {path: "/coupons/**"}
    breaker: {consecutive_failures: 3, open: 1m}
    fallback: {page: none}
  - name: slow
    match: {path: "/slow/**"}
    breaker: {slow: 20ms, consecutive_slow: 3, open: 1m}
  - name: left
    match: {path: "/left/**"}
    breaker: {consecutive_failures: 2, min_requests: 2, error_ratio: 1%}
  - name: refused
    match: {path: "/refused/**"}
    throttle: {window: 10s, min_requests: 10}
pages:
  none: {status: 200, json: none.json}
"""
OPEN = "the breaker of back to shop is open: 3 requests in a row failed"
CLOSED = "the breaker of back to shop is closed again"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    folder = tmp_path_factory.mktemp("planb")
    (folder / "none.json").write_text('{"coupons": []}')
    async with storefront(folder, more=RULES) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


async def missing(peer: Peer, request: Request) -> None:
    await peer.read_body(request)
    await peer.send(response(404, "Not Found", b""))


async def slowly(peer: Peer, _: Request) -> None:
    await asyncio.sleep(0.03)
    await peer.send(ok())


async def stall(peer: Peer, _: Request) -> None:
    await peer.stall()


async def requests(shop: Storefront, route: str, verdict: str, reason: str = "") -> float:
    labels = {"route": route, "verdict": verdict, "reason": reason}
    return await shop.planb.metric("planb_requests_total", **labels)


async def until_served(shop: Storefront, target: str) -> None:
    """Asks until it is served, as clients do that come again."""
    for _ in range(500):
        if (await shop.fetch("GET", target)).status == 200:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not served")


async def test_a_dead_upstream_opens_the_breaker_and_its_return_closes_it(
    shop: Storefront,
) -> None:
    for _ in range(3):
        assert (await shop.fetch("GET", "/back/")).status == 502
    # On a machine that sleeps for long, it may be a probe's turn.
    while (answer := await shop.fetch("GET", "/back/")).status == 502:
        pass
    assert answer.status == 503
    assert answer.header("proxy-status") == (
        'planb; error=destination_unavailable; details="breaker_open"'
    )
    assert answer.header("retry-after")
    assert await shop.planb.metric("planb_breaker_state", route="back") > 0
    await shop.planb.wait_for_text(OPEN)
    async with shop.origin(answering(ok())):
        await until_served(shop, "/back/")
        for _ in range(500):
            if await shop.planb.metric("planb_breaker_state", route="back") == 0:
                break
            await shop.fetch("GET", "/back/")
        assert (await shop.fetch("GET", "/back/")).status == 200
    log = await shop.planb.wait_for_text(CLOSED)
    assert (log.count(OPEN), log.count(CLOSED)) == (1, 1)


async def test_slow_answers_in_a_row_open_it_however_good_they_are(shop: Storefront) -> None:
    origin = HttpOrigin({"/slow/": slowly}, port=shop.origin_port)
    async with origin, shop.client() as client:
        statuses = [(await client.get("/slow/")).status for _ in range(4)]
    assert statuses == [200, 200, 200, 503]
    assert await requests(shop, "slow", "refused", "breaker_open") == 1


async def test_who_asks_a_dead_service_gets_the_default_instead(shop: Storefront) -> None:
    async with shop.client() as client:
        for _ in range(10):
            answer = await client.get("/coupons/mine")
            assert (answer.status, answer.body) == (200, b'{"coupons": []}')
        assert await requests(shop, "coupons", "failed", "upstream_error") == 3
        assert await requests(shop, "coupons", "refused", "breaker_open") == 7
        assert (await client.get("/elsewhere")).status == 502, "another route has no breaker"


async def test_clients_that_leave_and_what_is_not_found_open_no_breaker(shop: Storefront) -> None:
    async with HttpOrigin({"/left/missing": missing, "/left/": stall}, port=shop.origin_port):
        for _ in range(4):
            async with shop.client() as client:
                await client.send(request_head("GET", "/left/"))
                await shop.until_metric(1, "planb_requests_in_flight")
            await shop.is_at_rest()
            assert (await shop.fetch("GET", "/left/missing")).status == 404
    assert await shop.planb.metric("planb_breaker_opened_total", route="left") == 0
    assert await requests(shop, "left", "abandoned") == 4


async def test_what_an_upstream_would_refuse_is_hardly_sent(shop: Storefront) -> None:
    refusing = response(429, "Too Many Requests", b"")
    async with shop.origin(answering(refusing)) as origin, shop.client() as client:
        for _ in range(150):
            assert (await client.get("/refused/")).status in {429, 503}
        assert len(origin.requests) < 50
        throttled = await requests(shop, "refused", "refused", "throttled")
        assert throttled == 150 - len(origin.requests)
        assert await shop.planb.metric("planb_throttle_probability", route="refused") > 0.5
    async with shop.origin(answering(ok())):
        await until_served(shop, "/refused/")
