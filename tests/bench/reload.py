"""What a reload of 1,000 routes costs the requests under way. See README.md.

python -m tests.bench.reload [--rate 300] [--seconds 20] [--routes 1000] [--reloads 10]
"""

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from proxy.surge.generator import load
from proxy.surge.result import Result
from tests.bench.machine import LOAD_CORE, PROXY_CORE, keep, pinned, table
from tests.bench.plan_b import rules
from tests.bench.rule_set import GENEROUS
from tests.bench.upstream import upstream
from tests.support.planb import PlanB


async def measure(directory: Path, rate: float, seconds: float, routes: int, reloads: int) -> str:
    """Load without reloads, with them, and without again; returns the report."""
    async with (
        upstream(directory) as shop,
        PlanB(rules(shop.port, routes), directory, prefix=pinned(PROXY_CORE)) as planb,
    ):
        url = planb.url("storefront")
        targets = [f"/r{number * routes // 10}/100" for number in range(10)]
        await load(url, *targets, rate=rate, seconds=1)
        before = await load(url, *targets, rate=rate, seconds=seconds)
        during, _ = await asyncio.gather(
            load(url, *targets, rate=rate, seconds=seconds),
            _reload(planb, shop.port, routes, reloads, seconds),
        )
        after = await load(url, *targets, rate=rate, seconds=seconds)
    runs = {"before": before, f"with {reloads} reloads": during, "after": after}
    for name, result in runs.items():
        if result.statuses != {200: result.sent}:
            raise SystemExit(f"{name}: requests were lost\n{result.table()}")
    heads = [f"{routes:,} routes, {rate:g}/s, milliseconds", "requests", "p50", "p99", "max"]
    return table(heads, [_row(name, result) for name, result in runs.items()])


async def _reload(planb: PlanB, shop: int, routes: int, reloads: int, seconds: float) -> None:
    """Change every limit and reload, evenly over `seconds`, a moment after the load's start."""
    for number in range(reloads):
        await asyncio.sleep(seconds / (reloads + 1))
        planb.rewrite(rules(shop, routes, GENEROUS - number - 1))
        response = await planb.admin("POST", "/-/reload")
        if response.status != 200:
            raise SystemExit(f"the reload failed: {response}")


def _row(name: str, result: Result) -> list[str]:
    latencies = (f"{1000 * result.latency(q):.2f}" for q in (0.5, 0.99, 1.0))
    return [name, f"{result.sent:,}", *latencies]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="reload")
    parser.add_argument("--rate", type=float, default=300, help="requests a second (300)")
    parser.add_argument("--seconds", type=float, default=20, help="of each of three runs (20)")
    parser.add_argument("--routes", type=int, default=1000, help="in the rules (1000)")
    parser.add_argument("--reloads", type=int, default=10, help="in the middle run (10)")
    options = parser.parse_args()
    if (os.cpu_count() or 1) > LOAD_CORE:
        os.sched_setaffinity(0, {LOAD_CORE})
    sizes = (options.rate, options.seconds, options.routes, options.reloads)
    with tempfile.TemporaryDirectory() as outer:
        directory = Path(outer) / "planb"
        directory.mkdir()
        report = asyncio.run(measure(directory, *sizes))
    print(f"\n{report}")
    keep("Reloading under load", report)


if __name__ == "__main__":
    main()
