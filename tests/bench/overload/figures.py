"""What a run amounts to: goodput, who was served, who waited how long, when it was over."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.overload.customers import BROKEN, LEFT, UNSENT, Attempt

GOOD_WITHIN = 0.25
"""Seconds from when a visit should have begun: an answer 200 within them counts as good."""

RECOVERED_RATIO = 0.95
_RECOVERY_WINDOW, _RECOVERY_STEP = 0.5, 0.1


@dataclass(frozen=True, slots=True)
class KindFigures:
    """Of one kind's visits: what share was good. And the p99 of its refusals, seconds."""

    good_ratio: float
    refusal_p99: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Of the visits that were due in a part of a run; times are seconds, NaN without a case.

    `success_p99` counts from when the visit should have begun, whatever it took; `refusal_p50` and
    `refusal_p99` from when the refused attempt should have been made. `late_p99` is the generator's
    own lateness, which is in all of these.
    """

    attempts_per_second: float
    goodput: float
    good_ratio: float
    kinds: tuple[KindFigures, ...]
    success_p99: float
    refusals: int
    refusal_p50: float
    refusal_p99: float
    left: int
    broken: int
    unsent: int
    late_p99: float


def figures(attempts: Iterable[Attempt], kinds: int, begin: float, end: float) -> Figures:
    """Of the visits that were due from `begin` until `end`, seconds since the run's start."""
    part = [each for each in attempts if begin <= each.due < end]
    visits = [each for each in part if each.last]
    good = [each for each in visits if is_good(each)]
    refused = [each for each in part if is_refusal(each)]
    waits = [each.wait for each in refused]
    of_kinds = []
    for kind in range(kinds):
        came = sum(each.kind == kind for each in visits)
        of_kinds.append(
            KindFigures(
                _ratio(sum(each.kind == kind for each in good), came),
                percentile([each.wait for each in refused if each.kind == kind], 0.99),
            )
        )
    return Figures(
        attempts_per_second=len(part) / (end - begin),
        goodput=len(good) / (end - begin),
        good_ratio=_ratio(len(good), len(visits)),
        kinds=tuple(of_kinds),
        success_p99=percentile([each.total for each in visits if each.outcome == 200], 0.99),
        refusals=len(refused),
        refusal_p50=percentile(waits, 0.5),
        refusal_p99=percentile(waits, 0.99),
        left=sum(each.outcome == LEFT for each in part),
        broken=sum(each.outcome == BROKEN for each in part),
        unsent=sum(each.outcome == UNSENT for each in part),
        late_p99=percentile([each.late for each in part], 0.99),
    )


def is_good(attempt: Attempt) -> bool:
    """Whether it is what its visitor came for, in time."""
    return attempt.outcome == 200 and attempt.total <= GOOD_WITHIN


def is_refusal(attempt: Attempt) -> bool:
    """Whether somebody answered, but not with what was asked for."""
    return attempt.outcome >= 400


def percentile(values: Iterable[float], ratio: float) -> float:
    """The least value that `ratio` of all do not exceed (nearest rank); NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(ratio * len(ordered)) - 1)] if ordered else math.nan


def recovery(attempts: Iterable[Attempt], over: float, end: float) -> float | None:
    """Seconds after `over` until it is as usual again, and stays so until `end`; None: never.

    As usual is: of the visits due in a window of half a second, 95 % are good. It begins with the
    first window from which on all are so; windows move by a tenth of a second.
    """
    steps = round((end - over) / _RECOVERY_STEP)
    came, good = [0] * steps, [0] * steps
    for each in attempts:
        step = math.floor((each.due - over) / _RECOVERY_STEP)
        if each.last and 0 <= step < steps:
            came[step] += 1
            good[step] += is_good(each)
    width = round(_RECOVERY_WINDOW / _RECOVERY_STEP)
    recovered = None
    for step in reversed(range(steps - width + 1)):
        if sum(good[step : step + width]) < RECOVERED_RATIO * sum(came[step : step + width]):
            break
        recovered = step * _RECOVERY_STEP
    return recovered


def goodput_series(attempts: Iterable[Attempt], seconds: float, width: float) -> list[float]:
    """Good visits a second, by when they were due, for each `width` seconds of the run."""
    bins = [0] * round(seconds / width)
    for each in attempts:
        if each.last and is_good(each) and (number := int(each.due / width)) < len(bins):
            bins[number] += 1
    return [count / width for count in bins]


def _ratio(some: int, of: int) -> float:
    return some / of if of else math.nan


def median_of(values: Sequence[float]) -> float:
    """The median of those that are numbers; NaN of none."""
    numbers = [value for value in values if not math.isnan(value)]
    return median(numbers) if numbers else math.nan
