"""Answers that are sent again without asking the shop, and many requests that are one."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.http_origin import block
from tests.support.messages import Request
from tests.support.origin import Peer, Script, answering, ok, response
from tests.support.raw_client import RawClient, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = """
limits:
  one: {rate: 1/h, burst: 1}
routes:
  - {name: page, match: {path: "/page/**"}, cache: {ttl: 1h}}
  - {name: once, match: {path: "/once"}, cache: {ttl: 1h}, limits: [one]}
  - {name: brief, match: {path: "/brief"}, cache: {ttl: 100ms}}
  - {name: shared, match: {path: "/shared/**"}, cache: {ttl: 1s, coalesce: true}}
  - {name: both, match: {path: "/both/**"}, cache: {ttl: 200ms, coalesce: true},
     fallback: {snapshot: 1m}}
snapshots: {memory: 100MiB, largest: 10MiB}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    folder: Path = tmp_path_factory.mktemp("planb")
    async with storefront(folder, upstream="timeouts: {response: 2s}", more=RULES) as running:
        yield running


async def test_a_page_is_asked_for_once(shop: Storefront) -> None:
    before = await shop.verdicts("stored")
    async with shop.origin(answering(ok(b"page", "X: 1"))) as origin, shop.client() as client:
        first = await client.get("/page/one")
        again = [await client.get("/page/one") for _ in range(3)]
        headed = await shop.fetch("HEAD", "/page/one")
        assert len(origin.requests) == 1
    assert first.header("cache-status") is None
    for each in again:
        assert (each.status, each.body, each.header("x")) == (200, b"page", "1")
        assert (each.header("cache-status") or "").startswith("planb; hit; ttl=359")
        assert each.header("age") == "0"
        assert each.header("proxy-status") is None
    assert (headed.status, headed.body, headed.header("content-length")) == (200, b"", "4")
    assert await shop.verdicts("stored") == before + 4
    await shop.is_at_rest()


async def test_pipelined_requests_for_it_are_answered_in_order(shop: Storefront) -> None:
    async with shop.origin(answering(ok(b"page"))), shop.client() as client:
        await client.get("/page/piped")
        other = request_head("GET", "/page/other")
        await client.send((request_head("GET", "/page/piped") * 40 + other) * 2)
        for _ in range(82):
            assert (await client.read_response()).body == b"page"


async def test_who_presses_reload_brings_the_page_for_all(shop: Storefront) -> None:
    asked = ('If-None-Match: "1"', "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT")
    page = ok(b"page", 'ETag: "1"')
    async with shop.origin(answering(page)) as origin:
        first = await shop.fetch("GET", "/page/reload", *asked)
        assert (first.status, first.body) == (200, b"page")
        again = await shop.fetch("GET", "/page/reload", *asked)
        assert (again.status, again.body) == (304, b"")
        assert (await shop.fetch("GET", "/page/reload")).body == b"page"
        assert len(origin.requests) == 1
        assert origin.requests[0].header("if-none-match") is None
    async with shop.origin(answering(page)) as origin:
        await shop.fetch("GET", "/elsewhere", *asked)
        assert origin.requests[0].header("if-none-match") == '"1"'


async def test_a_client_can_t_ask_for_a_new_one(shop: Storefront) -> None:
    async with shop.origin(answering(ok(b"old"), ok(b"new"))):
        await shop.fetch("GET", "/page/wish")
        again = await shop.fetch("GET", "/page/wish", "Cache-Control: no-cache", "Pragma: no-cache")
        assert again.body == b"old"


async def test_people_with_cookies_get_their_own(shop: Storefront) -> None:
    async with shop.origin(answering(ok(b"for all"), ok(b"mine"))):
        await shop.fetch("GET", "/page/mine")
        assert (await shop.fetch("GET", "/page/mine", "Cookie: sid=1")).body == b"mine"
        assert (await shop.fetch("GET", "/page/mine")).body == b"for all"


async def test_it_is_no_longer_fresh_than_the_rules_or_the_shop_say(shop: Storefront) -> None:
    lines = ("Cache-Control: no-cache", "Cache-Control: max-age=0", "Expires: 0")
    for number, line in enumerate(lines):
        async with shop.origin(answering(ok(b"1", line), ok(b"2", line))):
            target = f"/page/stale-{number}"
            bodies = [(await shop.fetch("GET", target)).body for _ in range(2)]
            assert bodies == [b"1", b"2"], line
    async with shop.origin(answering(ok(b"1", "Cache-Control: max-age=3600"), ok(b"2"))):
        assert (await shop.fetch("GET", "/brief")).body == b"1"
        ends_at = time.monotonic() + 5.0
        while (await shop.fetch("GET", "/brief")).body == b"1":
            assert time.monotonic() < ends_at
            await asyncio.sleep(0.01)


async def test_what_is_stored_takes_nothing_of_a_limit(shop: Storefront) -> None:
    async with shop.origin(answering(ok())):
        statuses = [(await shop.fetch("GET", "/once")).status for _ in range(5)]
        assert statuses == [200] * 5
        assert (await shop.fetch("GET", "/once?other")).status == 429


async def test_it_is_not_the_last_good_answer_unless_the_rules_say_so(shop: Storefront) -> None:
    async with shop.origin(answering(ok())):
        assert (await shop.fetch("GET", "/brief?gone")).status == 200
    await asyncio.sleep(0.1)
    assert (await shop.fetch("GET", "/brief?gone")).status == 502


async def test_a_large_one_is_sent_to_those_who_take_it_slowly(shop: Storefront) -> None:
    body = block(1 << 20)
    async with shop.origin(answering(ok(body))):
        assert (await shop.fetch("GET", "/page/large")).body == body
    before = shop.planb.rss_bytes()
    clients = [RawClient(shop.port) for _ in range(30)]
    for client in clients:
        await client.__aenter__()
        await client.send(request_head("GET", "/page/large") * 2)
    await shop.until_metric(30, "planb_downstream_connections")
    for client in clients:
        assert (await client.read_response()).body == body
        assert (await client.read_response()).body == body
        await client.__aexit__(None, None, None)
    # They share it: thirty copies and more would be thirty MiB and more.
    assert shop.planb.peak_rss_bytes() - before < 24 << 20
    await shop.is_at_rest()


# ------------------------------------------------------------------ coalescing


def _slowly(*answers: bytes, until: asyncio.Event) -> Script:
    """A script that gives all its answers once `until` is set."""
    inner = answering(*answers)

    async def script(peer: Peer) -> None:
        read = peer.read_request

        async def wait() -> Request | None:
            request = await read()
            if request is not None:
                await until.wait()
            return request

        peer.read_request = wait  # type: ignore[method-assign]
        await inner(peer)

    return script


async def _asking(shop: Storefront, target: str, number: int, *lines: str) -> list[RawClient]:
    """So many clients that have asked for `target` and wait."""
    clients = [RawClient(shop.port) for _ in range(number)]
    for client in clients:
        await client.__aenter__()
        await client.send(request_head("GET", target, *lines))
    return clients


async def _leave(clients: list[RawClient]) -> None:
    for client in clients:
        await client.__aexit__(None, None, None)


async def _until_asked(requests: list[Request], count: int) -> None:
    ends_at = time.monotonic() + 5.0
    while len(requests) < count:
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.005)


async def test_a_thousand_requests_for_a_page_cost_the_shop_one(shop: Storefront) -> None:
    answered = asyncio.Event()
    before = await shop.verdicts("stored")
    async with shop.origin(_slowly(ok(b"hot"), until=answered)) as origin:
        clients = await _asking(shop, "/shared/hot", 1000)
        await shop.until_metric(1000, "planb_downstream_connections")
        answered.set()
        said = []
        for client in clients:
            copy = await client.read_response()
            assert (copy.status, copy.body) == (200, b"hot")
            said.append(copy.header("cache-status"))
        await _leave(clients)
        assert len(origin.requests) == 1
    assert said.count(None) == 1
    # Those who came late to the shop's answer found it there.
    assert said.count("planb; fwd=miss; collapsed") > 900
    assert await shop.verdicts("stored") == before + 999
    await shop.is_at_rest()


async def test_a_thousand_reloads_of_a_page_cost_the_shop_one(shop: Storefront) -> None:
    answered = asyncio.Event()
    async with shop.origin(_slowly(ok(b"hot", 'ETag: "1"'), until=answered)) as origin:
        clients = await _asking(shop, "/shared/reload", 1000, 'If-None-Match: "1"')
        await shop.until_metric(1000, "planb_downstream_connections")
        answered.set()
        statuses = [(await client.read_response()).status for client in clients]
        await _leave(clients)
        assert len(origin.requests) == 1
    assert sorted(statuses) == [200] + [304] * 999
    await shop.is_at_rest()


async def test_a_leader_that_leaves_takes_nobody_along(shop: Storefront) -> None:
    answered = asyncio.Event()
    origin = shop.origin(_slowly(ok(b"left"), until=answered), peers_may_leave=True)
    async with origin:
        (leader,) = await _asking(shop, "/shared/left", 1)
        await _until_asked(origin.requests, 0)
        await shop.until_metric(1, "planb_requests_in_flight", route="shared")
        clients = await _asking(shop, "/shared/left", 20)
        await shop.until_metric(21, "planb_downstream_connections")
        await leader.reset()
        await shop.until_metric(20, "planb_downstream_connections")
        answered.set()
        for client in clients:
            assert (await client.read_response()).body == b"left"
        await _leave(clients)
        assert len(origin.peers) == 2
    await shop.is_at_rest()


async def test_a_leader_that_fails_takes_nobody_along(shop: Storefront) -> None:
    requests: list[Request] = []

    async def script(peer: Peer) -> None:
        while (request := await peer.read_request()) is not None:
            requests.append(request)
            if len(requests) == 1:
                await asyncio.sleep(0.2)
                peer.reset()
                return
            await peer.send(ok(b"second"))

    async with shop.origin(script):
        clients = await _asking(shop, "/shared/fails", 10)
        answers = [await client.read_response() for client in clients]
        await _leave(clients)
    assert sorted(each.status for each in answers) == [200] * 9 + [502]
    assert len(requests) == 2
    await shop.is_at_rest()


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"own", "Set-Cookie: sid=1"),
        ok(b"own", "Cache-Control: no-cache"),
        response(404, "Not Found", b"own"),
    ],
    ids=["cookie", "no-cache", "404"],
)
async def test_what_is_somebody_s_own_is_asked_for_by_each_at_once(
    shop: Storefront, answer: bytes, request: pytest.FixtureRequest
) -> None:
    target = f"/shared/own-{request.node.callspec.id}"
    both = asyncio.Event()
    asked = 0

    async def script(peer: Peer) -> None:
        nonlocal asked
        while await peer.read_request() is not None:
            asked += 1
            # The first two are answered one after the other, by which it is known; all others
            # together, or never.
            if asked >= 8:
                both.set()
            if asked > 2:
                await both.wait()
            await peer.send(answer)

    async with shop.origin(script):
        clients = await _asking(shop, target, 8)
        for client in clients:
            assert (await client.read_response()).body == b"own"
        await _leave(clients)
    assert asked == 8
    await shop.is_at_rest()


async def test_followers_of_a_shop_that_fails_get_its_last_good_answer(shop: Storefront) -> None:
    async with shop.origin(answering(ok(b"good"))):
        await shop.fetch("GET", "/both/x")
    await asyncio.sleep(0.2)
    asked = 0

    async def script(peer: Peer) -> None:
        nonlocal asked
        await peer.read_request()
        asked += 1
        await asyncio.sleep(0.3)
        peer.reset()

    async with shop.origin(script):
        clients = await _asking(shop, "/both/x", 20)
        await shop.until_metric(20, "planb_downstream_connections")
        for client in clients:
            copy = await client.read_response()
            assert copy.body == b"good"
            status = "planb; fwd=stale; detail=upstream_error"
            assert copy.header("cache-status") == status
            assert copy.header("proxy-status") == 'planb; details="upstream_error"'
        await _leave(clients)
    # They have not asked one after the other.
    assert asked == 1
    await shop.is_at_rest()


async def test_a_leader_that_reads_nothing_holds_nobody_up(shop: Storefront) -> None:
    body = block(8 << 20)
    answered = asyncio.Event()
    loop = asyncio.get_running_loop()
    with socket.socket() as leader:
        # So little that the kernels can't take all of it for a client that does not read.
        leader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        leader.setblocking(False)
        await loop.sock_connect(leader, ("127.0.0.1", shop.port))
        async with shop.origin(_slowly(ok(body), until=answered)) as origin:
            await loop.sock_sendall(leader, request_head("GET", "/shared/slow"))
            await shop.until_metric(1, "planb_requests_in_flight", route="shared")
            clients = await _asking(shop, "/shared/slow", 3)
            await shop.until_metric(4, "planb_downstream_connections")
            answered.set()
            for client in clients:
                copy = await client.read_response()
                assert copy.body == body
                assert copy.header("cache-status") == "planb; fwd=miss; collapsed"
            await _leave(clients)
            received = bytearray()
            while not received.endswith(body[-100:]):
                received += await loop.sock_recv(leader, 1 << 16)
            assert received.endswith(body)
            assert len(origin.requests) == 1
    await shop.is_at_rest()


async def _taking_nothing(shop: Storefront, target: str) -> socket.socket:
    """A client that asks for `target` and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", shop.port))
    await loop.sock_sendall(client, request_head("GET", target))
    return client


async def test_nor_those_who_come_when_it_waits_for_its_client_already(shop: Storefront) -> None:
    body = block(8 << 20)
    async with shop.origin(answering(ok(body)), peers_may_leave=True) as origin:
        leader = await _taking_nothing(shop, "/shared/late")
        await shop.until_metric(1, "planb_requests_in_flight", route="shared")
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        copy = await shop.fetch("GET", "/shared/late")
        assert copy.body == body
        assert copy.header("cache-status") == "planb; fwd=miss; collapsed"
        # It has not waited until it may ask by itself.
        assert time.monotonic() - begun < 4.0
        assert len(origin.requests) == 1
        leader.close()
    await shop.is_at_rest()


async def test_what_nobody_waits_for_is_read_as_its_client_takes_it(shop: Storefront) -> None:
    before = shop.planb.rss_bytes()
    async with shop.origin(answering(ok(block(8 << 20))), peers_may_leave=True):
        clients = [await _taking_nothing(shop, f"/shared/alone-{each}") for each in range(20)]
        await shop.until_metric(20, "planb_requests_in_flight", route="shared")
        await asyncio.sleep(1.0)
        # All of them would be 160 MiB, and as much again while it is collected.
        assert shop.planb.rss_bytes() - before < 40 << 20
        for client in clients:
            client.close()
    await shop.is_at_rest()
