"""Two sidecars, one calling the other, which says how fast it may be called."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.scenarios.storefront import Storefront, rules, storefront
from tests.support.http_origin import HttpOrigin
from tests.support.origin import Peer
from tests.support.planb import PlanB
from tests.support.raw_client import RawClient, fetch, request_head

ADVISE = "advise: {rate: 50/s, callers: [127.0.0.1/32]}"
OBEY = "obey_advice: {}"
KNOWN = 'Planb-Caller: "elsewhere";demand=500.0'
SHARED = "listener/storefront/shared"


@asynccontextmanager
async def callee(
    folder: Path, listener: str = ADVISE
) -> AsyncIterator[tuple[Storefront, HttpOrigin]]:
    async with (
        storefront(folder / "callee", listener=listener) as running,
        HttpOrigin(port=running.origin_port) as origin,
    ):
        yield running, origin


async def test_a_sidecar_calls_no_faster_than_it_is_told_and_nothing_is_sent_in_vain(
    tmp_path: Path,
) -> None:
    async with callee(tmp_path) as (shop, origin):
        text = rules(f"http://127.0.0.1:{shop.port}", upstream=OBEY)
        async with PlanB(text, tmp_path / "caller") as caller:
            answers = []
            began = time.monotonic()
            async with RawClient(caller.port("storefront")) as app:
                while time.monotonic() < began + 0.6:
                    answers.append(await app.get("/", 'Planb-Caller: "forged"'))
            took = time.monotonic() - began
            forwarded = await shop.verdicts("forwarded")
            served = [answer for answer in answers if answer.status == 200]
            assert len(served) == forwarded <= 10 + 50 * took
            assert await shop.verdicts("refused") == 0, "sent in vain"
            refused = [answer for answer in answers if answer.status == 429]
            assert refused
            assert all(answer.header("retry-after") for answer in refused)
            assert await caller.metric("planb_requests_total", reason="advised") == len(refused)
            assert 0 < await caller.metric("planb_upstream_advised_rate", upstream="shop") <= 50
            assert 0 < await shop.planb.metric("planb_limit_share", limit=SHARED) <= 50
            # What sidecars tell each other is nobody else's.
            assert not [answer for answer in answers if answer.values("ratelimit-policy")]
            assert not any(each.values("planb-caller") for each in origin.requests)
            page = (await shop.planb.admin("GET", "/-/status")).body
            assert b"@127.0.0.1" in page
            assert b"forged" not in page


async def test_only_trusted_callers_that_say_who_they_are_are_told_their_share(
    tmp_path: Path,
) -> None:
    listener = (
        "trusted_proxies: [127.0.0.1/32], advise: {rate: 1/h, burst: 3, callers: [10.0.0.0/8]}"
    )
    behind, strange = "X-Forwarded-For: 10.1.2.3", "X-Forwarded-For: 192.0.2.1"
    async with callee(tmp_path, listener) as (shop, origin):
        for lines in ((behind,), (strange, KNOWN)):
            answer = await shop.fetch("GET", "/", *lines)
            assert answer.status == 200
            assert not answer.values("ratelimit")
        told = await shop.fetch("GET", "/", behind, KNOWN)
        assert told.status == 200
        assert (told.header("ratelimit-policy") or "").partition(";planb-share=")[2]
        refused = await shop.fetch("GET", "/", behind, KNOWN)
        assert refused.status == 429
        assert (refused.header("ratelimit") or "").startswith(f'"{SHARED}";r=0;t=')
        assert refused.header("retry-after")
        other = await shop.fetch("GET", "/", strange, KNOWN)
        assert other.status == 429
        assert not other.values("ratelimit-policy")
        assert not any(each.values("planb-caller") for each in origin.requests)


async def test_a_pause_that_a_stranger_asks_for_is_kept_and_ends(tmp_path: Path) -> None:
    asked = 0

    async def busy_once(peer: Peer) -> None:
        nonlocal asked
        while await peer.read_request() is not None:
            asked += 1
            if asked == 1:
                await peer.send(
                    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
                )
            else:
                await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    upstream = "obey_advice: {tell_demand: false}"
    async with (
        storefront(tmp_path, upstream=upstream) as shop,
        shop.origin(busy_once) as origin,
    ):
        assert (await shop.fetch("GET", "/")).status == 429
        began = time.monotonic()
        assert (await shop.fetch("GET", "/")).status == 429
        assert asked == 1
        assert await shop.verdicts("refused", "advised") == 1
        while (await fetch(shop.port, request_head("GET", "/"))).status != 200:
            assert asked == 1
            assert time.monotonic() < began + 10.0
            await asyncio.sleep(0.05)
        assert time.monotonic() > began + 0.9
        assert not any(each.values("planb-caller") for each in origin.requests)
