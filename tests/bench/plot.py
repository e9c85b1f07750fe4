"""What was measured, as a picture."""

from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.cases import CASES
from tests.bench.contenders import FULL_LANE, PLANB, PLANB_COMPILED
from tests.bench.results import NO_PROXY, Results, median_wait

_COLOURS = {
    "nginx": "#5b8c5a",
    "haproxy": "#4f7cac",
    "envoy": "#9a6fb0",
    PLANB: "#d1495b",
    PLANB_COMPILED: "#8f1d36",
    FULL_LANE: "#e8a5ad",
}

Bars = dict[str, dict[str, tuple[float, str]]]
"""By group and then contender: a bar's length, and what is written behind it."""


def plot(results: Results, file: Path) -> None:
    """Draw all parts for which there is something into the PNG `file`."""
    forwarded = {case.name for case in CASES if case.admitted_ratio == 1.0}
    speeds, first = _speeds(results), results.contenders[0]
    columns: list[dict[str, Bars]] = [
        {
            f"Forwarding: requests per second ({first} = 1)": {
                name: bars for name, bars in speeds.items() if name in forwarded
            },
            "Memory, MB": _memory(results),
        },
        {
            f"Refusing: requests per second ({first} = 1)": {
                name: bars for name, bars in speeds.items() if name not in forwarded
            },
            "Added latency, milliseconds": _waits(results),
            "p99 of admitted requests, milliseconds": _floods(results),
        },
    ]
    drawn = [{title: bars for title, bars in each.items() if bars} for each in columns]
    drawn = [each for each in drawn if each]
    heights = [
        [sum(1 + len(group) for group in bars.values()) for bars in each.values()] for each in drawn
    ]
    tallest = max(0.2 * sum(each) + 0.6 * len(each) for each in heights)
    with mpl.rc_context({"font.size": 9, "axes.titlesize": 11, "axes.titleweight": "bold"}):
        figure = Figure(figsize=(7.5 * len(drawn), tallest), layout="constrained")
        parts = figure.subfigures(1, len(drawn), squeeze=False).flat
        for part, panels, ratios in zip(parts, drawn, heights, strict=True):
            rows = part.subplots(len(panels), squeeze=False, height_ratios=ratios).flat
            for axes, (title, bars) in zip(rows, panels.items(), strict=True):
                _draw(axes, title, bars)
        figure.savefig(file, dpi=110)


def _draw(axes: Axes, title: str, bars: Bars) -> None:
    longest = max(length for group in bars.values() for length, _ in group.values())
    ticks, names = [], []
    y = 0.0
    for name, group in bars.items():
        ticks.append(y + (len(group) - 1) / 2)
        names.append(name)
        for who, (length, text) in group.items():
            axes.barh(y, length, height=0.85, color=_COLOURS[who])
            axes.text(length + longest / 150, y, f"{who}  {text}", va="center", fontsize=8)
            y += 1
        y += 1
    axes.set_title(title, loc="left")
    axes.set_yticks(ticks, names)
    axes.set_xlim(0, 1.5 * longest)  # room for what is written behind the longest bar
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.tick_params(left=False)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _speeds(results: Results) -> Bars:
    bars: Bars = {}
    for case in results.speeds:
        bars[case] = {}
        for who in results.contenders:
            ratio = results.ratio(case, who, results.contenders[0])
            text = f"{results.per_second(case, who):,.0f}  ({ratio:.2f})"
            bars[case][who] = ratio, text
    return bars


def _waits(results: Results) -> Bars:
    bars: Bars = {}
    for rate, by_name in results.waits.items():
        waits = {who: median_wait(runs) for who, runs in by_name.items()}
        without = waits.pop(NO_PROXY)
        bars[f"p50 at {rate:,}/s"] = {
            who: _milliseconds(wait.p50 - without.p50) for who, wait in waits.items()
        }
        bars[f"p99 at {rate:,}/s"] = {
            who: _milliseconds(wait.p99 - without.p99) for who, wait in waits.items()
        }
    return bars


def _floods(results: Results) -> Bars:
    if not results.floods:
        return {}
    alone, flooded = {}, {}
    for who, runs in results.floods.items():
        alone[who] = _milliseconds(median(run.alone.p99 for run in runs))
        length, text = _milliseconds(median(run.flooded.p99 for run in runs))
        flood = median(run.flood_per_second for run in runs)
        flooded[who] = length, f"{text}  ({flood:,.0f}/s)"
    return {"alone": alone, "beside a flood of\nrefused ones (a second)": flooded}


def _memory(results: Results) -> Bars:
    if not results.memory:
        return {}
    at_rest = {who: _megabytes(each.idle_bytes) for who, each in results.memory.items()}
    connected = {who: _megabytes(each.connected_bytes) for who, each in results.memory.items()}
    connections = next(iter(results.memory.values())).connections
    return {"at rest": at_rest, f"{connections:,} idle\nconnections": connected}


def _milliseconds(seconds: float) -> tuple[float, str]:
    return max(0.0, 1000 * seconds), f"{1000 * seconds:.2f}"


def _megabytes(size: int) -> tuple[float, str]:
    return size / 1e6, f"{size / 1e6:.1f}"
