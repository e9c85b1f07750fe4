"""Throughput and latency of Plan B beside nginx, in the same run. See README.md.

python -m tests.bench.forward [--seconds 5] [--rounds 3] [--contenders nginx,planb]
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.bench import wrk
from tests.bench.contenders import ROUTES, nginx, plan_b, upstream
from tests.bench.machine import LOAD_CORE, keep, table
from tests.support.load import Result, load
from tests.support.raw_client import fetch, request_head

PROXIES: dict[str, Callable[[Path, int], contextlib.AbstractAsyncContextManager[int]]] = {
    "nginx": nginx,
    "planb": plan_b,
}
LATENCY_RATE = 500


@dataclass(frozen=True)
class Case:
    """What wrk asks for; `refused` says what must come back."""

    name: str
    target: str
    browser: bool
    refused: bool


CASES = [
    Case(f"{what}, {'browser' if browser else 'plain'} head", target, browser, refused)
    for what, target, refused in (
        # The last of the routes, so that none is spared the search.
        ("forward 100 B", f"/r{ROUTES - 1}/100", False),
        ("forward 10 KiB", f"/r{ROUTES - 1}/10240", False),
        ("refuse by rate", "/refused/100", True),
    )
    for browser in (False, True)
]


async def measure(directory: Path, names: list[str], seconds: float, rounds: int) -> str:
    """Run every case `rounds` times for every proxy in turn, and return the report."""
    async with contextlib.AsyncExitStack() as stack:
        shop = await stack.enter_async_context(upstream(directory / "upstream"))
        ports = {}
        for name in names:
            ports[name] = await stack.enter_async_context(PROXIES[name](directory / name, shop))

        await _check_bodies(ports)
        speeds = await _speeds(ports, seconds, rounds)
        results = await _results({"no proxy": shop, **ports}, seconds, rounds)
    method = f"Medians (least to most) of {rounds} rounds of {seconds:g} s."
    return "\n\n".join([method, _throughput(names, speeds), _latency(results)])


async def _check_bodies(ports: dict[str, int]) -> None:
    for port in ports.values():
        for size in (100, 10240):
            answer = await fetch(port, request_head("GET", f"/r{ROUTES - 1}/{size}"))
            if len(answer.body) != size:
                raise SystemExit(f"not the body of {size} bytes: {answer}")


async def _speeds(
    ports: dict[str, int], seconds: float, rounds: int
) -> dict[tuple[str, str], list[float]]:
    """Requests per second, by case and proxy."""
    script = str(Path(__file__).with_name(wrk.BROWSER_HEAD))
    speeds: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds):
        for case in CASES:
            for name, port in ports.items():
                url = f"http://127.0.0.1:{port}{case.target}"
                report = await wrk.run(url, seconds, script if case.browser else None)
                _check(report, case, name)
                speeds.setdefault((case.name, name), []).append(report.per_second)
                done = f"round {number + 1}  {case.name:<30} {name:<6}"
                print(f"{done} {report.per_second:>8,.0f}/s", flush=True)
    return speeds


async def _results(ports: dict[str, int], seconds: float, rounds: int) -> dict[str, list[Result]]:
    """What came back at a modest constant rate, by proxy."""
    results: dict[str, list[Result]] = {}
    for _ in range(rounds):
        for name, port in ports.items():
            url = f"http://127.0.0.1:{port}"
            result = await load(url, f"/r{ROUTES - 1}/100", rate=LATENCY_RATE, seconds=seconds)
            if result.statuses != {200: result.sent}:
                raise SystemExit(f"{name}: {result.table()}")
            results.setdefault(name, []).append(result)
    return results


def _check(report: wrk.Report, case: Case, name: str) -> None:
    """A benchmark of something else than it says is worse than none."""
    # A bucket that refills in mid-run lets one request a second through.
    as_wanted = report.refused >= 0.98 * report.answered if case.refused else not report.refused
    if not as_wanted or report.broken:
        raise SystemExit(f"{case.name}, {name}: not what was to be measured: {report}")


def _throughput(names: list[str], speeds: dict[tuple[str, str], list[float]]) -> str:
    first, *others = names
    heads = ["requests per second", *names, *(f"{name} / {first}" for name in others)]
    rows = []
    for case in CASES:
        medians = {name: median(speeds[case.name, name]) for name in names}
        rows.append(
            [
                case.name,
                *(_spread(speeds[case.name, name]) for name in names),
                *(f"{medians[name] / medians[first]:.2f}" for name in others),
            ]
        )
    return table(heads, rows)


def _spread(values: list[float]) -> str:
    return f"{median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def _latency(results: dict[str, list[Result]]) -> str:
    def quantile(name: str, q: float) -> float:
        return 1000 * median(result.latency(q) for result in results[name])

    rows = [
        [
            name,
            *(f"{quantile(name, q):.2f}" for q in (0.5, 0.99)),
            *(f"{quantile(name, q) - quantile('no proxy', q):+.2f}" for q in (0.5, 0.99)),
        ]
        for name in results
    ]
    heads = [f"milliseconds at {LATENCY_RATE}/s", "p50", "p99", "added at p50", "added at p99"]
    return table(heads, rows)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="forward")
    parser.add_argument("--seconds", type=float, default=5, help="of each run of wrk (5)")
    parser.add_argument("--rounds", type=int, default=3, help="medians are taken over these (3)")
    parser.add_argument(
        "--contenders",
        default="nginx,planb",
        help=f"of {', '.join(PROXIES)}, the first is the measure (nginx,planb)",
    )
    options = parser.parse_args()
    names = options.contenders.split(",")
    if unknown := set(names) - PROXIES.keys():
        parser.error(f"no such contender: {', '.join(unknown)}")
    if (os.cpu_count() or 1) > LOAD_CORE:
        os.sched_setaffinity(0, {LOAD_CORE})  # this process makes the load of the latency runs
    else:
        print("One core only: these numbers say little.", file=sys.stderr)
    with tempfile.TemporaryDirectory() as directory:
        report = asyncio.run(measure(Path(directory), names, options.seconds, options.rounds))
    if set(names) == PROXIES.keys():
        keep("Forwarding and refusing", report)
    else:
        print(f"\n{report}")


if __name__ == "__main__":
    main()
