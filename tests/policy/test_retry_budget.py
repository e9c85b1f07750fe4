from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.retry_budget import SAVED, RetryBudget

RATIOS = st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0])
FLOORS = st.sampled_from([0.0, 0.5, 3.0, 20.0])
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.001, 0.1, 1.0, 30.0]), st.booleans()), max_size=80
)
"""Seconds since the step before, and whether a request is sent; or else a retry is asked for."""


def test_retries_are_a_share_of_the_requests() -> None:
    budget = RetryBudget(0.2, 0.0)
    assert all(budget.spend(0.0) for _ in range(10)), "there are some from the beginning"
    granted = 0
    for _ in range(1000):
        budget.earn(0.0)
        granted += budget.spend(0.0)
    assert granted == 200


def test_a_few_are_to_be_had_where_requests_are_rare() -> None:
    budget = RetryBudget(0.2, 2.0)
    granted = sum(budget.spend(step / 128) for step in range(1281))
    assert granted == SAVED + 20


def test_calm_hours_save_up_a_few() -> None:
    for per_second, saved in ((3.0, 10), (30.0, 30)):
        budget = RetryBudget(0.2, per_second)
        for second in range(3600):
            for _ in range(10):
                budget.earn(float(second))
        assert budget.left(3600.0) == saved
        assert [budget.spend(3600.0) for _ in range(saved + 1)] == [True] * saved + [False]


def test_a_clock_that_goes_back_gives_nothing() -> None:
    budget = RetryBudget(0.0, 1.0)
    assert all(budget.spend(100.0) for _ in range(10))
    assert not budget.spend(0.0)
    assert not budget.spend(100.5)
    assert budget.spend(101.0)


@given(RATIOS, FLOORS, STEPS)
def test_no_window_has_more_retries_than_promised(
    ratio: float, per_second: float, steps: list[tuple[float, bool]]
) -> None:
    budget = RetryBudget(ratio, per_second)
    times = list(accumulate(wait for wait, _ in steps))
    events: list[tuple[float, bool]] = []
    for now, (_, is_request) in zip(times, steps, strict=True):
        if is_request:
            budget.earn(now)
            events.append((now, True))
        elif budget.spend(now):
            events.append((now, False))
    for first, (begins, _) in enumerate(events):
        requests = retries = 0
        for now, is_request in events[first:]:
            requests += is_request
            retries += not is_request
            allowed = ratio * requests + per_second * (now - begins) + budget.reserve
            assert retries <= allowed + 1e-6


@pytest.mark.parametrize("per_second", [0.0, 3.0])
def test_a_dead_upstream_gets_a_fifth_more_and_the_floor(per_second: float) -> None:
    """From calm hours into an outage: 500 requests a second, each of which fails and wants two
    more attempts. In no second does it get more.
    """
    budget = RetryBudget(0.2, per_second)
    for step in range(500 * 60):
        budget.earn(step / 500)
    for second in range(60, 70):
        load = 0
        for step in range(500):
            now = second + step / 500
            budget.earn(now)
            load += 1 + sum(budget.spend(now) for _ in range(2))
        floor = per_second + (budget.reserve if second == 60 else 0.0)
        assert 1.2 * 500 - 1 <= load <= 1.2 * 500 + floor + 1


def test_other_numbers_hold_from_now_on_and_give_nothing_away() -> None:
    budget = RetryBudget(0.2, 3.0)
    assert all(budget.spend(0.0) for _ in range(10))
    budget.reconfigure(0.5, 40.0, 0.0)
    assert budget.left(0.0) == 0.0
    assert budget.left(0.5) == 20.0
    budget.reconfigure(0.5, 0.0, 1.0)
    assert budget.left(9.0) == 10.0
