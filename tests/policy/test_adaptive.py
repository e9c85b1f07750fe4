"""Permits that come back with the answer."""

import pytest

from proxy.policy.adaptive import AdaptiveLimiter
from proxy.policy.gradient import FEWEST, INITIAL
from proxy.policy.snapshot import AdaptiveSpec


def limiter(least: int = 1, most: int = 1000) -> AdaptiveLimiter:
    return AdaptiveLimiter(AdaptiveSpec("shop/adaptive", least, most), lambda: 0.5)


def learnt(latency: float = 0.02, *, now: float = 100.0, most: int = 10) -> AdaptiveLimiter:
    """One that has seen answers of `latency`, up to `now`."""
    made = limiter(most=most)
    for number in range(10 * FEWEST):
        made.acquire()
        made.answered(200, latency, 1, now - 1.0 + number / (10 * FEWEST))
    return made


def test_there_is_room_up_to_the_limit() -> None:
    made = limiter()
    for number in range(INITIAL):
        assert made.has_room()
        assert made.acquire() == number + 1
    assert not made.has_room()
    made.answered(200, 0.02, 1, 100.0)
    assert made.has_room()


def test_a_newcomer_does_not_overtake_a_waiter() -> None:
    made = limiter()
    made.queue.push("waiter", 1, 100.0)
    assert not made.has_room()
    assert made.next_waiter(100.0) == "waiter"
    assert made.has_room()


def test_a_waiter_waits_until_a_permit_is_free() -> None:
    made = limiter(most=1)
    made.acquire()
    made.queue.push("waiter", 1, 100.0)
    assert made.next_waiter(100.0) is None
    made.release()
    assert made.next_waiter(100.0) == "waiter"


def test_fast_errors_do_not_make_a_shop_look_fast() -> None:
    made = learnt(0.02)
    for number in range(10 * FEWEST):
        made.acquire()
        made.answered(503, 0.001, 1, 100.0 + number / 100)
        made.acquire()
        made.failed(0.0005, 1, 100.0 + number / 100)
    assert made.algorithm.baseline == pytest.approx(0.02)
    assert made.algorithm.latency == pytest.approx(0.02)
    assert made.in_flight == 0


def test_slow_errors_tell_that_the_shop_is_slow() -> None:
    made = learnt(0.02)
    for number in range(10 * FEWEST):
        made.acquire()
        made.failed(2.0, 1, 100.0 + number / 100)
    assert made.algorithm.latency > 0.5


def test_who_left_keeps_its_permit_as_long_as_an_answer_takes() -> None:
    made = learnt(0.02, now=100.0)
    made.acquire()
    made.forsaken(0.005, 1, 100.0)
    assert made.in_flight == 1
    assert not made.reap(100.0149)
    assert [made.in_flight_at(now) for now in (100.0149, 100.0151)] == [1, 0]
    assert made.reap(100.0151)
    assert made.in_flight == 0
    assert not made.reap(200.0)


def test_who_left_late_gives_its_permit_back_at_once() -> None:
    made = learnt(0.02)
    made.acquire()
    made.forsaken(0.03, 1, 100.0)
    assert made.in_flight == 0


def test_those_who_leave_a_frozen_shop_tell_that_it_is_slow() -> None:
    made = learnt(0.02)
    for number in range(10 * FEWEST):
        made.acquire()
        made.forsaken(1.0, 1, 100.0 + number / 100)
    assert made.algorithm.latency > 0.5


def test_what_is_served_is_known_from_number_and_latency() -> None:
    made = learnt(0.02, most=10)
    assert made.served_per_second == pytest.approx(500.0)


def test_new_bounds_hold_at_once_and_all_else_stays() -> None:
    made = learnt(0.02, most=10)
    made.acquire()
    spec = AdaptiveSpec("shop/adaptive", 1, 5)
    made.reconfigure(spec)
    assert (made.algorithm.places, made.in_flight) == (5, 1)
    assert made.algorithm.baseline == pytest.approx(0.02)
    assert made.spec is spec
