"""Callers that say how long they wait."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.http_origin import HttpOrigin
from tests.support.origin import Peer, answering, ok
from tests.support.raw_client import request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

LISTENER = "deadline_header: grpc-timeout"
TOO_LATE = "deadline_exceeded"
ONE = """
routes:
  - {name: one, limits: [{concurrency: 1, queue: 9, queue_timeout: 60s}]}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    directory = tmp_path_factory.mktemp("planb")
    async with storefront(directory, listener=LISTENER, more=ONE) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


async def test_what_is_left_is_passed_on(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin:
        for value in ("60S", "60000", "soon"):
            assert (await shop.fetch("GET", "/", f"Grpc-Timeout: {value}")).status == 200
        first, second, third = (each.header("grpc-timeout") for each in origin.requests)
        assert re.fullmatch(r"5\d{4}m", first or "")
        assert re.fullmatch(r"5\d{4}", second or "")
        assert third == "soon"


async def test_a_slow_answer_is_not_waited_for_any_longer(shop: Storefront) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.left.wait()

    told = await shop.verdicts("failed", TOO_LATE) + await shop.verdicts("refused", TOO_LATE)
    async with shop.origin(script) as origin:
        answer = await shop.fetch("GET", "/", "Grpc-Timeout: 100m")
        assert answer.status == 504
        assert b"deadline_exceeded" in answer.head
        # On a machine that is slow enough, it was not even sent.
        assert len(origin.requests) <= 1
    await shop.is_at_rest()
    failed = await shop.verdicts("failed", TOO_LATE)
    assert failed + await shop.verdicts("refused", TOO_LATE) == told + 1
    assert await shop.planb.metric("planb_upstream_failures_total") == 0


async def test_after_that_the_connection_goes_on(shop: Storefront) -> None:
    async with HttpOrigin(port=shop.origin_port), shop.client() as client:
        await client.send(request_head("GET", "/stall", "Grpc-Timeout: 100m"))
        assert (await client.read_response()).status == 504
        for _ in range(2):
            await client.send(request_head("GET", "/", "Grpc-Timeout: 60S"))
            assert (await client.read_response()).status == 200


async def test_whose_time_is_over_before_its_turn_is_never_sent(shop: Storefront) -> None:
    refused = await shop.verdicts("refused", TOO_LATE)
    async with HttpOrigin(port=shop.origin_port) as origin, shop.client() as first:
        await first.send(request_head("GET", "/stall"))
        await shop.until_metric(1, "planb_requests_in_flight")
        for value in ("0m", "100m"):
            answer = await shop.fetch("GET", "/late", f"Grpc-Timeout: {value}")
            assert answer.status == 504
            assert b"deadline_exceeded" in answer.head
        assert await shop.verdicts("refused", TOO_LATE) == refused + 2
    await shop.is_at_rest()
    assert [each.target for each in origin.requests] == [b"/stall"]
