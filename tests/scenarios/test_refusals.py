"""Refused requests and connections: answered at once, and no client hangs."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.http_origin import block
from tests.support.messages import Response
from tests.support.origin import Peer, answering, chunked, ok
from tests.support.raw_client import RawClient, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

NONE_PASS = """
routes:
  - name: closed
    match: {path: "/closed/**"}
    limits: [{name: none, rate: 1/h, burst: 1}]
  - name: unread
    match: {path: "/unread/**"}
    max_body_size: 1KB
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    async with storefront(tmp_path_factory.mktemp("planb"), more=NONE_PASS) as running:
        async with running.origin(answering(ok())):
            assert (await running.fetch("GET", "/closed/")).status == 200
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


# --------------------------------------------------------------------- uploads


async def _upload_first(client: RawClient, head: bytes, size: int, *, chunks: bool) -> Response:
    """The answer to a client that reads only once it has sent everything, or can't send more."""
    with contextlib.suppress(ConnectionError):
        await client.send(head)
        for _ in range(0, size, 1 << 16):
            piece = block(min(size, 1 << 16))
            await client.send(chunked(piece, 1 << 16)[:-5] if chunks else piece)
        if chunks:
            await client.send(b"0\r\n\r\n")
    return await client.read_response()


@pytest.mark.parametrize("size", [10, 60_000, 65_536, 700_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_refused_upload_s_client_reads_the_answer(
    shop: Storefront, framing: str, size: int
) -> None:
    chunks = framing == "chunked"
    line = "Transfer-Encoding: chunked" if chunks else f"Content-Length: {size}"
    async with shop.client() as client:
        began = time.monotonic()
        head = request_head("POST", "/closed/x", line)
        answer = await _upload_first(client, head, size, chunks=chunks)
        assert answer.status == 429
        if answer.header("connection") != "close":
            # What is small, or has come already, does not cost the connection.
            assert size <= 65536
            assert (await client.get("/closed/y")).status == 429
        else:
            assert chunks or size > 65536
            assert await client.is_closed_by_peer()
        assert time.monotonic() - began < 5.0


async def test_a_client_that_waits_for_a_100_is_answered_at_once(shop: Storefront) -> None:
    async with shop.client() as client:
        await client.send(
            request_head("POST", "/closed/x", "Expect: 100-continue", "Content-Length: 10")
        )
        answer = await client.read_response()
        assert answer.status == 429
        assert answer.header("connection") == "close"
        assert await client.is_closed_by_peer()


async def test_a_client_that_reads_while_it_sends_gets_the_answer_to_any_upload(
    shop: Storefront,
) -> None:
    async with shop.client() as client:

        async def upload() -> None:
            with contextlib.suppress(ConnectionError):
                for _ in range(1000):
                    await client.send(block(1 << 20))
                    # While the kernel takes everything, sending alone lets nobody read.
                    await asyncio.sleep(0)

        await client.send(request_head("POST", "/unread/x", "Content-Length: 1000000000"))
        uploading = asyncio.create_task(upload())
        assert (await client.read_response()).status == 413
        async with asyncio.timeout(5):
            await uploading


async def test_an_announced_body_that_never_comes_is_not_waited_for(shop: Storefront) -> None:
    async with shop.client() as client:
        await client.send(request_head("POST", "/closed/x", "Content-Length: 1000") + b"x")
        assert (await client.read_response()).status == 429
        assert await client.is_closed_by_peer()


async def test_a_refused_body_that_never_ends_is_not_read_for_ever(shop: Storefront) -> None:
    async with shop.client() as client:
        await client.send(request_head("POST", "/closed/x", "Transfer-Encoding: chunked"))
        assert (await client.read_response()).status == 429
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < began + 8:
                await client.send(b"1\r\nx\r\n")
                await asyncio.sleep(0.05)
        assert time.monotonic() < began + 8


async def test_the_request_after_a_small_refused_upload_is_the_next(shop: Storefront) -> None:
    inner = request_head("GET", "/inner")
    async with shop.origin(answering(ok())) as origin, shop.client() as client:
        head = request_head("POST", "/closed/x", f"Content-Length: {len(inner)}")
        await client.send(head + inner + request_head("GET", "/next"))
        assert (await client.read_response()).status == 429
        assert (await client.read_response()).status == 200
        assert [request.target for request in origin.requests] == [b"/next"]


async def test_a_refused_pipeline_is_answered_in_order(shop: Storefront) -> None:
    async with shop.origin(answering(ok())), shop.client() as client:
        await client.send((request_head("GET", "/closed/") + request_head("GET", "/")) * 20)
        for _ in range(20):
            assert (await client.read_response()).status == 429
            assert (await client.read_response()).status == 200


async def test_a_pipeline_behind_a_last_answer_does_not_lose_it(shop: Storefront) -> None:
    async with shop.origin(answering(ok(block(1_000_000)))), shop.client() as client:
        await client.send(request_head("GET", "/", "Connection: close"))
        head = await client.read_head()
        assert head.header("connection") == "close"
        # Closing with these unread would reset the connection before the body has been read.
        with contextlib.suppress(ConnectionError):
            await client.send(request_head("GET", "/more") * 100)
        assert len(await client.read_to_end()) == 1_000_000


# ----------------------------------------------------------------- connections


async def test_a_connection_too_many_is_answered_at_once(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        limited = storefront(tmp_path, more="server: {max_connections: 5}")
        shop = await stack.enter_async_context(limited)
        await stack.enter_async_context(shop.origin(answering(ok())))
        clients = [await stack.enter_async_context(shop.client()) for _ in range(5)]
        for client in clients:
            assert (await client.get("/")).status == 200
        for data in (b"", request_head("GET", "/"), b"nonsense"):
            async with shop.client() as turned_away:
                await turned_away.send(data)
                answer = await turned_away.read_response()
                assert answer.status == 503
                assert answer.header("connection") == "close"
                assert answer.header("content-type") == "text/html; charset=utf-8"
                assert answer.header("retry-after")
                assert await turned_away.is_closed_by_peer()
        assert await shop.verdicts("refused", "connections") == 3
        full = "is full: all 5 connections are in use"
        assert (await shop.planb.wait_for_text(full)).count(full) == 1
        await clients[0].reset()
        await shop.until_metric(4, "planb_downstream_connections")
        assert (await shop.fetch("GET", "/")).status == 200
        assert (await clients[1].get("/")).status == 200


async def test_a_rush_of_connections_does_not_pass_the_limit(tmp_path: Path) -> None:
    async with storefront(tmp_path, more="server: {max_connections: 20}") as shop:
        go_on = asyncio.Event()

        async def slow(peer: Peer) -> None:
            while await peer.read_request():
                await go_on.wait()
                await peer.send(ok())

        async def ask() -> int:
            async with shop.client() as client:
                await client.send(request_head("GET", "/"))
                return (await client.read_response()).status

        async with shop.origin(slow):
            asking = [asyncio.create_task(ask()) for _ in range(300)]
            await shop.until_metric(20, "planb_requests_in_flight")
            await shop.until_metric(
                280, "planb_requests_total", verdict="refused", reason="connections"
            )
            go_on.set()
            statuses = await asyncio.gather(*asking)
        assert (statuses.count(503), statuses.count(200)) == (280, 20)
        await shop.is_at_rest()
