"""What Plan B promised to reach, line by line, and whether it did."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.machine import table
from tests.bench.overload.cases import HALVED, WAVE, load_name
from tests.bench.overload.customers import KINDS
from tests.bench.overload.results import Outcome, Results
from tests.bench.overload.shop import CAPACITY

_CRITICAL, _LOW = (
    next(number for number, kind in enumerate(KINDS) if kind.name == name)
    for name in ("critical", "low")
)


@dataclass(frozen=True, slots=True)
class Goal:
    """`value` of the runs of `case` must be `least` at least, or `most` at most."""

    text: str
    case: str
    value: Callable[[Outcome], float]
    form: str
    least: float = -math.inf
    most: float = math.inf

    def reached(self, value: float) -> bool:
        """Whether it is; nothing measured (NaN) reaches nothing."""
        return self.least <= value <= self.most


_TEN = load_name(10)
GOALS = (
    Goal(
        "goodput at 10x, of capacity: 95 % or more",
        _TEN,
        lambda run: run.figures.goodput / CAPACITY,
        "{:.1%}",
        least=0.95,
    ),
    Goal(
        "goodput at 20x, of capacity: 95 % or more",
        load_name(20),
        lambda run: run.figures.goodput / CAPACITY,
        "{:.1%}",
        least=0.95,
    ),
    Goal(
        "critical ones served at 10x: 99.5 % or more",
        _TEN,
        lambda run: run.figures.kinds[_CRITICAL].good_ratio,
        "{:.1%}",
        least=0.995,
    ),
    Goal(
        "low ones refused at 10x, p99: 5 ms or less",
        _TEN,
        lambda run: 1000 * run.figures.kinds[_LOW].refusal_p99,
        "{:.1f} ms",
        most=5.0,
    ),
    Goal(
        "p99 of successes at 10x: 100 ms or less",
        _TEN,
        lambda run: 1000 * run.figures.success_p99,
        "{:.0f} ms",
        most=100.0,
    ),
    Goal(
        "p50 of refusals at 10x: 1 ms or less",
        _TEN,
        lambda run: 1000 * run.figures.refusal_p50,
        "{:.2f} ms",
        most=1.0,
    ),
    Goal(
        "p99 of refusals at 10x: 5 ms or less",
        _TEN,
        lambda run: 1000 * run.figures.refusal_p99,
        "{:.1f} ms",
        most=5.0,
    ),
    Goal(
        "processor at 10x: 0.6 of a core or less", _TEN, lambda run: run.cores, "{:.2f}", most=0.6
    ),
    Goal(
        "goodput in the wave, of capacity: 80 % or more",
        WAVE,
        lambda run: run.figures.goodput / CAPACITY,
        "{:.1%}",
        least=0.8,
    ),
    Goal(
        "recovery after the wave: 1 s or less", WAVE, lambda run: run.recovery, "{:.1f} s", most=1.0
    ),
    Goal(
        "goodput with the capacity halved, of what is left: 90 % or more",
        HALVED,
        lambda run: run.figures.goodput / (CAPACITY / 2),
        "{:.1%}",
        least=0.9,
    ),
    Goal(
        "refusals at 0.5x: none",
        load_name(0.5),
        lambda run: run.figures.refusals,
        "{:.0f}",
        most=0.0,
    ),
)


def goals_table(results: Results, contenders: list[str]) -> str:
    """A row for each goal that was measured for all of `contenders`; empty without any."""
    rows = []
    for goal in GOALS:
        if contenders and all(results.has(goal.case, who) for who in contenders):
            values = [results.median(goal.case, who, goal.value) for who in contenders]
            rows.append([goal.text, *(_cell(goal, value) for value in values)])
    return table(["to reach", *contenders], rows) if rows else ""


def _cell(goal: Goal, value: float) -> str:
    word = "reached" if goal.reached(value) else "**not reached**"
    return f"{word}: {goal.form.format(value)}"
