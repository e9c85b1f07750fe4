"""Requests that are sent again, and those that are not, before an upstream that fails."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.origin import Peer, Script, answering, ok, response
from tests.support.raw_client import request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

RETRY = "retry: {attempts: 3, budget: 20%, min_per_second: 50, backoff: 1ms..5ms}"
CACHED = """
routes:
  - {name: shared, match: {path: /shared}, cache: {ttl: 1s, coalesce: true}}
"""
BUSY = response(503, "Busy", b"busy")
BUSY_NOW = response(503, "Busy", b"busy", "Retry-After: 0")
BUSY_FOR_A_SECOND = response(503, "Busy", b"busy", "Retry-After: 1")
BUSY_FOR_LONG = response(503, "Busy", b"busy", "Retry-After: 60")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    directory = tmp_path_factory.mktemp("planb")
    async with storefront(directory, upstream=RETRY, more=CACHED) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


def resetting(first: int, then: Script) -> Script:
    """The first connections are reset when their request has come."""
    resets = 0

    async def script(peer: Peer) -> None:
        nonlocal resets
        resets += 1
        if resets > first:
            await then(peer)
        elif await peer.read_request_head() is not None:
            peer.reset()

    return script


async def test_a_reset_is_not_the_client_s_concern(shop: Storefront) -> None:
    retries = await shop.planb.metric("planb_retries_total", result="answered")
    async with shop.origin(resetting(2, answering(ok()))) as origin:
        assert (await shop.fetch("GET", "/")).status == 200
        attempts = [each.header("planb-attempt") for each in origin.requests]
        assert attempts == ["1", "2", "3"]
    await shop.until_metric(retries + 1, "planb_retries_total", result="answered")


@pytest.mark.parametrize("framing", ["Content-Length: 9", "Transfer-Encoding: chunked"])
async def test_a_body_is_sent_again_if_it_was_held(shop: Storefront, framing: str) -> None:
    chunked = framing.startswith("T")
    body = b"4\r\nbody\r\n5\r\n, too\r\n0\r\n\r\n" if chunked else b"body, too"
    async with shop.origin(resetting(1, answering(ok())), peers_may_leave=True) as origin:
        answer = await shop.fetch("PUT", "/", framing, body=body)
        assert answer.status == (502 if chunked else 200)
        if not chunked:
            assert origin.requests[-1].body == b"body, too"


@pytest.mark.parametrize(
    ("method", "line"),
    [("POST", "X: y"), ("GET", "Planb-Attempt: 1")],
)
async def test_what_may_not_be_repeated_is_sent_once(
    shop: Storefront, method: str, line: str
) -> None:
    lines = [line] if method == "GET" else [line, "Content-Length: 0"]
    async with shop.origin(resetting(1, answering(ok()))) as origin:
        assert (await shop.fetch(method, "/", *lines)).status == 502
        assert len(origin.requests) == 1
        assert (await shop.fetch(method, "/", *lines)).status == 200


async def test_with_a_key_a_post_is_repeated(shop: Storefront) -> None:
    async with shop.origin(resetting(1, answering(ok()))):
        lines = ("Idempotency-Key: 7", "Content-Length: 2")
        assert (await shop.fetch("POST", "/", *lines, body=b"ab")).status == 200


async def test_without_a_connection_even_a_post_is_sent_later(shop: Storefront) -> None:
    tried = await shop.planb.metric("planb_upstream_failures_total", reason="upstream_error")
    assert (await shop.fetch("POST", "/", "Content-Length: 2", body=b"ab")).status == 502
    failures = await shop.planb.metric("planb_upstream_failures_total", reason="upstream_error")
    assert failures == tried + 3


@pytest.mark.parametrize("refusal", [BUSY, BUSY_FOR_LONG])
async def test_a_refusal_is_passed_on_unless_it_says_to_come_soon(
    shop: Storefront, refusal: bytes
) -> None:
    async with shop.origin(answering(refusal, ok())) as origin:
        answer = await shop.fetch("GET", "/")
        assert (answer.status, answer.body) == (503, b"busy")
        assert len(origin.requests) == 1


async def test_who_is_told_to_come_soon_is_not_told_so(shop: Storefront) -> None:
    async with shop.origin(answering(BUSY_NOW, ok())), shop.client() as client:
        assert (await client.get("/")).status == 200
        assert (await client.get("/")).status == 200


async def test_a_client_that_leaves_before_the_next_attempt_is_not_sent(shop: Storefront) -> None:
    answered = asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.read_request():
            await peer.send(BUSY_FOR_A_SECOND)
            answered.set()

    async with shop.origin(script) as origin:
        async with shop.client() as client:
            await client.send(request_head("GET", "/"))
            await answered.wait()
            await shop.until_metric(0, "planb_requests_in_flight")
        await shop.is_at_rest()
        assert len(origin.requests) == 1


async def test_all_who_wait_for_one_answer_get_that_of_the_second_attempt(
    shop: Storefront,
) -> None:
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        if await peer.read_request() is None:
            return
        if not asked.is_set():
            asked.set()
            await go_on.wait()
            peer.reset()
            return
        await peer.send(ok(b"shared", "Cache-Control: max-age=60"))
        await peer.left.wait()

    async with shop.origin(script) as origin:
        fetches = [asyncio.create_task(shop.fetch("GET", "/shared")) for _ in range(3)]
        await asked.wait()
        go_on.set()
        answers = await asyncio.gather(*fetches)
        assert [answer.body for answer in answers] == [b"shared"] * 3
        assert len(origin.requests) == 2
