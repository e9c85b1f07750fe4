"""What was measured, as two pictures: goodput over load, and the wave over time."""

from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.bench.overload.cases import LOADS, WARM_UP, WAVE, Case, load_name
from tests.bench.overload.customers import KINDS
from tests.bench.overload.results import SERIES_SECONDS, Results
from tests.bench.overload.shop import CAPACITY

_COLOURS = {
    "no": "#777777",
    "nginx": "#5b8c5a",
    "haproxy": "#4f7cac",
    "envoy": "#9a6fb0",
    "planb": "#d1495b",
    "compiled": "#8f1d36",
}
_STYLES = ("-", "--", ":", "-.")


class _Look(NamedTuple):
    """A colour for each family, a dash for each of its members."""

    colour: str
    style: str
    width: float

    def draw(self, axes: Axes, values: list[float], label: str) -> None:
        axes.plot(
            range(len(values)),
            values,
            color=self.colour,
            ls=self.style,
            lw=self.width,
            marker="o",
            ms=3,
            label=label,
        )


def plot_loads(results: Results, file: Path) -> None:
    """Goodput, and the critical ones served, over what was offered."""
    loads = [times for times in LOADS if load_name(times) in {case.name for case in results.cases}]
    by_name = {case.name: case for case in results.cases}
    with mpl.rc_context({"font.size": 9, "axes.titlesize": 11}):
        figure = Figure(figsize=(11, 4.4), layout="constrained")
        goodput, critical = figure.subplots(1, 2, sharex=True, sharey=True)
        for who, look in _looks(results.contenders).items():
            cases = [by_name[load_name(times)] for times in loads]
            reached = [results.goodput_ratio(case, who) for case in cases]
            shares = [min(1.0, times) * each for times, each in zip(loads, reached, strict=True)]
            look.draw(goodput, shares, who)
            served = [
                results.median(case.name, who, lambda run: run.figures.kinds[0].good_ratio)
                for case in cases
            ]
            look.draw(critical, served, who)
        goodput.set_title("Goodput, of the shop's capacity", loc="left")
        critical.set_title(f"{KINDS[0].name.capitalize()} requests served in time", loc="left")
        for axes in (goodput, critical):
            axes.set_xticks(range(len(loads)), [f"{times:g}x" for times in loads])
            axes.set_xlabel("offered load, of capacity")
            axes.yaxis.set_major_formatter("{x:.0%}")
            axes.set_ylim(0, 1.05)
            _clear(axes)
        figure.legend(*goodput.get_legend_handles_labels(), loc="outside right center")
        figure.savefig(file, dpi=110)


def plot_wave(results: Results, case: Case, file: Path) -> None:
    """Goodput over time, a small panel for each contender."""
    columns = 4
    rows = -(-len(results.contenders) // columns)
    with mpl.rc_context({"font.size": 9, "axes.titlesize": 11}):
        figure = Figure(figsize=(11, 0.6 + 1.7 * rows), layout="constrained")
        figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in figure.axes[len(results.contenders) :]:
            axes.set_visible(False)
        for axes, (who, look) in zip(figure.axes, _looks(results.contenders).items(), strict=False):
            series = results.runs(WAVE, who)[0].series
            seconds = [(number + 0.5) * SERIES_SECONDS for number in range(len(series))]
            shares = [each / CAPACITY for each in series]
            axes.fill_between(seconds, shares, color=look.colour, alpha=0.75, lw=0)
            axes.axvspan(WARM_UP, case.end, color="#000000", alpha=0.06, lw=0)
            axes.axhline(1.0, color="#000000", lw=0.6, ls=":")
            axes.set_title(who, loc="left", fontsize=9)
            axes.yaxis.set_major_formatter("{x:.0%}")
            axes.set_ylim(0, 1.25)
            _clear(axes)
        figure.suptitle(
            "Goodput, of the shop's capacity, over seconds. Grey: a wave of ten times as many "
            "customers as it can serve, each trying up to three times",
            x=0.01,
            ha="left",
            fontsize=10,
        )
        figure.savefig(file, dpi=110)


def _looks(contenders: list[str]) -> dict[str, _Look]:
    seen: dict[str, int] = {}
    looks = {}
    for who in contenders:
        family = "compiled" if who.endswith("compiled") else who.split()[0]
        number = seen[family] = seen.get(family, -1) + 1
        width = 2.0 if who.startswith("planb") else 1.4
        looks[who] = _Look(_COLOURS[family], _STYLES[number % len(_STYLES)], width)
    return looks


def _clear(axes: Axes) -> None:
    axes.grid(axis="y", color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
