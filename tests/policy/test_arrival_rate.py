import random

import pytest

from proxy.policy.arrival_rate import LONGEST_MEMORY, ArrivalRate


def come(rate: ArrivalRate, per_second: float, begin: float, seconds: float) -> float:
    """So many come at even distances, looked at ten times a second; when it is over."""
    count = round(per_second * seconds)
    for number in range(count):
        now = begin + number / per_second
        rate.count(now)
        if number % max(1, round(per_second / 10)) == 0:
            rate.per_second(now)
    return begin + seconds


def test_a_guess_stands_until_something_is_known() -> None:
    rate = ArrivalRate(100.0, guess=7.0)
    for _ in range(5):
        rate.count(100.01)
    assert rate.per_second(100.05) == 7.0
    assert rate.per_second(100.2) == pytest.approx(25.0)


@pytest.mark.parametrize("per_second", [1000.0, 50.0, 2.0])
def test_what_comes_evenly_is_known_and_so_is_a_change(per_second: float) -> None:
    rate = ArrivalRate(0.0)
    now = come(rate, per_second, 0.0, 20.0)
    assert rate.per_second(now) == pytest.approx(per_second, rel=0.25)
    now = come(rate, 4 * per_second, now, max(2.0, 20.0 / per_second))
    assert rate.per_second(now) == pytest.approx(4 * per_second, rel=0.25)


def test_who_stops_is_forgotten_in_two_seconds() -> None:
    rate = ArrivalRate(0.0)
    now = come(rate, 100.0, 0.0, 5.0)
    for _ in range(20):
        now += 0.1
        rate.per_second(now)
    assert rate.per_second(now) < 5.0


def test_one_in_two_seconds_is_not_taken_for_ten_in_one() -> None:
    rate, draw, now = ArrivalRate(0.0), random.Random(1), 0.0
    seen = []
    for _ in range(200):
        until = now + draw.expovariate(0.5)
        while now + 0.1 < until:
            now += 0.1
            seen.append(rate.per_second(now))
        rate.count(now)
    assert max(seen[200:]) < 2.0
    assert sum(seen) / len(seen) == pytest.approx(0.5, rel=0.3)


def test_it_begins_anew_after_a_rest() -> None:
    rate = ArrivalRate(0.0)
    now = come(rate, 1.0, 0.0, 10.0) + 2 * LONGEST_MEMORY
    now = come(rate, 200.0, now, 0.3)
    assert rate.per_second(now + 0.1) > 100.0, "not the average since then"


def test_a_clock_that_goes_back_changes_nothing() -> None:
    rate = ArrivalRate(0.0)
    now = come(rate, 100.0, 0.0, 5.0)
    before = rate.per_second(now)
    assert rate.per_second(now - 3.0) == before
