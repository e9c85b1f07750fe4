"""What the process shows of itself, and that its numbers add up."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scenarios.storefront import Storefront, rules, storefront
from tests.support.http_origin import HttpOrigin
from tests.support.planb import PlanB
from tests.support.raw_client import RawClient, fetch, request_head

RULES = """
routes:
  - name: item
    match: {path: "/items/{id}"}
    limits:
      - {name: whole, rate: 1/h, burst: 3}
      - {name: hot, rate: 1/h, burst: 2, per: "path:id"}
  - name: one
    match: {path: /delay/**}
    limits: [{name: places, concurrency: 1, queue: 1, queue_timeout: 5s}]
logs: {format: json, access: true, sample_refused: 100%}
"""


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Storefront]:
    async with (
        storefront(tmp_path, more=RULES) as running,
        HttpOrigin(port=running.origin_port),
    ):
        yield running


async def test_every_request_is_counted_by_what_became_of_it(shop: Storefront) -> None:
    for target in ("/items/1", "/items/1", "/items/1", "/items/2", "/items/3", "/reset", "/else"):
        await shop.fetch("GET", target)
    async with shop.client() as client:
        await client.send(b"nonsense\r\n\r\n")
        await client.read_response()
    async with shop.client() as client:
        await client.send(request_head("GET", "/stall"))
        await _until(shop.planb, 1, "planb_requests_in_flight")
    await shop.is_at_rest()

    metrics = await shop.planb.metrics()
    requests = {
        tuple(dict(labels)[key] for key in ("route", "verdict", "reason")): value
        for (name, labels), value in metrics.items()
        if name == "planb_requests_total" and value
    }
    assert requests == {
        ("item", "forwarded", ""): 3,
        ("item", "refused", "rate"): 2,
        ("unmatched", "forwarded", ""): 1,
        ("unmatched", "failed", "upstream_error"): 1,
        ("unmatched", "refused", "bad_request"): 1,
        ("unmatched", "abandoned", ""): 1,
    }
    metric = shop.planb.metric
    assert await metric("planb_responses_total", route="item", status_class="2xx") == 3
    assert await metric("planb_request_duration_seconds_count", route="item") == 3
    assert await metric("planb_refusal_duration_seconds_count", route="item") == 2
    assert await metric("planb_own_share_seconds_count", route="item") == 3
    own = await metric("planb_own_share_seconds_sum", route="item")
    assert 0 < own < await metric("planb_request_duration_seconds_sum", route="item")


async def test_limits_show_their_decisions_and_their_state(shop: Storefront) -> None:
    for target in ("/items/1", "/items/1", "/items/1", "/items/2"):
        await shop.fetch("GET", target)
    metric = shop.planb.metric
    assert await metric("planb_limit_decisions_total", limit="whole", decision="admitted") == 3
    assert await metric("planb_limit_decisions_total", limit="hot", decision="refused") == 1
    assert await metric("planb_limit_tokens", limit="whole") == 0
    assert await metric("planb_limit_keys", limit="hot") == 2


async def test_places_and_waiters_are_seen_while_they_last(shop: Storefront) -> None:
    async with shop.client() as first, shop.client() as second:
        for client in (first, second):
            await client.send(request_head("GET", "/delay/1"))
        await _until(shop.planb, 1, "planb_limit_waiting", limit="places")
        assert await shop.planb.metric("planb_limit_in_flight", limit="places") == 1
        for client in (first, second):
            assert (await client.read_response()).status == 200
    await shop.is_at_rest()
    assert await shop.planb.metric("planb_queue_wait_seconds_count", route="one") == 1
    waited = await shop.planb.metric("planb_queue_wait_seconds_sum", route="one")
    assert waited == pytest.approx(1, abs=0.3)
    # Waiting for a turn is no work of the proxy.
    assert await shop.planb.metric("planb_own_share_seconds_sum", route="one") < 0.3


async def _until(planb: PlanB, value: float, name: str, **labels: str) -> None:
    async with asyncio.timeout(5):
        while await planb.metric(name, **labels) != value:
            await asyncio.sleep(0.01)


async def test_the_access_log_tells_who_why_and_how_long(shop: Storefront) -> None:
    for _ in range(3):
        await shop.fetch("GET", "/items/1?a=b", "User-Agent: probe/1")
    await _until(
        shop.planb, 1, "planb_requests_total", route="item", verdict="refused", reason="rate"
    )
    async with asyncio.timeout(5):
        while len(lines := [x for x in shop.planb.log_lines() if "verdict" in x]) < 3:
            await asyncio.sleep(0.01)
    forwarded, refused = lines[0], lines[2]
    assert (forwarded["verdict"], forwarded["route"], forwarded["status"]) == (
        "forwarded",
        "item",
        200,
    )
    assert (forwarded["client"], forwarded["target"]) == ("127.0.0.1", "/items/1?a=b")
    assert forwarded["user_agent"] == "probe/1"
    assert 0 < forwarded["own_seconds"] <= forwarded["duration_seconds"]
    assert (refused["verdict"], refused["reason"], refused["limit"]) == ("refused", "rate", "hot")
    assert refused["status"] == 429


async def test_a_thousand_made_up_paths_make_no_new_series(shop: Storefront) -> None:
    await shop.fetch("GET", "/x")
    before = len(await shop.planb.metrics())
    async with RawClient(shop.port) as client:
        for number in range(300):
            assert (await client.get(f"/made-up/{number}", f"X-{number}: y")).status == 200
    assert len(await shop.planb.metrics()) == before


async def test_the_admin_address_asks_for_its_token(tmp_path: Path) -> None:
    async with HttpOrigin() as origin:
        more = "admin: {bind: '0.0.0.0:0', token: secret}"
        async with PlanB(rules(origin.url, more=more), tmp_path) as planb:
            for method, target in (("GET", "/metrics"), ("GET", "/"), ("POST", "/-/reload")):
                assert (await planb.admin(method, target)).status == 401
            assert (await planb.admin("GET", "/-/ready")).body == b"ready\n"
            answer = await planb.admin("GET", "/-/ready", "Authorization: Bearer secret")
            assert json.loads(answer.body)["ready"] is True


async def test_the_storefront_knows_nothing_of_the_admin_s_paths(shop: Storefront) -> None:
    for target in ("/metrics", "/-/ready", "/-/reload"):
        answer = await fetch(shop.port, request_head("GET", target))
        assert json.loads(answer.body)["target"] == target
