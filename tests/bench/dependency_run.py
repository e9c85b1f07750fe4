"""One run of the bench of a sick service: a shop, a service that falls sick, and visitors."""

import asyncio
import contextlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from proxy.surge.generator import LoadGenerator, get
from proxy.surge.result import Stretch, quantile
from tests.bench.machine import LOAD_CORE, PROXY_CORE, pinned
from tests.bench.server_process import free_port, serving
from tests.support.planb import PlanB
from tests.support.raw_client import fetch, request_head

RATE = 200
"""Pages a second."""
LEAD = 3.0
"""Seconds before the service falls sick: the breaker has a window full of good answers."""
BACK_WITHIN = 90.0
_FLAP = 1.0
_VISITOR_LEAVES = 5.0

WELL, DEAD, HANGS, SLOW = "well", "dead", "hangs (2 s)", "slow (75 ms), but in time"
FLAPS, REFUSES = "flaps: hangs and is well, 1 s each", "refuses (429)"
HALF_DEAD, HALF_HANGS = "half of it dead", "half of it hangs"
STATES = [WELL, DEAD, HANGS, SLOW, FLAPS, REFUSES, HALF_DEAD, HALF_HANGS]
DIRECT, PLAN_B = "without", "Plan B"

RULES = """
listeners:
  - {{name: to-coupons, bind: "127.0.0.1:0", direction: outbound, upstream: coupons}}
upstreams:
  coupons:
    endpoints: {endpoints}
    timeouts: {{connect: 100ms, response: 100ms}}
    pool: {{connections: 8}}
    breaker: {{consecutive_failures: 10, slow: 50ms, consecutive_slow: 10}}
    throttle: {{}}
    retry: {{}}
routes:
  - name: coupons-of-today
    match: {{path: /coupons}}
    fallback: {{page: no-coupons}}
pages:
  no-coupons: {{status: 200, json: none.json}}
"""


class Outcome(NamedTuple):
    """Of one run. Times in seconds; `p99` is infinite where more than one page in 100 failed."""

    p50: float
    p99: float
    with_coupons: float
    """The share of pages that had coupons."""
    calls: float
    """How many calls reached the service for each page."""
    back: float
    """How long after the service was well half of the pages had coupons again; NaN: not asked."""
    late: float
    """By how much requests left too late at most, but for one in a hundred: the machine's fault."""


class Counts(NamedTuple):
    """How many pages the shop has made."""

    with_coupons: int
    without_coupons: int

    def since(self, before: "Counts") -> "Counts":
        return Counts(
            self.with_coupons - before.with_coupons, self.without_coupons - before.without_coupons
        )


class Shop(NamedTuple):
    """Where it serves its page, and where its counts."""

    port: int
    counts_port: int

    async def counts(self) -> Counts:
        return Counts(**await _numbers(self.counts_port, "/"))


class Endpoint:
    """The coupon service at one address."""

    def __init__(self, directory: Path, slow_time: float) -> None:
        self.port = free_port()
        self._output = directory / f"coupons-{self.port}"
        self._command = [
            *(sys.executable, "-m", "proxy.demo.coupons", f"--port={self.port}", "--threads=128"),
            f"--slow-time={slow_time}",
        ]
        self._process = contextlib.AsyncExitStack()
        self._pid = 0

    async def start(self) -> None:
        running = serving(self._command, self.port, LOAD_CORE, self._output)
        self._pid = (await self._process.enter_async_context(running)).pid

    async def kill(self) -> None:
        """At once: who asks it from now on is told by the system that nobody is there."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            while Path(f"/proc/{self._pid}").exists():  # noqa: ASYNC240 - no disk
                await asyncio.sleep(0.01)
            self._pid = 0
            await self._process.aclose()

    async def recover(self) -> None:
        if not self._pid:
            await self.start()
        await self.be("well")

    async def be(self, mood: str) -> None:
        await fetch(self.port, request_head("POST", f"/be/{mood}"))

    async def asked(self) -> int:
        return (await _numbers(self.port, "/healthz"))["asked"] if self._pid else 0


async def run(state: str, who: str, seconds: float, directory: Path) -> Outcome:
    """Pages at RATE while the service falls sick, is so for `seconds`, and is well again."""
    async with contextlib.AsyncExitStack() as stack:
        endpoints = [Endpoint(directory, 0.075 if state == SLOW else 2.0) for _ in range(2)]
        for endpoint in endpoints:
            stack.push_async_callback(endpoint.kill)
            await endpoint.start()
        urls = [f"http://127.0.0.1:{endpoint.port}" for endpoint in endpoints]
        if who == PLAN_B:
            (directory / "none.json").write_text('{"coupons": []}')
            rules = RULES.format(endpoints=urls)
            planb = PlanB(rules, directory, prefix=pinned(PROXY_CORE))
            urls = [(await stack.enter_async_context(planb)).url("to-coupons")]
        shop = Shop(free_port(), free_port())
        command = [sys.executable, "-m", "tests.bench.dependency_shop", f"--port={shop.port}"]
        command += [f"--counts-port={shop.counts_port}", "--coupons", *urls]
        running = serving(command, shop.port, LOAD_CORE, directory / "shop")
        await stack.enter_async_context(running)
        return await _measure(state, endpoints, shop, seconds, asks_back=who == PLAN_B)


async def _measure(
    state: str, endpoints: list[Endpoint], shop: Shop, seconds: float, *, asks_back: bool
) -> Outcome:
    generator = LoadGenerator(
        "127.0.0.1",
        shop.port,
        [get("127.0.0.1", shop.port, "/")],
        rate=RATE,
        seconds=LEAD + seconds + BACK_WITHIN,
        connections=2048,
        timeout=_VISITOR_LEAVES,
    )
    load = asyncio.create_task(generator.run())
    await asyncio.sleep(LEAD)
    asked = [await each.asked() for each in endpoints]
    before = await shop.counts()
    mark = generator.result.mark()
    async with _sick(state, endpoints):
        await asyncio.sleep(seconds)
        pages = generator.result.since(mark, seconds)
        calls = [await each.asked() - then for each, then in zip(endpoints, asked, strict=True)]
        made = (await shop.counts()).since(before)
    back = await _back(shop) if asks_back and state != WELL else math.nan
    generator.stop()
    generator.stop()
    await load
    return Outcome(
        pages.served_p50,
        p99(pages),
        made.with_coupons / max(1, made.with_coupons + made.without_coupons),
        sum(max(0, count) for count in calls) / max(1, pages.sent),
        back,
        quantile(sorted(generator.result.lateness), 0.99),
    )


def p99(pages: Stretch) -> float:
    """Of all pages: visitors who got none have waited for ever."""
    missing = pages.left + pages.wrong + pages.refused
    return pages.served_p99 if missing <= 0.01 * pages.sent else math.inf


@contextlib.asynccontextmanager
async def _sick(state: str, endpoints: list[Endpoint]) -> AsyncIterator[None]:
    """The service is in `state` for as long as the block lasts, and well after it."""
    sick = endpoints[:1] if state in (HALF_DEAD, HALF_HANGS) else endpoints
    flapping = asyncio.create_task(_flap(sick)) if state == FLAPS else None
    for each in sick:
        if state in (DEAD, HALF_DEAD):
            await each.kill()
        elif state in (HANGS, HALF_HANGS, SLOW):
            await each.be("slow")
        elif state == REFUSES:
            await each.be("refusing")
    try:
        yield
    finally:
        if flapping:
            flapping.cancel()
            await asyncio.gather(flapping, return_exceptions=True)
        for each in sick:
            await each.recover()


async def _flap(endpoints: list[Endpoint]) -> None:
    while True:
        for mood in ("slow", "well"):
            for each in endpoints:
                await each.be(mood)
            await asyncio.sleep(_FLAP)


async def _back(shop: Shop) -> float:
    """Seconds until half of the pages of a quarter of a second have coupons."""
    began = time.monotonic()
    before = await shop.counts()
    while (passed := time.monotonic() - began) < BACK_WITHIN:
        await asyncio.sleep(0.25)
        now = await shop.counts()
        made = now.since(before)
        if made.with_coupons > made.without_coupons:
            return passed
        before = now
    return math.inf


async def _numbers(port: int, target: str) -> dict[str, int]:
    answer = await fetch(port, request_head("GET", target))
    numbers: dict[str, int] = json.loads(answer.body)
    return numbers
