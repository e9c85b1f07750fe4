"""What the limit makes of latencies. How it fares with a shop behind it: tests/simulation."""

from itertools import pairwise
from math import inf, isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.gradient import (
    FEWEST,
    FIRST_PAUSE,
    INITIAL,
    PRESSED,
    REFUSING,
    SILENCE,
    STEEP,
    WINDOW,
    GradientLimit,
)

STEP = 0.001


class Loop:
    """A limit that is told of an answer each millisecond. All places are taken, and requests
    refused, unless said.
    """

    def __init__(self, least: int = 1, most: int = 1000, jitter: float = 0.5) -> None:
        self.limit = GradientLimit(least, most, lambda: jitter)
        self.now = 100.0

    def tell(
        self, latency: float, *, seconds: float, calm: float = 0.0, in_flight: int | None = None
    ) -> None:
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            taken = self.limit.places if in_flight is None else in_flight
            self.limit.sample(latency, taken, calm, self.now)


def test_it_begins_with_a_guess_within_its_bounds() -> None:
    assert GradientLimit(1, 1000, lambda: 0.0).places == INITIAL
    assert GradientLimit(50, 1000, lambda: 0.0).places == 50
    assert GradientLimit(1, 4, lambda: 0.0).places == 4


def test_it_grows_while_it_is_reached_and_latency_stays() -> None:
    loop = Loop()
    loop.tell(0.02, seconds=2.0)
    assert loop.limit.places > 60
    assert loop.limit.baseline == pytest.approx(0.02)


def test_it_does_not_grow_while_it_is_not_reached() -> None:
    loop = Loop()
    loop.tell(0.02, seconds=60.0, in_flight=INITIAL - 1)
    assert loop.limit.places == INITIAL


def test_it_never_grows_over_its_most_nor_falls_under_its_least() -> None:
    loop = Loop(least=5, most=20)
    loop.tell(0.02, seconds=5.0)
    assert loop.limit.places == 20
    for latency in (0.1, 0.5, 2.5):
        loop.tell(latency, seconds=2.0)
        assert 5 <= loop.limit.places <= 20


def test_it_settles_a_little_above_what_the_upstream_takes_without_a_queue() -> None:
    loop = Loop()
    for _ in range(5000):
        # 50 at a time, each for 20 ms; the others in a queue.
        loop.tell(0.02 * max(1.0, loop.limit.places / 50), seconds=STEP)
    assert 50 < loop.limit.limit < 75
    assert loop.limit.baseline == pytest.approx(0.02, rel=0.05)


def test_it_does_not_fall_while_nobody_is_refused() -> None:
    loop = Loop(most=100)
    loop.tell(0.02, seconds=5.0)
    loop.tell(0.2, seconds=10.0, calm=inf, in_flight=50)
    assert loop.limit.places == 100


def test_a_latency_that_does_not_answer_to_a_dip_is_the_upstream_s_own() -> None:
    loop = Loop(most=30)
    loop.tell(0.02, seconds=3.0)
    loop.tell(0.06, seconds=4.0)
    assert loop.limit.baseline == pytest.approx(0.06, rel=0.1)
    assert loop.limit.places == 30


def test_a_lower_latency_is_believed_without_a_dip() -> None:
    loop = Loop(most=30)
    loop.tell(0.06, seconds=3.0)
    loop.tell(0.02, seconds=3.0)
    assert loop.limit.baseline == pytest.approx(0.02, rel=0.05)


def test_without_pressure_a_slower_upstream_is_believed_in_a_while() -> None:
    loop = Loop()
    loop.tell(0.02, seconds=1.0, calm=inf, in_flight=3)
    loop.tell(0.06, seconds=10.0, calm=inf, in_flight=3)
    assert loop.limit.baseline == pytest.approx(0.06, rel=0.05)


def _first_dip(jitter: float) -> float:
    """Seconds until the limit first dips, in a shop with a queue."""
    loop = Loop(most=20, jitter=jitter)
    loop.tell(0.02, seconds=0.3, calm=inf, in_flight=20)
    begun = loop.now
    while loop.limit.places >= loop.limit.limit - 1.0:
        loop.tell(0.023, seconds=STEP)
        assert loop.now - begun < 20.0
    # The second: the first is the same for all.
    while loop.limit.places < loop.limit.limit - 1.0:
        loop.tell(0.023 * loop.limit.places / 20, seconds=STEP)
    while loop.limit.places >= loop.limit.limit - 1.0:
        loop.tell(0.023, seconds=STEP)
        assert loop.now - begun < 20.0
    return loop.now - begun


def test_several_do_not_dip_together() -> None:
    assert _first_dip(0.9) - _first_dip(0.0) > FIRST_PAUSE / 4


def test_a_dip_that_was_left_alone_is_over_with_the_next_request() -> None:
    loop = Loop(most=20)
    loop.tell(0.02, seconds=1.0)
    while loop.limit.places == 20:
        loop.tell(0.08, seconds=STEP)
    loop.now += SILENCE * 2
    loop.tell(0.02, seconds=STEP)
    assert loop.limit.places == 20


def _dips(loop: Loop, latency: float, calm: float) -> bool:
    """Whether it does within five seconds."""
    fewest = loop.limit.places
    for _ in range(5000):
        loop.tell(latency, seconds=STEP, calm=calm)
        fewest = min(fewest, loop.limit.places)
    return fewest < 20


BETWEEN = (REFUSING * 1.5, PRESSED * 0.9)
"""Seconds after a refusal: too many for a dip, and too few for no pressure."""


@pytest.mark.parametrize("calm", BETWEEN)
def test_a_leap_of_the_latency_between_refusals_changes_nothing(calm: float) -> None:
    loop = Loop(most=20)
    loop.tell(0.02, seconds=1.0)
    loop.tell(0.06, seconds=5.0, calm=calm)
    assert loop.limit.limit == 20.0
    assert loop.limit.baseline == pytest.approx(0.02)


@pytest.mark.parametrize("calm", BETWEEN)
def test_between_refusals_the_limit_falls_by_less_than_a_fifth(calm: float) -> None:
    loop = Loop(most=100)
    loop.tell(0.02, seconds=5.0)
    limits = [loop.limit.limit]
    for _ in range(1000):
        loop.tell(0.025, seconds=STEP, calm=calm)
        limits.append(loop.limit.limit)
    assert limits[-1] < 90.0
    assert all(after >= STEEP * before for before, after in pairwise(limits))


def test_a_dip_begins_only_while_requests_are_refused() -> None:
    loop = Loop(most=20)
    loop.tell(0.02, seconds=1.0)
    assert not _dips(loop, 0.023, REFUSING * 1.5)
    assert _dips(loop, 0.023, REFUSING * 0.5)


def test_where_answers_are_slow_refusals_may_be_further_apart_for_a_dip() -> None:
    loop = Loop(most=20)
    loop.tell(0.3, seconds=3.0)
    assert not _dips(loop, 0.36, 0.4)
    assert _dips(loop, 0.36, REFUSING * 1.5)


def test_few_samples_decide_nothing() -> None:
    loop = Loop()
    for _ in range(FEWEST - 1):
        loop.now += WINDOW / 2
        loop.limit.sample(0.02, INITIAL, 0.0, loop.now)
    assert loop.limit.places == INITIAL


def test_new_bounds_hold_at_once() -> None:
    loop = Loop()
    loop.tell(0.02, seconds=2.0)
    loop.limit.reconfigure(1, 10)
    assert loop.limit.places == 10
    loop.limit.reconfigure(40, 50)
    assert loop.limit.places == 40


latencies = st.sampled_from([0.0, 1e-9, 1e-4, 0.02, 0.06, 1.0, 60.0, 1e6])
steps = st.tuples(
    latencies,
    st.integers(0, 300),
    st.sampled_from([0.0, 0.5, 5.0, inf]),
    st.sampled_from([0.0, 1e-6, 0.001, 0.05, 1.0, 1e4, 1e9]),
    st.integers(1, 120),
)


@given(st.integers(1, 50), st.integers(0, 200), st.lists(steps, max_size=20))
def test_whatever_it_is_told_it_stays_within_its_bounds(
    least: int, more: int, told: list[tuple[float, int, float, float, int]]
) -> None:
    limit = GradientLimit(least, least + more, lambda: 0.5)
    now = 0.0
    for latency, in_flight, calm, by, times in told:
        for _ in range(times):
            now += by
            limit.sample(latency, in_flight, calm, now)
            assert least <= limit.places <= least + more
            assert least <= limit.limit <= least + more
            assert isfinite(limit.baseline)
            assert isfinite(limit.latency)
            assert limit.baseline >= 0.0


@given(st.lists(steps, max_size=10))
def test_it_finds_back_whatever_happened_before(
    told: list[tuple[float, int, float, float, int]],
) -> None:
    """A jump of the clock, an hour of nothing, absurd latencies: a shop that answers as ever gets
    its places again.
    """
    loop = Loop(least=1, most=30)
    for latency, in_flight, calm, by, times in told:
        for _ in range(times):
            loop.now += by
            loop.limit.sample(latency, in_flight, calm, loop.now)
    loop.now = float(round(loop.now)) + 1e3
    loop.tell(0.02, seconds=10.0)
    assert loop.limit.places == 30
