import math

import pytest

from tests.bench.overload.customers import BROKEN, LEFT, UNSENT, Attempt
from tests.bench.overload.figures import figures, goodput_series, percentile, recovery


def attempt(
    due: float = 0.0,
    total: float = 0.02,
    outcome: int = 200,
    kind: int = 0,
    *,
    wait: float | None = None,
    number: int = 1,
    last: bool = True,
) -> Attempt:
    return Attempt(due, total if wait is None else wait, total, 0.0, outcome, kind, number, last)


def every(seconds: float, begin: float, end: float, **made: float) -> list[Attempt]:
    count = round((end - begin) / seconds)
    return [attempt(begin + (number + 0.5) * seconds, **made) for number in range(count)]  # type: ignore[arg-type]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile(reversed(values), 1.0) == 100.0
    assert percentile([7.0], 0.99) == 7.0
    assert math.isnan(percentile([], 0.5))


def test_only_answers_in_time_are_good_and_late_ones_are_successes_all_the_same() -> None:
    found = figures([attempt(total=0.25), attempt(total=0.251)], 1, 0.0, 2.0)
    assert found.goodput == 0.5
    assert found.good_ratio == 0.5
    assert found.success_p99 == 0.251


def test_time_counts_from_the_visit_and_not_from_the_attempt_that_succeeded() -> None:
    second_try = attempt(total=1.02, wait=0.02, number=2)
    found = figures([attempt(total=1.0, outcome=LEFT, last=False), second_try], 1, 0.0, 1.0)
    assert found.goodput == 0.0
    assert found.success_p99 == 1.02


def test_a_visit_with_three_attempts_counts_once_and_each_refusal_is_timed_by_itself() -> None:
    tries = [
        attempt(total=0.001, wait=0.001, outcome=503, last=False),
        attempt(total=0.003, wait=0.002, outcome=503, number=2, last=False),
        attempt(total=0.023, wait=0.02, number=3),
    ]
    found = figures(tries, 1, 0.0, 1.0)
    assert (found.attempts_per_second, found.goodput, found.refusals) == (3.0, 1.0, 2)
    assert (found.refusal_p50, found.refusal_p99) == (0.001, 0.002)


def test_visits_of_another_part_of_the_run_do_not_count() -> None:
    found = figures([attempt(0.9), attempt(1.0), attempt(2.0)], 1, 1.0, 2.0)
    assert found.goodput == 1.0


def test_kinds_are_told_apart() -> None:
    visits = [attempt(kind=0), attempt(kind=1, outcome=503, total=0.004), attempt(kind=1)]
    critical, low, none = figures(visits, 3, 0.0, 1.0).kinds
    assert critical.good_ratio == 1.0
    assert math.isnan(critical.refusal_p99)
    assert (low.good_ratio, low.refusal_p99) == (0.5, 0.004)
    assert math.isnan(none.good_ratio)


def test_who_left_was_cut_or_found_no_descriptor_was_not_refused() -> None:
    outcomes = (LEFT, LEFT, BROKEN, UNSENT)
    found = figures([attempt(outcome=each) for each in outcomes], 1, 0.0, 1.0)
    assert (found.left, found.broken, found.unsent, found.refusals) == (2, 1, 1, 0)


def test_recovery_is_at_once_if_nothing_is_wrong() -> None:
    assert recovery(every(0.01, 0.0, 8.0), 2.0, 8.0) == 0.0


def test_recovery_is_the_beginning_of_the_good_time() -> None:
    visits = [*every(0.01, 2.0, 3.2, outcome=503), *every(0.01, 3.2, 8.0)]
    assert recovery(visits, 2.0, 8.0) == pytest.approx(1.2)


def test_a_relapse_puts_recovery_off() -> None:
    visits = [
        *every(0.01, 2.0, 5.0),
        *every(0.01, 5.0, 5.5, total=0.3),
        *every(0.01, 5.5, 8.0),
    ]
    assert recovery(visits, 2.0, 8.0) == pytest.approx(3.5)


def test_one_failure_in_thirty_is_as_usual() -> None:
    visits = [*every(0.01, 2.0, 8.0), *every(0.3, 2.0, 8.0, outcome=503)]
    assert recovery(visits, 2.0, 8.0) == 0.0


def test_a_shop_that_stays_down_never_recovers() -> None:
    assert recovery(every(0.01, 2.0, 8.0, outcome=LEFT), 2.0, 8.0) is None


def test_goodput_over_time_is_by_the_second() -> None:
    visits = [*every(0.01, 0.0, 0.25), attempt(0.3, outcome=503), attempt(0.75)]
    assert goodput_series(visits, 0.75, 0.25) == [100.0, 0.0, 0.0]
