"""An upstream with several endpoints: who fails is left out, and comes back by itself."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.scenarios.storefront import free_port
from tests.support.name_server import NameServer
from tests.support.origin import Peer, RawOrigin, Script, answering, ok, response
from tests.support.planb import PlanB
from tests.support.raw_client import fetch, request_head

EJECTION = "{consecutive_failures: 2, time: 300ms, max_time: 300ms, max_ejected: 67%}"
LOOPBACK = [f"127.0.0.{number}" for number in (1, 2, 3)]


class Endpoints:
    """Three origins at one port of different addresses: each answers with its address."""

    def __init__(self) -> None:
        port = free_port()
        self.all = [
            RawOrigin(_naming(host), host=host, port=port, peers_may_leave=True)
            for host in LOOPBACK
        ]
        self.urls = ", ".join(each.url for each in self.all)

    async def ask(self, planb: PlanB, count: int) -> Counter[str]:
        """Who has answered so many requests; where one failed, with which status."""
        answers: Counter[str] = Counter()
        for _ in range(count):
            answer = await fetch(planb.port("storefront"), request_head("GET", "/"))
            answers[answer.body.decode() if answer.status == 200 else str(answer.status)] += 1
        return answers

    async def until(self, planb: PlanB, origin: RawOrigin, ejected: int) -> Counter[str]:
        """Asks until this one is ejected (1) or is not (0), and who has answered meanwhile."""
        answers: Counter[str] = Counter()
        name, endpoint = "planb_endpoint_ejected", _address(origin)
        async with asyncio.timeout(10):
            while await planb.metric(name, endpoint=endpoint) != ejected:
                answers += await self.ask(planb, 1)
        return answers


def _address(origin: RawOrigin) -> str:
    return f"{origin.host}:{origin.port}"


def _naming(host: str) -> Script:
    return answering(ok(host.encode()))


async def _failing(peer: Peer) -> None:
    while await peer.read_request() is not None:
        await peer.send(response(500, "Oh", b"no"))


async def _hanging(peer: Peer) -> None:
    await peer.stall()


@contextlib.asynccontextmanager
async def _endpoints() -> AsyncIterator[Endpoints]:
    made = Endpoints()
    for each in made.all:
        await each.open()
    try:
        yield made
    finally:
        for each in made.all:
            await each.close()


def _rules(where: str) -> str:
    timeouts = "timeouts: {connect: 200ms, response: 200ms}"
    return f"""
listeners: [{{name: storefront, bind: "127.0.0.1:0", upstream: shop}}]
upstreams: {{shop: {{{where}, {timeouts}, ejection: {EJECTION}}}}}
"""


async def test_who_dies_or_fails_or_hangs_is_left_out_and_comes_back(tmp_path: Path) -> None:
    async with (
        _endpoints() as shop,
        PlanB(_rules(f"endpoints: [{shop.urls}]"), tmp_path) as planb,
    ):
        answers = await shop.ask(planb, 30)
        assert set(answers) == {*LOOPBACK}, answers
        dead, bad, _ = shop.all

        await dead.close()
        answers = await shop.until(planb, dead, 1)
        # Who could not be connected to was sent nothing: another was asked. A connection that was
        # resting when it died is not used.
        assert set(answers) <= {*LOOPBACK[1:]}, answers

        for script, status in ((_failing, "500"), (_hanging, "504")):
            await bad.close()
            bad.script = script
            await bad.open()
            answers = await shop.until(planb, bad, 1)
            assert answers[status] <= 2, answers
            bad.script = _naming(bad.host)
            await bad.close()
            await bad.open()
            await shop.until(planb, bad, 0)

        await dead.open()
        async with asyncio.timeout(10):
            while f"upstream shop ({_address(dead)}) is back" not in planb.log_text():
                await shop.ask(planb, 10)
        assert f"upstream shop ({_address(dead)}) gets no requests for 0.3 s" in planb.log_text()
        assert await planb.metric("planb_endpoint_requests_in_flight") == 0
        assert await planb.metric("planb_upstream_connections", state="in_use") == 0


@pytest.mark.any_lane("look-ups are no lane's")
async def test_a_name_s_addresses_are_followed_and_kept_while_the_dns_is_lost(
    tmp_path: Path,
) -> None:
    async with _endpoints() as shop, NameServer() as names:
        names.records["shop.test", "A"] = (1, LOOPBACK[:2])
        port = shop.all[0].port
        resolve = f"resolve: {{nameserver: '127.0.0.1:{names.port}', every: 1s}}"
        async with PlanB(_rules(f"url: 'http://shop.test:{port}', {resolve}"), tmp_path) as planb:
            assert set(await shop.ask(planb, 20)) == {*LOOPBACK[:2]}

            names.records["shop.test", "A"] = (1, LOOPBACK[1:])
            async with asyncio.timeout(10):
                while set(await shop.ask(planb, 20)) != {*LOOPBACK[1:]}:
                    pass

            names.records.clear()
            await planb.wait_for_text("can't be looked up, its last addresses stay", within=10)
            assert set(await shop.ask(planb, 20)) == {*LOOPBACK[1:]}
