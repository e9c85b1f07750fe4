import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.fair_share import fair_level

DEMANDS = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=30)
CAPACITY = st.floats(1e-3, 1e6)


@pytest.mark.parametrize(
    ("demands", "capacity", "level"),
    [
        ([], 100.0, 100.0),
        ([7.0], 100.0, 100.0),
        ([700.0], 100.0, 100.0),
        ([100.0, 100.0, 100.0, 100.0], 100.0, 25.0),
        # The book's way: who wants less leaves more to the others.
        ([10.0, 20.0, 100.0, 100.0], 100.0, 35.0),
        ([30.0, 10.0], 100.0, 90.0),
        ([0.0, 0.0, 60.0, 60.0], 100.0, 50.0),
    ],
)
def test_examples(demands: list[float], capacity: float, level: float) -> None:
    assert fair_level(demands, capacity) == pytest.approx(level)


@given(DEMANDS, CAPACITY)
def test_together_they_take_all_that_there_is_or_all_that_they_want(
    demands: list[float], capacity: float
) -> None:
    level = fair_level(demands, capacity)
    taken = sum(min(demand, level) for demand in demands)
    assert taken == pytest.approx(min(capacity, sum(demands)), rel=1e-6, abs=1e-6)


@given(DEMANDS, CAPACITY)
def test_nobody_could_have_more_without_one_who_has_no_more_having_less(
    demands: list[float], capacity: float
) -> None:
    level = fair_level(demands, capacity)
    taken = [min(demand, level) for demand in demands]
    if sum(demands) > capacity * (1.0 + 1e-6):
        limited = [
            took
            for took, demand in zip(taken, demands, strict=True)
            if took < demand * (1.0 - 1e-9)
        ]
        assert all(took == pytest.approx(max(taken)) for took in limited)


@given(DEMANDS, CAPACITY, st.floats(0.0, 1e9))
def test_who_claims_more_than_it_wants_gets_no_more_than_everybody_may_have(
    demands: list[float], capacity: float, more: float
) -> None:
    honest = fair_level(demands, capacity)
    lied = fair_level([demands[0] + more, *demands[1:]], capacity)
    if demands[0] < max(demands):
        assert lied <= honest * (1.0 + 1e-9)
    # At worst it takes an equal part.
    assert lied >= capacity / len(demands) * (1.0 - 1e-9)
