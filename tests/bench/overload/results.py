"""What was measured, by case and contender."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from tests.bench.overload.cases import Case
from tests.bench.overload.figures import Figures

LATE_SECONDS = 0.005
"""A run in which the generator sent one request in a hundred later than this is worth nothing."""

OTHERS_CORES = 0.15
"""So is one in which other processes took more of the two cores than this: a proxy that loses its
core for a few milliseconds at 30,000 attempts a second may not find back.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one run. `cores` is what the proxy used in the part that `figures` are of, `others` what
    was used by processes that are no part of the bench.

    `recovery` is seconds, infinite if it never came, NaN where nothing was to recover from.
    `series` is good visits a second for each `SERIES_SECONDS` of the run. `wasted_ratio` is what
    share of the shop's work was for customers who had left.
    """

    figures: Figures
    cores: float
    others: float
    recovery: float
    series: list[float]
    wasted_ratio: float

    @property
    def valid(self) -> bool:
        """Whether the generator kept its own time and nobody else took any."""
        return self.figures.late_p99 <= LATE_SECONDS and self.others <= OTHERS_CORES


SERIES_SECONDS = 0.25


@dataclass
class Results:
    """All outcomes, by case and then contender; a case may have been run several times."""

    contenders: list[str]
    cases: list[Case]
    outcomes: dict[tuple[str, str], list[Outcome]] = field(default_factory=dict)

    def add(self, case: Case, who: str, outcome: Outcome) -> None:
        """One more run."""
        self.outcomes.setdefault((case.name, who), []).append(outcome)

    def has(self, case: str, who: str) -> bool:
        """Whether there is a run of it."""
        return (case, who) in self.outcomes

    def runs(self, case: str, who: str) -> list[Outcome]:
        """The valid ones; all if none is."""
        runs = self.outcomes[case, who]
        return [run for run in runs if run.valid] or runs

    def median(self, case: str, who: str, value: Callable[[Outcome], float]) -> float:
        """Over the runs, without those that have none; NaN if none has."""
        values = [value(run) for run in self.runs(case, who)]
        numbers = [each for each in values if not math.isnan(each)]
        return median(numbers) if numbers else math.nan

    def goodput_ratio(self, case: Case, who: str) -> float:
        """The median goodput in what could have been reached."""
        return self.median(case.name, who, lambda run: run.figures.goodput) / case.reachable
