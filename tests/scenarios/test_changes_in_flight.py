"""Requests under way while the rules change, or the process is told to end."""

import asyncio
import contextlib
import signal
import time
from pathlib import Path

from tests.scenarios.storefront import Storefront, rules, storefront
from tests.support.http_origin import HttpOrigin, block
from tests.support.origin import Peer, RawOrigin, answering, ok
from tests.support.raw_client import request_head

ONE = """
routes:
  - name: all
    limits: [{name: one, concurrency: 1, queue: 9, queue_timeout: 60s}]
"""


class Held:
    """Answers each request when the test lets it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        while await peer.read_request():
            self.reached.set()
            await self.go_on.wait()
            await peer.send(ok(b"held"))


async def _reload(shop: Storefront, text: str) -> None:
    shop.planb.rewrite(text)
    answer = await shop.planb.admin("POST", "/-/reload")
    assert answer.status == 200, answer


async def test_a_change_of_upstreams_ends_no_request(tmp_path: Path) -> None:
    held = Held()
    async with contextlib.AsyncExitStack() as stack:
        shop = await stack.enter_async_context(storefront(tmp_path, more=ONE))
        old = await stack.enter_async_context(shop.origin(held))
        new = await stack.enter_async_context(RawOrigin(answering(ok(b"new"))))
        first, second, chunked = [await stack.enter_async_context(shop.client()) for _ in range(3)]
        await first.send(request_head("GET", "/first"))
        await held.reached.wait()
        await second.send(request_head("GET", "/second"))
        await shop.until_metric(1, "planb_limit_waiting", limit="one")
        # The upstream's very name changes.
        text = rules(new.url, more=ONE).replace("shop", "other")
        await _reload(shop, text)
        held.go_on.set()
        assert (await first.read_response()).body == b"held"
        assert (await second.read_response()).body == b"new"
        assert (await chunked.get("/third")).body == b"new"
        assert len(old.peers) == 1
        # Nothing keeps the old upstream's connection.
        async with asyncio.timeout(5):
            await old.peers[0].left.wait()


async def test_reloads_during_connecting_and_chunked_uploads_lose_nothing(tmp_path: Path) -> None:
    async with storefront(tmp_path) as shop:
        async with HttpOrigin(port=shop.origin_port) as origin:

            async def ask() -> int:
                head = request_head("POST", "/upload", "Transfer-Encoding: chunked")
                async with shop.client() as client:
                    await client.send(head)
                    await asyncio.sleep(0.02)
                    await client.send(b"1\r\na\r\n0\r\n\r\n")
                    return (await client.read_response()).status

            for number in range(10):
                asking = [asyncio.create_task(ask()) for _ in range(20)]
                await _reload(
                    shop, rules(origin.url, upstream=f"timeouts: {{idle: {number + 5}s}}")
                )
                assert await asyncio.gather(*asking) == [200] * 20
        await shop.is_at_rest()


async def test_a_download_in_flight_ends_before_the_process_does(tmp_path: Path) -> None:
    begun = asyncio.Event()
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        begun.set()
        await go_on.wait()
        await peer.send(block(100_000))

    async with storefront(tmp_path) as shop, shop.origin(script), shop.client() as client:
        await client.send(request_head("GET", "/"))
        # The head is out and says nothing of a close, which only came later.
        await client.read_head()
        shop.planb.signal(signal.SIGTERM)
        await shop.planb.wait_for_log("draining")
        go_on.set()
        began = time.monotonic()
        assert await client.read_to_end() == block(100_000)
        assert await shop.planb.wait() == 0
        assert time.monotonic() - began < 8.0


async def test_a_request_that_comes_while_draining_is_refused_and_closed(tmp_path: Path) -> None:
    held = Held()
    async with contextlib.AsyncExitStack() as stack:
        shop = await stack.enter_async_context(storefront(tmp_path))
        await stack.enter_async_context(shop.origin(held))
        client, idle, late = [await stack.enter_async_context(shop.client()) for _ in range(3)]
        await client.send(request_head("GET", "/"))
        await held.reached.wait()
        await late.send(request_head("GET", "/late")[:-2])
        # Its bytes are read before the signal comes: the admin address answers after them.
        await shop.planb.metrics()
        shop.planb.signal(signal.SIGTERM)
        await shop.planb.wait_for_log("draining")
        assert await idle.is_closed_by_peer()
        await late.send(b"\r\n")
        answer = await late.read_response()
        assert (answer.status, answer.header("connection")) == (503, "close")
        held.go_on.set()
        answer = await client.read_response()
        assert (answer.body, answer.header("connection")) == (b"held", "close")
        assert await client.is_closed_by_peer()
        assert await shop.planb.wait() == 0
