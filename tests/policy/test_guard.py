from collections.abc import Sequence

from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.counters import RouteCounters
from proxy.policy.guard import AnyLimit, Guard, LiveLimit
from proxy.policy.pace import PaceLimiter
from proxy.policy.priority import Priority
from proxy.policy.rate import RateLimiter
from tests.policy.guarded import ANSWERS, CLIENT, concurrency, pace, rate, request


def guard(
    enforced: Sequence[AnyLimit] = (),
    shadows: Sequence[AnyLimit] = (),
    max_body_bytes: int | None = None,
    name: str = "all",
    priority: Priority = Priority.NORMAL,
) -> Guard:
    return Guard(
        "front", name, enforced, shadows, RouteCounters(), ANSWERS, max_body_bytes, priority
    )


def test_limits_stand_by_kind_and_in_their_order() -> None:
    first, second = LiveLimit(RateLimiter(rate("1", 1))), LiveLimit(RateLimiter(rate("2", 1)))
    paced = LiveLimit(PaceLimiter(pace("3", 1, 1.0)))
    places = LiveLimit(ConcurrencyLimiter(concurrency("4", 1)))
    made = guard([first, places, paced, second])
    assert made.rates == [first, second]
    assert made.paces == [paced]
    assert made.concurrencies == [places]


def test_shadows_of_all_kinds_stand_apart() -> None:
    dry = LiveLimit(RateLimiter(rate("dry", 1, shadow=True)))
    real = LiveLimit(RateLimiter(rate("real", 1)))
    made = guard([real], [dry])
    assert (made.rates, list(made.shadows)) == ([real], [dry])


def test_a_guard_knows_that_it_has_only_rates() -> None:
    bucket = LiveLimit(RateLimiter(rate("1", 1)))
    dry = LiveLimit(RateLimiter(rate("2", 1, shadow=True)))
    paced = LiveLimit(PaceLimiter(pace("3", 1, 1.0)))
    places = LiveLimit(ConcurrencyLimiter(concurrency("4", 1)))
    assert guard().only_rates
    assert guard([bucket]).only_rates
    assert not guard([bucket], [dry]).only_rates
    for other in (paced, places):
        assert not guard([bucket, other]).only_rates
        assert not guard([bucket]).with_limits_of(guard([other])).only_rates


def test_a_limit_without_per_counts_all_requests_alike() -> None:
    limit = LiveLimit(RateLimiter(rate("limit", 1)))
    assert limit.key(request(client="192.0.2.1")) == limit.key(request(client="192.0.2.2"))


def test_a_limit_with_per_counts_by_it() -> None:
    limit = LiveLimit(RateLimiter(rate("limit", 1, per=CLIENT)))
    assert limit.key(request(client="192.0.2.1")) != limit.key(request(client="192.0.2.2"))


def test_two_guards_limits_hold_together_and_each_once() -> None:
    shared, own, others = (LiveLimit(RateLimiter(rate(name, 1))) for name in "abc")
    paced = LiveLimit(PaceLimiter(pace("d", 1, 1.0)))
    places = LiveLimit(ConcurrencyLimiter(concurrency("e", 1)))
    dry = LiveLimit(RateLimiter(rate("dry", 1, shadow=True)))
    first = guard([shared, own], [dry], name="first")
    second = guard([shared, paced, others, places], [dry], name="second")
    both = first.with_limits_of(second)
    assert both.rates == [shared, own, others]
    assert (both.paces, both.concurrencies) == ([paced], [places])
    assert both.shadows == [dry]
    assert (both.route, both.counters) == ("first", first.counters)
    assert first.rates == [shared, own]


def test_of_two_priorities_the_lower_holds() -> None:
    critical, low = guard(priority=Priority.CRITICAL), guard(priority=Priority.LOW)
    assert critical.with_limits_of(low).priority is Priority.LOW
    assert low.with_limits_of(critical).priority is Priority.LOW


def test_of_two_longest_bodies_the_smaller_holds() -> None:
    lengths = [None, 10, 20]
    both = [
        guard(max_body_bytes=one).with_limits_of(guard(max_body_bytes=other)).max_body_bytes
        for one in lengths
        for other in lengths
    ]
    assert both == [None, 10, 20, 10, 10, 10, 20, 10, 20]
