"""What a request waits when requests come at a rate that the proxy can bear, or beside a flood."""

import asyncio
from pathlib import Path

from tests.bench import wrk
from tests.bench.cases import FORWARD, REFUSE
from tests.bench.contenders import CONTENDERS, PLANB
from tests.bench.results import NO_PROXY, Flooded, Results, Wait
from tests.bench.upstream import Upstream

ADMITTED_RATE, FLOOD_RATE = 500, 20_000
"""Requests a second beside the flood, and in it."""

_FLOOD_CONNECTIONS = 256
_HEAD_START = 0.5
"""Seconds by which the flood begins before the admitted requests do, and ends after them."""


async def measure_waits(results: Results, upstream: Upstream, directory: Path) -> None:
    """At half of what the slowest contender forwards, and at half of what Plan B does.

    A contender for which a rate is more than half is left out: it would measure its queue.
    """
    most = {who: results.per_second(FORWARD.name, who) for who in results.contenders}
    halves = {min(most.values()) / 2, most.get(PLANB, min(most.values())) / 2}
    for rate in sorted({round(half, -2) for half in halves}):
        able = [who for who in most if most[who] >= 1.9 * rate]
        for _ in range(results.rounds):
            wait = await _wait(upstream.port, results.seconds, NO_PROXY, rate)
            results.add_wait(round(rate), NO_PROXY, wait)
            for who in able:
                async with CONTENDERS[who](directory, upstream.port) as proxy:
                    wait = await _wait(proxy.port, results.seconds, who, rate)
                results.add_wait(round(rate), who, wait)
                print(f"latency at {rate:,.0f}/s  {who:<16} {_show(wait)}", flush=True)


async def measure_floods(results: Results, upstream: Upstream, directory: Path) -> None:
    """Admitted requests, first alone and then beside a flood of refused ones."""
    for _ in range(results.rounds):
        for who in results.contenders:
            async with CONTENDERS[who](directory, upstream.port) as proxy:
                alone = await _wait(proxy.port, results.seconds, who, ADMITTED_RATE)
                flood, flooded = await asyncio.gather(
                    wrk.run(
                        proxy.port,
                        REFUSE,
                        results.seconds + 1,
                        connections=_FLOOD_CONNECTIONS,
                        rate=FLOOD_RATE,
                    ),
                    _wait(proxy.port, results.seconds, who, ADMITTED_RATE, after=_HEAD_START),
                )
            flood.check(REFUSE, who)
            run = Flooded(alone, flooded, flood.per_second)
            results.floods.setdefault(who, []).append(run)
            beside = f"{_show(flooded)} beside {flood.per_second:,.0f}/s"
            print(f"flood  {who:<16} {_show(alone)}, {beside}", flush=True)


async def _wait(port: int, seconds: int, who: str, rate: float, after: float = 0.0) -> Wait:
    await asyncio.sleep(after)
    report = await wrk.run(port, FORWARD, seconds, rate=rate)
    report.check(FORWARD, who)
    return Wait(report.p50, report.p99)


def _show(wait: Wait) -> str:
    return f"p50 {1000 * wait.p50:.2f} ms, p99 {1000 * wait.p99:.2f} ms"
