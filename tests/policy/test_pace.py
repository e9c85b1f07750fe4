from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.keys import KeyKind, KeySource
from proxy.policy.pace import PaceLimiter
from proxy.policy.snapshot import PaceSpec


def spec(rate: float, max_wait: float, *, warm_up: float = 0.0, max_keys: int = 0) -> PaceSpec:
    per = KeySource(KeyKind.CLIENT_ADDRESS) if max_keys else None
    return PaceSpec("limit", rate, 1, 1, max_wait, per, warm_up, max_keys)


def start_of(limit: PaceLimiter, now: float, key: bytes = b"") -> float | None:
    """When the request may start; None if it is refused."""
    wait = limit.check(key, now)
    if limit.retry_after(wait) > 0.0:
        return None
    limit.charge(key, now)
    return now + wait


def test_requests_that_come_at_once_are_spaced_evenly() -> None:
    limit = PaceLimiter(spec(10.0, 0.35))
    starts = [start_of(limit, 5.0) for _ in range(5)]
    assert starts[:4] == pytest.approx([5.0, 5.1, 5.2, 5.3])
    assert starts[4] is None


def test_a_rest_saves_nothing_up() -> None:
    limit = PaceLimiter(spec(10.0, 1.0))
    start_of(limit, 0.0)
    assert [start_of(limit, 100.0) for _ in range(2)] == pytest.approx([100.0, 100.1])


def test_keys_have_slots_of_their_own() -> None:
    limit = PaceLimiter(spec(1.0, 0.0, max_keys=10))
    assert start_of(limit, 0.0, b"a") == 0.0
    assert start_of(limit, 0.0, b"a") is None
    assert start_of(limit, 0.0, b"b") == 0.0


def test_the_last_slot_can_be_given_back() -> None:
    limit = PaceLimiter(spec(1.0, 10.0))
    limit.charge(b"", 0.0)
    receipt = limit.charge(b"", 0.0)
    limit.refund(b"", receipt, 0.5)
    assert limit.check(b"", 0.5) == pytest.approx(0.5)


def test_a_slot_with_others_behind_it_is_lost() -> None:
    limit = PaceLimiter(spec(1.0, 10.0))
    receipt = limit.charge(b"", 0.0)
    limit.charge(b"", 0.0)
    limit.refund(b"", receipt, 0.5)
    assert limit.check(b"", 0.5) == pytest.approx(1.5)


def test_slots_given_out_stand_when_the_rate_is_raised() -> None:
    limit = PaceLimiter(spec(1.0, 5.0))
    assert [start_of(limit, 0.0) for _ in range(4)] == [0.0, 1.0, 2.0, 3.0]
    limit.reconfigure(spec(10.0, 5.0), 0.0)
    assert [start_of(limit, 0.0) for _ in range(2)] == pytest.approx([4.0, 4.1])


def test_the_pace_of_a_cold_limiter_is_a_third() -> None:
    limit = PaceLimiter(spec(10.0, 1.0, warm_up=1e6))
    assert [start_of(limit, 0.0) for _ in range(3)] == pytest.approx([0.0, 0.3, 0.6], rel=1e-3)


RATES = st.floats(0.01, 10_000.0)
WAITS = st.floats(0.0, 20.0)
STARTS = st.floats(0.0, 1e6)
STEPS = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.floats(0.0, 4.0)), st.integers(0, 9)), max_size=120
)
WARM_UPS = st.sampled_from([0.0, 1.0, 30.0])


@given(RATES, WAITS, STARTS, STEPS, WARM_UPS)
def test_starts_of_one_key_are_spaced_and_nobody_waits_too_long(
    rate: float,
    max_wait: float,
    start: float,
    steps: list[tuple[float, int]],
    warm_up: float,
) -> None:
    """Pauses, waits and warm-up are in intervals of 1/rate."""
    limit = PaceLimiter(spec(rate, max_wait / rate, warm_up=warm_up / rate, max_keys=4))
    now = start
    starts: dict[int, list[float]] = {}
    for pause, client in steps:
        now += pause / rate
        granted = start_of(limit, now, b"%d" % client)
        if granted is not None:
            assert now <= granted <= now + max_wait / rate
            starts.setdefault(client, []).append(granted)
    for granted_starts in starts.values():
        for earlier, later in pairwise(granted_starts):
            # Sums of floats near 1e6 are a billionth of a second off, no more.
            assert later - earlier >= 1.0 / rate - 1e-9


@given(RATES, WAITS, STARTS, st.integers(1, 60), WARM_UPS)
def test_who_comes_back_when_told_is_not_refused(
    rate: float, max_wait: float, start: float, crowd: int, warm_up: float
) -> None:
    limit = PaceLimiter(spec(rate, max_wait / rate, warm_up=warm_up / rate))
    for _ in range(crowd):
        start_of(limit, start)
    retry_after = limit.retry_after(limit.check(b"", start))
    later = start + retry_after
    assert limit.retry_after(limit.check(b"", later)) == 0.0


def test_retry_after_is_not_longer_than_needed() -> None:
    limit = PaceLimiter(spec(1.0, 2.5))
    assert [start_of(limit, 0.0) for _ in range(4)] == [0.0, 1.0, 2.0, None]
    assert limit.retry_after(limit.check(b"", 0.0)) == pytest.approx(0.5, abs=1e-5)
