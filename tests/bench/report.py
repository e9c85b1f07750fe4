"""What was measured, as Markdown tables."""

from statistics import median

from tests.bench.contenders import PLANB
from tests.bench.machine import table
from tests.bench.results import NO_PROXY, Results, Speed, median_wait


def report(results: Results) -> str:
    """All tables for which there is something."""
    parts = [
        f"Medians (least to most) of {results.rounds} rounds of {results.seconds} s.",
        *(_speeds(results) if results.speeds else ()),
        *(_waits(results, rate) for rate in results.waits),
        *([_floods(results)] if results.floods else ()),
        *([_costs(results)] if results.opened or results.memory else ()),
    ]
    return "\n\n".join(parts)


def _speeds(results: Results) -> list[str]:
    names, first = results.contenders, results.contenders[0]
    speeds, used, ratios = [], [], []
    for case, by_name in results.speeds.items():
        runs = {who: [speed.per_second for speed in by_name[who]] for who in names}
        spreads = (f"{median(r):,.0f} ({min(r):,.0f} to {max(r):,.0f})" for r in runs.values())
        speeds.append([case, *spreads])
        used.append([case, *(_own_time(by_name[who]) for who in names)])
        of_first = (f"{results.ratio(case, who, first):.2f}" for who in names[1:])
        of_each = (f"{results.ratio(case, PLANB, who):.2f}" for who in names if who != PLANB)
        ratios.append([case, *of_first, *(of_each if PLANB in names else ())])
    heads = [f"{who} / {first}" for who in names[1:]]
    if PLANB in names:
        heads += [f"{PLANB} / {who}" for who in names if who != PLANB]
    # With nginx first, planb / nginx stands in both halves: once is enough.
    once = [number for number, head in enumerate(heads) if heads.index(head) == number]
    ratios = [[row[0], *(row[1 + number] for number in once)] for row in ratios]
    return [
        table(["requests per second", *names], speeds),
        table(["ratios of the medians", *(heads[number] for number in once)], ratios),
        table(["requests per second of processor time (share of the core used)", *names], used),
    ]


def _own_time(speeds: list[Speed]) -> str:
    per_second = median(speed.per_second / max(speed.core_ratio, 0.01) for speed in speeds)
    return f"{per_second:,.0f} ({median(speed.core_ratio for speed in speeds):.0%})"


def _waits(results: Results, rate: int) -> str:
    by_name = {who: median_wait(waits) for who, waits in results.waits[rate].items()}
    without = by_name[NO_PROXY]
    rows = [
        [
            who,
            *(f"{1000 * each:.2f}" for each in wait),
            *(
                f"{1000 * (with_it - bare):+.2f}"
                for with_it, bare in zip(wait, without, strict=True)
            ),
        ]
        for who, wait in by_name.items()
    ]
    heads = [f"milliseconds at {rate:,}/s", "p50", "p99", "added at p50", "added at p99"]
    return table(heads, rows)


def _floods(results: Results) -> str:
    rows = []
    for who, runs in results.floods.items():
        waits = (median_wait([r.alone for r in runs]), median_wait([r.flooded for r in runs]))
        flood = median(run.flood_per_second for run in runs)
        rows.append(
            [who, *(f"{1000 * each:.2f}" for wait in waits for each in wait), f"{flood:,.0f}"]
        )
    heads = ["p50 alone", "p99 alone", "p50 in a flood", "p99 in a flood", "refused per second"]
    return table(["admitted requests, milliseconds", *heads], rows)


def _costs(results: Results) -> str:
    rows = []
    if results.opened:
        ratios = (1000 * opened / requests for opened, requests in results.opened.values())
        rows.append(
            ["upstream connections per 1,000 requests", *(f"{each:.2f}" for each in ratios)]
        )
    if results.memory:
        every = list(results.memory.values())
        connections = f"{every[0].connections:,} idle connections"
        rows += [
            ["memory at rest, MB", *(f"{each.idle_bytes / 1e6:.1f}" for each in every)],
            [f"with {connections}, MB", *(f"{each.connected_bytes / 1e6:.1f}" for each in every)],
            ["for each, kB", *(f"{each.bytes_per_connection / 1e3:.1f}" for each in every)],
        ]
    return table(["connections and memory", *results.contenders], rows)
