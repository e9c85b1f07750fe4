"""What was measured, as Markdown tables."""

import math
from collections.abc import Callable

from tests.bench.machine import table
from tests.bench.overload.cases import HALVED, LEAK, LOADS, WAVE, Case, load_name
from tests.bench.overload.contenders import ADAPTIVE, WHOLE
from tests.bench.overload.customers import KINDS
from tests.bench.overload.goals import goals_table
from tests.bench.overload.results import LATE_SECONDS, OTHERS_CORES, Outcome, Results

Column = tuple[str, Callable[[Outcome], float], str]

_INVALID = " (invalid)"
_MILLISECONDS = "{:.1f}"
_SERVED: list[Column] = [
    *(
        (kind.name, lambda run, n=number: run.figures.kinds[n].good_ratio, "{:.1%}")
        for number, kind in enumerate(KINDS)
    ),
    ("p99 of successes, ms", lambda run: 1000 * run.figures.success_p99, _MILLISECONDS),
    ("refusals p50, ms", lambda run: 1000 * run.figures.refusal_p50, "{:.2f}"),
    ("refusals p99, ms", lambda run: 1000 * run.figures.refusal_p99, _MILLISECONDS),
    ("left", lambda run: run.figures.left, "{:,.0f}"),
    ("cores", lambda run: run.cores, "{:.2f}"),
]
_WASTED: Column = ("wasted work", lambda run: run.wasted_ratio, "{:.0%}")
_RECOVERY: Column = ("recovery, s", lambda run: run.recovery, "{:.1f}")
_ATTEMPTS: Column = ("attempts/s", lambda run: run.figures.attempts_per_second, "{:,.0f}")


def report(results: Results) -> str:
    """All tables for which there is something."""
    by_name = {case.name: case for case in results.cases}
    own = [who for who in results.contenders if who.startswith((ADAPTIVE, WHOLE))]
    parts = [
        _loads(results, [case for case in results.cases if case.name.startswith("load ")]),
        goals_table(results, own),
        *(_details(results, by_name, load_name(times), _SERVED) for times in LOADS),
        _details(results, by_name, WAVE, [*_SERVED, _ATTEMPTS, _RECOVERY, _WASTED]),
        _details(results, by_name, HALVED, [*_SERVED, _WASTED]),
        _details(results, by_name, LEAK, [*_SERVED, _RECOVERY, _WASTED]),
        _lateness(results),
    ]
    return "\n\n".join(part for part in parts if part)


def _loads(results: Results, cases: list[Case]) -> str:
    if not cases:
        return ""
    rows = [
        [who, *(f"{_share(results, case, who):.0%}{_mark(results, case, who)}" for case in cases)]
        for who in results.contenders
    ]
    heads = [case.name.removeprefix("load ") for case in cases]
    return table(["goodput, of capacity, at a load of", *heads], rows)


def _share(results: Results, case: Case, who: str) -> float:
    return results.goodput_ratio(case, who) * min(1.0, _times(case))


def _times(case: Case) -> float:
    return next(times for times in LOADS if load_name(times) == case.name)


def _details(results: Results, by_name: dict[str, Case], name: str, columns: list[Column]) -> str:
    if name not in by_name:
        return ""
    case = by_name[name]
    rows = []
    for who in results.contenders:
        cells = [_cell(results.median(name, who, value), form) for _, value, form in columns]
        goodput = f"{results.goodput_ratio(case, who):.1%}"
        rows.append([who + _mark(results, case, who), goodput, *cells])
    return table([name, "goodput", *(head for head, _, _ in columns)], rows)


def _mark(results: Results, case: Case, who: str) -> str:
    return "" if any(run.valid for run in results.runs(case.name, who)) else _INVALID


def _cell(value: float, form: str) -> str:
    if math.isnan(value):
        return "-"
    return "never" if math.isinf(value) else form.format(value)


def _lateness(results: Results) -> str:
    runs = [run for many in results.outcomes.values() for run in many]
    worst = max((run.figures.late_p99 for run in runs if run.valid), default=0.0)
    limit = 1000 * LATE_SECONDS
    told = f"In what counts, 99 of 100 requests left at most {1000 * worst:.1f} ms late."
    if not all(any(run.valid for run in many) for many in results.outcomes.values()):
        told += (
            f" Marked {_INVALID.strip()}: in each run of it the generator was more than "
            f"{limit:.0f} ms late, or other processes took more than {OTHERS_CORES:g} of a core."
        )
    if unsent := sum(run.figures.unsent for run in runs):
        told += f" {unsent:,} attempts found no free descriptor; they count as failed."
    return told
