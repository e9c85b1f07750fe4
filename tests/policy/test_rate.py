import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.rate import RateLimiter
from proxy.policy.snapshot import RateSpec


def spec(rate: float, burst: int, warm_up: float = 0.0) -> RateSpec:
    return RateSpec("limit", rate, burst, 1, 1, warm_up=warm_up)


def drain(limit: RateLimiter, now: float) -> int:
    """Takes all the tokens there are and counts them."""
    taken = 0
    while limit.check(b"", now) == 0.0:
        limit.charge(b"", now)
        taken += 1
    return taken


def admitted_between(limit: RateLimiter, begin: float, end: float) -> int:
    """What a client that never lets a token lie gets in that time."""
    admitted = 0
    now = begin
    while (now := now + limit.check(b"", now)) < end:
        limit.charge(b"", now)
        admitted += 1
    return admitted


@given(
    st.floats(0.01, 10_000.0),
    st.integers(1, 20),
    st.floats(0.0, 1e6),
    st.lists(st.floats(0.0, 5.0), max_size=20),
    st.sampled_from([0.0, 3.0]),
)
def test_remaining_is_how_many_can_be_taken(
    rate: float, burst: int, start: float, pauses: list[float], warm_up_tokens: float
) -> None:
    limit = RateLimiter(spec(rate, burst, warm_up_tokens / rate))
    now = start
    for number, pause in enumerate(pauses):
        now += pause / rate
        remaining = limit.remaining(b"", now)
        if number % 3 == 2:
            assert drain(limit, now) == remaining
        elif remaining:
            limit.charge(b"", now)


def test_a_full_bucket_holds_no_more_than_the_burst() -> None:
    limit = RateLimiter(spec(10.0, 4))
    drain(limit, 0.0)
    assert limit.remaining(b"", 0.25) == 2
    assert limit.remaining(b"", 1e6) == 4


def test_reconfigure_keeps_the_tokens_that_are_left() -> None:
    limit = RateLimiter(spec(1.0, 4))
    drain(limit, 10.0)
    limit.reconfigure(spec(1.0, 4), 10.0)
    assert limit.remaining(b"", 10.0) == 0
    assert limit.spec.burst == 4


def test_after_a_raise_of_the_rate_nobody_pays_off_the_old_debt() -> None:
    limit = RateLimiter(spec(1 / 3600, 10))
    drain(limit, 10.0)
    limit.reconfigure(spec(100.0, 10), 10.0)
    assert limit.check(b"", 10.0) == pytest.approx(0.01)
    assert limit.remaining(b"", 10.1) == 10


def test_a_lowered_burst_holds_at_once() -> None:
    limit = RateLimiter(spec(1.0, 10))
    limit.reconfigure(spec(1.0, 3), 10.0)
    assert drain(limit, 10.0) == 3


def test_a_cold_limiter_starts_at_a_third_and_warms_up_to_the_whole() -> None:
    limit = RateLimiter(spec(30.0, 1, warm_up=30.0))
    first_second = admitted_between(limit, 1000.0, 1001.0)
    middle_second = admitted_between(limit, 1015.0, 1016.0)
    warm_second = admitted_between(limit, 1031.0, 1032.0)
    assert [first_second, middle_second, warm_second] == pytest.approx([10, 20, 30], abs=1)


def test_the_burst_of_a_cold_limiter_is_scaled_too() -> None:
    limit = RateLimiter(spec(10.0, 30, warm_up=60.0))
    assert drain(limit, 0.0) == 10


def test_a_cold_limiter_admits_one_whatever_its_burst() -> None:
    limit = RateLimiter(spec(0.1, 1, warm_up=60.0))
    assert drain(limit, 0.0) == 1


def test_a_limiter_that_rested_as_long_as_it_warms_up_is_cold_again() -> None:
    limit = RateLimiter(spec(10.0, 30, warm_up=5.0))
    admitted_between(limit, 0.0, 20.0)
    assert limit.remaining(b"", 20.0 + 4.0) == 30
    assert limit.remaining(b"", 20.0 + 9.0) == 10


def test_a_warm_up_given_by_a_reload_does_not_cool_what_is_at_work() -> None:
    limit = RateLimiter(spec(10.0, 30))
    admitted_between(limit, 0.0, 20.0)
    limit.reconfigure(spec(10.0, 30, warm_up=60.0), 20.0)
    assert admitted_between(limit, 20.0, 21.0) == pytest.approx(10, abs=1)


def test_a_warm_up_taken_away_by_a_reload_leaves_the_tokens_as_they_were() -> None:
    limit = RateLimiter(spec(10.0, 30, warm_up=6.0))
    admitted_between(limit, 0.0, 20.0)
    drain(limit, 20.0)
    limit.reconfigure(spec(10.0, 30), 20.0)
    assert limit.remaining(b"", 20.0) == 0
    assert limit.remaining(b"", 21.0) == pytest.approx(10, abs=1)
