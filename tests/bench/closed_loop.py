"""How much a proxy can do: each connection asks again as soon as it is answered."""

from collections.abc import Sequence
from pathlib import Path

from tests.bench import wrk
from tests.bench.cases import Case
from tests.bench.contenders import CONTENDERS
from tests.bench.process_tree import cpu_seconds
from tests.bench.results import Results, Speed
from tests.bench.rule_set import FREE, REFUSED, REFUSED_PAGE
from tests.bench.upstream import SIZES, Upstream
from tests.support.raw_client import fetch, request_head


async def measure_speeds(
    results: Results, cases: Sequence[Case], upstream: Upstream, directory: Path
) -> None:
    """Run `cases` in turn, for each contender in turn, so that a noisy minute hits all.

    Each run has the proxy started anew, so that no other one is there to take its time.
    """
    for number in range(results.rounds):
        for case in cases:
            for who in results.contenders:
                speed = await _run(results, case, who, upstream, directory)
                what = f"round {number + 1}  {case.name:<28} {who:<16}"
                used = f"{speed.core_ratio:>4.0%} of its core"
                print(f"{what} {speed.per_second:>9,.0f}/s  {used}", flush=True)


async def check_answers(contenders: Sequence[str], upstream: Upstream, directory: Path) -> None:
    """Exits unless every contender forwards all bodies, and refuses with 429."""
    for who in contenders:
        async with CONTENDERS[who](directory, upstream.port) as proxy:
            for size in SIZES:
                answer = await fetch(proxy.port, request_head("GET", f"{FREE}/{size}"))
                if answer.status != 200 or len(answer.body) != size:
                    raise SystemExit(f"{who}: not the body of {size} bytes: {answer}")
            for route, least_bytes in ((REFUSED, 1), (REFUSED_PAGE, 5000)):
                request = request_head("GET", f"{route}/{SIZES[0]}", "Accept: text/html")
                admitted = await fetch(proxy.port, request)
                refused = await fetch(proxy.port, request)
                if (admitted.status, refused.status) != (200, 429):
                    raise SystemExit(f"{who}: not one of two refused: {admitted}, {refused}")
                if len(refused.body) < least_bytes:
                    raise SystemExit(f"{who}: not the page that was wanted: {refused}")


async def _run(
    results: Results, case: Case, who: str, upstream: Upstream, directory: Path
) -> Speed:
    async with CONTENDERS[who](directory, upstream.port) as proxy:
        accepted, used = await upstream.accepted(), cpu_seconds(proxy.pid)
        report = await wrk.run(proxy.port, case, results.seconds)
        report.check(case, who)
        elapsed = report.answered / report.per_second
        speed = Speed(report.per_second, (cpu_seconds(proxy.pid) - used) / elapsed)
        if case.admitted_ratio == 1.0:
            opened = await upstream.accepted() - accepted
            results.add_opened(who, opened, report.answered)
    results.add_speed(case.name, who, speed)
    return speed
