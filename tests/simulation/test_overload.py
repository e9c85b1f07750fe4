"""What is promised under overload, in simulated time, with nothing set by hand.

The shop has 20 slots of 20 ms and a queue without end: 1,000 requests a second.
"""

import random
from statistics import fmean, median

import pytest

from proxy.policy.keys import KeyKind, KeySource
from proxy.policy.priority import Priority
from proxy.policy.snapshot import BreakerSpec, ConcurrencySpec, RateSpec
from tests.simulation.account import percentile
from tests.simulation.shop import Answer
from tests.simulation.street import ADAPTIVE, Street, rules
from tests.simulation.visitors import Kind, Manners

WITH_PRIORITIES = rules(
    adaptive=ADAPTIVE,
    priorities={f"/{each.name.lower()}": each for each in Priority},
)

CLIENT = KeySource(KeyKind.CLIENT_ADDRESS)
BY_HAND = rules(
    RateSpec("client", 10.0, 20, 10, 1, CLIENT),
    adaptive=ADAPTIVE,
    priorities={f"/{each.name.lower()}": each for each in Priority},
    limited={
        "/critical": [ConcurrencySpec("checkout", 64, 128, 0.2)],
        "/high": [RateSpec("high", 1000.0, 100, 1000, 1)],
        "/normal": [RateSpec("normal", 600.0, 60, 600, 1)],
        "/low": [RateSpec("low", 300.0, 30, 300, 1)],
    },
    breaker=BreakerSpec("shop/breaker"),
)
"""As the bench's whole rules (tests/bench/overload/plan_b.py), but for shedding, which watches the
machine.
"""


def mixed(critical: float, high: float, normal: float, low: float) -> list[Kind]:
    """Work takes 10 to 30 ms."""

    def work(draw: random.Random) -> Answer:
        return Answer(draw.uniform(0.01, 0.03))

    shares = {"/critical": critical, "/high": high, "/normal": normal, "/low": low}
    return [Kind(path, share, work) for path, share in shares.items()]


@pytest.mark.parametrize("times", [5.0, 10.0, 20.0])
def test_far_too_many_leave_the_shop_at_its_capacity(times: float) -> None:
    street = Street()
    street.run(2.0, times)
    tally = street.run(3.0)
    assert street.share(2.0, 5.0) >= 0.95
    assert tally.late == 0
    assert tally.success_within(0.99) < 0.1
    assert tally.refusal_within(0.5) < 0.001
    assert tally.refusal_within(0.99) < 0.005


def test_limits_by_hand_take_nothing_from_what_adaptive_concurrency_gives_alone() -> None:
    """Side by side, before the same visitors: a scraper is a fifth of them."""
    kinds = [*mixed(0.05, 0.15, 0.4, 0.2), Kind("/high", 0.2, client="198.51.100.1")]
    alone, by_hand = Street(WITH_PRIORITIES, kinds=kinds), Street(BY_HAND, kinds=kinds)
    for street in (alone, by_hand):
        street.run(1.0, 10.0)
        tally = street.run(4.0)
        critical = street.account.between(1.0, 4.0, "/critical")
        assert critical.kept >= 0.995 * critical.wanted
        assert tally.success_within(0.99) < 0.1
        assert tally.refusal_within(0.5) < 0.001
        assert tally.refusal_within(0.99) < 0.005
    assert by_hand.share(1.0, 5.0) >= alone.share(1.0, 5.0) - 0.01
    assert by_hand.refused_by("client") > 0.9 * 0.2 * 10.0 * 5.0 * by_hand.capacity


def test_what_rates_leave_is_refused_at_once_as_well() -> None:
    street = Street(WITH_PRIORITIES, kinds=mixed(0.2, 0.4, 0.25, 0.15))
    street.run(2.0, 2.5)
    tally = street.run(3.0)
    assert street.share(2.0, 5.0) >= 0.95
    assert tally.refusal_within(0.99) < 0.005


def test_without_a_proxy_the_shop_is_lost() -> None:
    street = Street(None)
    street.run(5.0, 2.0)
    assert street.share(2.0, 5.0) < 0.05, "or the simulation has nothing to save"


def test_the_limit_is_found_in_two_seconds() -> None:
    street = Street()
    street.run(1.5, 10.0)
    limits = []
    for _ in range(10):
        street.run(0.05)
        limits.append(street.limit)
    assert 20 <= median(limits) <= 32, "but for a dip, to see the latency without a queue"
    assert street.share(0.0, 1.0) >= 0.9


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_half_the_capacity_meets_not_one_refusal(seed: int) -> None:
    street = Street(seed=seed)
    tally = street.run(20.0, 0.5)
    assert tally.refusals == []
    assert tally.good == pytest.approx(0.5 * 20.0 * street.capacity, rel=0.05)


def test_nine_tenths_of_the_capacity_meet_not_one_refusal_in_a_minute() -> None:
    street = Street(slots=10, work=0.05, kinds=[Kind(work=lambda _: Answer(0.05))])
    assert street.run(60.0, 0.9).refusals == []


def test_the_whole_capacity_is_served_to_nearly_all() -> None:
    """At 1 x chance alone has more come than go, for as long as it likes."""
    for seed in range(4):
        street = Street(seed=seed)
        tally = street.run(10.0, 1.0)
        assert tally.good >= 0.95 * tally.wanted
        assert len(tally.refusals) <= 0.05 * tally.wanted
        assert tally.refusal_within(0.5) < 0.001
        assert tally.success_within(0.99) < 0.25


@pytest.mark.parametrize("times", [0.5, 0.9, 1.0])
def test_who_comes_evenly_is_not_refused_up_to_the_capacity(times: float) -> None:
    street = Street(poisson=False)
    tally = street.run(10.0, times)
    assert tally.refusals == []
    assert street.share(1.0, 10.0) == pytest.approx(times, rel=0.01)
    slices = [street.account.between(tenth / 10, (tenth + 1) / 10) for tenth in range(95)]
    assert all(each.kept == each.wanted for each in slices), "of each tenth, where it began"


def test_far_too_many_who_come_evenly_leave_the_shop_at_its_capacity() -> None:
    street = Street(poisson=False)
    street.run(2.0, 10.0)
    tally = street.run(3.0)
    assert street.share(2.0, 5.0) >= 0.95
    assert tally.success_within(0.99) < 0.1
    assert tally.refusal_within(0.99) < 0.005


@pytest.mark.parametrize(("times", "late"), [(1.1, 0.35), (1.5, 0.01)])
def test_refusals_are_at_once_but_for_bursts_that_may_wait(times: float, late: float) -> None:
    """Where a queue empties now and then, it may grow to a burst's again, and some of a burst
    wait in vain.
    """
    refusals = []
    for seed in range(6):
        street = Street(seed=seed)
        street.run(2.0, times)
        refusals += street.run(5.0).refusals
    assert percentile(refusals, 0.5) < 0.001
    assert sum(each > 0.005 for each in refusals) < late * len(refusals)
    assert max(refusals) < 0.11


@pytest.mark.parametrize("times", [1.1, 1.5])
def test_lasting_mild_overload_does_not_drive_the_limit_up(times: float) -> None:
    street = Street(slots=10, work=0.05, kinds=[Kind(work=lambda _: Answer(0.05))])
    limits = []
    street.load(times)
    for _ in range(180):
        street.run(1.0)
        limits.append(street.limit)
    assert max(limits[30:]) <= 30
    assert median(limits[120:]) <= median(limits[:60]) + 2
    assert street.share(2.0, 180.0) >= 0.95


def test_critical_requests_succeed_while_their_own_share_is_below_capacity() -> None:
    street = Street(WITH_PRIORITIES, kinds=mixed(0.05, 0.15, 0.4, 0.4))
    street.run(1.0, 10.0)
    street.run(4.0)
    critical = street.account.between(1.0, 5.0, "/critical")
    low = street.account.between(1.0, 5.0, "/low")
    assert critical.good >= 0.995 * critical.wanted
    assert critical.success_within(0.99) < 0.1
    assert low.refusal_within(0.5) < 0.001
    assert low.refusal_within(0.99) < 0.005
    assert low.good < 0.01 * low.wanted
    assert street.share(1.0, 5.0) >= 0.95


def test_critical_requests_succeed_at_eight_tenths_of_the_capacity() -> None:
    street = Street(WITH_PRIORITIES, kinds=mixed(0.2, 0.2, 0.3, 0.3))
    street.run(5.0, 4.0)
    critical = street.account.between(1.0, 4.0, "/critical")
    assert critical.kept >= 0.995 * critical.wanted


def test_critical_requests_that_want_all_of_the_capacity_have_nearly_all_of_it() -> None:
    street = Street(WITH_PRIORITIES, kinds=mixed(0.05, 0.15, 0.5, 0.3))
    street.run(2.0, 20.0)
    street.run(3.0)
    critical = street.account.between(2.0, 4.8, "/critical")
    assert critical.kept >= 0.96 * critical.wanted


def test_a_flood_of_nothing_but_critical_requests_is_refused_at_once() -> None:
    street = Street(WITH_PRIORITIES, kinds=[Kind("/critical")])
    street.run(2.0, 10.0)
    tally = street.run(3.0)
    assert street.share(2.0, 5.0) >= 0.95
    assert tally.refusal_within(0.5) < 0.001
    assert tally.refusal_within(0.99) < 0.005


@pytest.mark.parametrize(("work", "share"), [(0.2, 0.8), (0.5, 0.5), (0.5, 0.8)])
def test_critical_requests_succeed_before_a_slow_shop(work: float, share: float) -> None:
    def takes(draw: random.Random) -> Answer:
        return Answer(draw.uniform(0.5 * work, 1.5 * work))

    kinds = [Kind("/critical", share / 5.0, takes), Kind("/low", 1.0 - share / 5.0, takes)]
    street = Street(WITH_PRIORITIES, work=work, kinds=kinds, manners=Manners(patience=10.0))
    street.run(20.0, 5.0)
    tally = street.run(30.0)
    critical = street.account.between(20.0, 50.0, "/critical")
    assert len(critical.refusals) <= 0.005 * critical.wanted
    assert street.account.between(20.0, 50.0, "/low").refusal_within(0.5) < 0.001
    assert tally.refusals, "or there is no overload"


def test_the_more_important_have_the_larger_share() -> None:
    street = Street(WITH_PRIORITIES, kinds=mixed(0.2, 0.2, 0.3, 0.3))
    street.run(5.0, 2.0)
    shares = []
    for each in reversed(Priority):
        tally = street.account.between(1.0, 5.0, f"/{each.name.lower()}")
        shares.append(tally.good / tally.wanted)
    assert shares[0] > 0.99
    assert shares[1] > 0.9
    assert shares[1] > shares[2]
    assert shares[2] < 0.4
    assert shares[3] < 0.2


@pytest.mark.parametrize(("slots", "slower"), [(10, 1.0), (20, 2.0)])
def test_half_of_the_capacity_is_found_at_once(slots: int, slower: float) -> None:
    street = Street()
    street.run(3.0, 5.0)
    street.shop.slots, street.shop.slower = slots, slower
    street.run(5.0)
    assert street.share(3.0, 8.0) >= 0.9 * 0.5


def test_capacity_that_comes_back_is_found_within_two_seconds() -> None:
    street = Street(slots=10)
    street.run(5.0, 5.0)
    street.shop.slots = 20
    street.run(5.0)
    assert street.share(7.0, 10.0) >= 0.95 * 2


def test_a_leak_of_three_times_the_latency_costs_no_more_than_it_must() -> None:
    street = Street()
    street.run(3.0, 5.0)
    street.shop.slower = 3.0
    street.run(5.0)
    street.shop.slower = 1.0
    street.run(4.0)
    assert street.share(3.0, 8.0) >= 0.85 / 3
    assert street.share(9.0, 12.0) >= 0.95


def test_a_latency_that_stays_three_times_as_high_is_got_used_to() -> None:
    street = Street()
    street.run(3.0, 5.0)
    street.shop.slower = 3.0
    street.run(8.0)
    assert street.share(5.0, 11.0) >= 0.9 / 3
    assert street.sidecars[0].adaptive.algorithm.baseline > 0.045


def test_a_leak_that_the_shop_can_bear_is_got_used_to_in_four_seconds() -> None:
    """At 30 % of its capacity, three times as slow. In 5 of 12 cases nobody is refused."""
    seconds = range(2, 10)
    refused = []
    for seed in range(12):
        street = Street(seed=seed)
        street.run(2.0, 0.3)
        street.shop.slower = 3.0
        street.run(8.0)
        tallies = [street.account.between(each, each + 1) for each in seconds]
        refused.append([len(each.refusals) / each.wanted for each in tallies])
        street.shop.slower = 1.0
        assert street.run(2.0).refusals == []
    means = [fmean(each) for each in zip(*refused, strict=True)]
    assert means[4:] == [0.0, 0.0, 0.0, 0.0]
    assert all(mean < most for mean, most in zip(means, (0.17, 0.13, 0.04, 0.02), strict=False))
    assert max(max(each) for each in refused) < 0.4


def test_a_leak_right_after_a_burst_is_no_overload_either() -> None:
    """Whom the burst had refused says nothing about a shop that gets slower half a second later."""
    for seed in range(5):
        street = Street(seed=seed)
        assert street.run(1.0, 2.0).refusals
        street.run(0.5, 0.3)
        street.shop.slower = 3.0
        assert street.run(5.0).refusals == []


def test_fast_and_slow_routes_together_are_no_sign_of_overload() -> None:
    fast = Kind("/fast", 0.8, lambda _: Answer(0.005))
    slow = Kind("/slow", 0.2, lambda _: Answer(0.08))
    shares = []
    for seed in range(4):
        street = Street(kinds=[fast, slow], seed=seed)
        assert street.run(5.0, 0.5).refusals == []
        street.run(10.0, 5.0)
        shares.append(street.share(7.0, 15.0))
    assert fmean(shares) >= 0.9


def test_a_mixture_that_changes_is_got_used_to() -> None:
    street = Street(work=0.02)
    share_of_slow = [0.0]

    def work(draw: random.Random) -> Answer:
        return Answer(0.08 if draw.random() < share_of_slow[0] else 0.02)

    street = Street(kinds=[Kind(work=work)])
    street.run(3.0, 5.0)
    share_of_slow[0] = 0.5
    street.run(8.0)
    assert street.share(5.0, 11.0) >= 0.75 * 0.4


def test_a_shop_that_answers_errors_in_no_time_does_not_look_fast() -> None:
    broken = [0.0]

    def work(draw: random.Random) -> Answer:
        return Answer(0.001, 500) if draw.random() < broken[0] else Answer(0.02)

    street = Street(kinds=[Kind(work=work)])
    street.run(3.0, 5.0)
    broken[0] = 0.5
    street.run(3.0)
    algorithm = street.sidecars[0].adaptive.algorithm
    assert algorithm.baseline == pytest.approx(0.02, rel=0.1)
    assert algorithm.places >= 20
    broken[0] = 0.0
    street.run(3.0)
    assert street.share(7.0, 9.0) >= 0.95


def test_a_shop_that_stops_for_seconds_is_back_within_a_second() -> None:
    street = Street(manners=Manners(retries=2))
    street.run(3.0, 2.0)
    street.shop.stop()
    street.run(3.0)
    assert street.shop.in_flight < 400, "a trickle, for those who left may have been answered"
    street.shop.go_on()
    street.run(4.0)
    assert street.share(7.0, 10.0) >= 0.9


def test_a_shop_whose_work_suffers_from_a_queue_is_kept_at_its_best() -> None:
    street = Street(contention=0.01)
    street.run(6.0, 10.0)
    assert street.share(2.0, 6.0) >= 0.93


@pytest.mark.parametrize(("slots", "most"), [(1, 6), (4, 12), (100, 140)])
def test_small_and_large_shops_are_found_alike(slots: int, most: int) -> None:
    street = Street(slots=slots)
    street.run(8.0 if slots > 10 else 12.0, 3.0)
    assert slots <= street.limit <= most
    assert street.share(street.now - 3.0, street.now) >= 0.95


def test_several_sidecars_do_not_drive_each_other_up() -> None:
    street = Street(sidecars=3)
    street.run(30.0, 2.0)
    assert street.share(2.0, 30.0) >= 0.95
    assert street.account.between(10.0, 30.0).success_within(0.99) < 0.25


def test_no_visitor_for_hours_changes_nothing() -> None:
    street = Street()
    street.run(3.0, 10.0)
    limit = street.limit
    street.run(2 * 3600.0, 0.0)
    tally = street.run(2.0, 0.5)
    assert tally.refusals == []
    assert street.limit >= limit - 1
