"""What is promised of advice: 20 sidecars of uneven demand call one at 5 times its limit."""

from collections.abc import Sequence

import pytest

from proxy.policy.fair_share import fair_level
from tests.simulation.fleet import Fleet, Stretch

TOTAL = 5000.0
_WEIGHTS = [1.3**place for place in range(20)]
UNEVEN = [TOTAL * weight / sum(_WEIGHTS) for weight in _WEIGHTS]
"""From 8 to 1,160 a second."""
EVEN = [TOTAL / 20] * 20


def fairness(served: Sequence[float], wanted: Sequence[float]) -> float:
    """Jain's index ("A quantitative measure of fairness", 1984) of what each got of its max-min
    fair share: 1.0 when all got the same part of it.
    """
    level = fair_level(wanted, sum(served))
    parts = [got / min(want, level) for got, want in zip(served, wanted, strict=True)]
    return float(sum(parts) ** 2 / (len(parts) * sum(part * part for part in parts)))


def holds(stretch: Stretch) -> None:
    """The promise."""
    assert stretch.wasted < 0.05
    assert stretch.used >= 0.95
    assert fairness(stretch.served, stretch.wanted) > 0.99


@pytest.mark.parametrize("demands", [UNEVEN, EVEN], ids=["uneven", "even"])
def test_five_times_the_limit_waste_nothing_use_all_and_share_it_fairly(
    demands: list[float],
) -> None:
    fleet = Fleet(demands)
    fleet.run(1.0)
    stretch = fleet.run(4.0)
    holds(stretch)
    assert stretch.wasted < 0.01
    level = fair_level(demands, 980.0)
    for got, want in zip(stretch.served, demands, strict=True):
        assert got == pytest.approx(min(want, level), rel=0.1, abs=2.5)


def test_without_advice_four_of_five_are_sent_in_vain() -> None:
    fleet = Fleet(UNEVEN, obeys=False)
    fleet.run(1.0)
    assert fleet.run(2.0).wasted == pytest.approx(0.8, abs=0.02)


def test_all_coming_at_once_are_advised_with_their_first_answers() -> None:
    holds(Fleet(UNEVEN).run(3.0))


def test_a_slow_network_costs_little() -> None:
    fleet = Fleet(UNEVEN, slowest_way=0.08)
    fleet.run(1.0)
    holds(fleet.run(4.0))


@pytest.mark.parametrize("claims", [None, 0.0, 1e6], ids=["nothing", "none", "everything"])
def test_who_ignores_the_advice_gains_nothing_and_takes_nothing(claims: float | None) -> None:
    fleet = Fleet(UNEVEN)
    rude = fleet.join(800.0, obeys=False, claims=claims)
    fleet.run(2.0)
    before = rude.count.served
    stretch = fleet.run(4.0)
    *obedient, got = stretch.served
    level = max(obedient)
    assert got == (rude.count.served - before) / 4.0
    assert got <= 1.03 * level
    assert stretch.used >= 0.95
    assert fairness(stretch.served, stretch.wanted) > 0.99
    sent = sum(count.sent for count in stretch.counts[:-1])
    assert sum(count.served for count in stretch.counts[:-1]) >= 0.99 * sent


def test_who_claims_to_want_everything_and_asks_for_little_keeps_nothing_from_others() -> None:
    fleet = Fleet(UNEVEN)
    fleet.join(5.0, obeys=False, claims=1e6)
    fleet.run(2.0)
    stretch = fleet.run(4.0)
    assert stretch.used >= 0.95
    assert stretch.wasted < 0.05


def test_shares_follow_a_demand_that_jumps_within_two_seconds() -> None:
    fleet = Fleet(UNEVEN)
    fleet.run(2.0)
    for caller, demand in zip(fleet.callers, reversed(UNEVEN), strict=True):
        caller.demand = demand
    assert fleet.run(2.0).wasted < 0.05
    holds(fleet.run(3.0))


def test_callers_come_and_go() -> None:
    fleet = Fleet(EVEN)
    fleet.run(2.0)
    for caller in fleet.callers[10:]:
        caller.demand = 0.0
    fleet.run(1.0)
    assert fleet.run(1.0).used >= 0.9, "what they left is others' within a second or two"
    for caller in fleet.callers[10:]:
        caller.demand = 250.0
    assert fleet.run(2.0).wasted < 0.05
    for _ in range(10):
        fleet.join(250.0)
    assert fleet.run(2.0).wasted < 0.05
    holds(fleet.run(2.0))


def test_where_there_is_enough_for_all_nobody_is_held_back() -> None:
    fleet = Fleet([demand * 0.16 for demand in UNEVEN])
    fleet.run(2.0)
    stretch = fleet.run(4.0)
    assert sum(stretch.served) >= 0.99 * sum(stretch.wanted)
    assert stretch.wasted < 0.001


def test_a_small_rate_is_shared_by_as_many() -> None:
    fleet = Fleet([demand / 20.0 for demand in UNEVEN], rate=50.0, burst=20)
    fleet.run(5.0)
    stretch = fleet.run(40.0)
    assert stretch.wasted < 0.05
    assert stretch.used >= 0.95


def test_a_service_of_three_instances_is_called_as_fast_as_all_three_want() -> None:
    fleet = Fleet(UNEVEN, rate=1000.0 / 3, burst=50, callees=3)
    fleet.run(2.0)
    holds(fleet.run(4.0))


def test_a_callee_that_starts_anew_is_not_called_twice_as_fast_for_long() -> None:
    fleet = Fleet(UNEVEN)
    fleet.run(2.0)
    fleet.callees.clear()
    fleet.start()
    fleet.run(2.0)
    holds(fleet.run(3.0))
