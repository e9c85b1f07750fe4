"""What rate and pace have in common, shown by the rate limiter."""

from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.gcra import Receipt
from proxy.policy.keys import KeyKind, KeySource
from proxy.policy.rate import RateLimiter
from proxy.policy.snapshot import RateSpec

PER_CLIENT = KeySource(KeyKind.CLIENT_ADDRESS)


def spec(
    rate: float, burst: int, *, keyed: bool = False, warm_up: float = 0.0, max_keys: int = 65536
) -> RateSpec:
    per = PER_CLIENT if keyed else None
    return RateSpec("limit", rate, burst, 1, 1, per, warm_up=warm_up, max_keys=max_keys)


def admit(limit: RateLimiter, now: float, key: bytes = b"") -> bool:
    if limit.check(key, now) > 0.0:
        return False
    limit.charge(key, now)
    return True


def assert_no_window_admits_too_many(times: list[float], rate: float, burst: int) -> None:
    """The fullest windows begin and end with an admission: all of those are looked at."""
    times = sorted(times)
    for first, begin in enumerate(times):
        for last in range(first, len(times)):
            # A thousandth of a token is the limiter's slack.
            assert last - first + 1 <= burst + rate * (times[last] - begin) + 2e-3


RATES = st.floats(0.01, 10_000.0)
BURSTS = st.integers(1, 20)
STARTS = st.floats(0.0, 1e6)
TOKENS = st.one_of(st.just(0.0), st.floats(0.0, 3.0), st.floats(0.0, 50.0))
"""Pauses, in tokens: mostly about as long as it takes to get a token, some of no time at all."""


@given(RATES, BURSTS, STARTS, st.lists(TOKENS, max_size=120), st.sampled_from([0.0, 0.5, 20.0]))
def test_no_window_admits_more_than_burst_plus_rate_times_window(
    rate: float, burst: int, start: float, pauses: list[float], warm_up_tokens: float
) -> None:
    limit = RateLimiter(spec(rate, burst, warm_up=warm_up_tokens / rate))
    times = accumulate((pause / rate for pause in pauses), initial=start)
    assert_no_window_admits_too_many([now for now in times if admit(limit, now)], rate, burst)


@given(
    RATES,
    BURSTS,
    STARTS,
    st.lists(st.tuples(TOKENS | st.floats(-2.0, 0.0), st.integers(0, 6)), max_size=120),
)
def test_a_clock_that_goes_back_a_little_breaks_no_window(
    rate: float, burst: int, start: float, steps: list[tuple[float, int]]
) -> None:
    limit = RateLimiter(spec(rate, burst, keyed=True, max_keys=3))
    now = start + 200.0 / rate
    admitted: dict[int, list[float]] = {}
    for pause, client in steps:
        now += pause / rate
        if admit(limit, now, b"%d" % client):
            admitted.setdefault(client, []).append(now)
    for times in admitted.values():
        assert_no_window_admits_too_many(times, rate, burst)


@settings(max_examples=300)
@given(
    RATES,
    BURSTS,
    STARTS,
    st.lists(st.tuples(TOKENS, st.integers(0, 2), st.integers(0)), max_size=120),
    st.sampled_from([0.0, 5.0]),
)
def test_refunds_break_no_window_for_those_who_keep_their_token(
    rate: float,
    burst: int,
    start: float,
    steps: list[tuple[float, int, int]],
    warm_up_tokens: float,
) -> None:
    limit = RateLimiter(spec(rate, burst, warm_up=warm_up_tokens / rate))
    now = start
    held: list[tuple[float, Receipt]] = []
    for pause, refund, pick in steps:
        now += pause / rate
        if limit.check(b"", now) == 0.0:
            held.append((now, limit.charge(b"", now)))
        if refund and held:
            # The last one or any: both happen.
            _, receipt = held.pop(-1 if refund == 1 else pick % len(held))
            limit.refund(b"", receipt, now)
    assert_no_window_admits_too_many([time for time, _ in held], rate, burst)


@given(
    RATES,
    BURSTS,
    STARTS,
    st.lists(TOKENS, min_size=1, max_size=60),
    st.sampled_from([0.0, 1.0, 9.0]),
)
def test_who_waits_as_long_as_told_is_admitted(
    rate: float, burst: int, start: float, pauses: list[float], warm_up_tokens: float
) -> None:
    limit = RateLimiter(spec(rate, burst, warm_up=warm_up_tokens / rate))
    now = start
    for pause in pauses:
        now += pause / rate
        wait = limit.check(b"", now)
        assert wait >= 0.0
        now += wait
        assert limit.check(b"", now) == 0.0
        limit.charge(b"", now)


@given(RATES, BURSTS, STARTS)
def test_the_told_wait_is_not_longer_than_needed(rate: float, burst: int, start: float) -> None:
    limit = RateLimiter(spec(rate, burst))
    while admit(limit, start):
        pass
    wait = limit.check(b"", start)
    assert wait == pytest.approx(1.0 / rate, rel=2e-3)
    assert limit.check(b"", start + wait * 0.99) > 0.0


@given(RATES, st.integers(1, 300), STARTS)
def test_a_full_bucket_gives_all_its_tokens_at_one_instant(
    rate: float, burst: int, start: float
) -> None:
    limit = RateLimiter(spec(rate, burst))
    assert sum(admit(limit, start) for _ in range(burst + 5)) == burst


def test_a_high_rate_is_not_rounded_away() -> None:
    limit = RateLimiter(spec(1e6, 1))
    admitted = sum(admit(limit, step / 1e8) for step in range(10_000))
    assert admitted == 100


def test_asking_takes_nothing() -> None:
    limit = RateLimiter(spec(1.0, 1))
    assert [limit.check(b"", 5.0) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_the_hole_of_counters_per_second_is_closed() -> None:
    limit = RateLimiter(spec(800.0, 100))
    before_the_tick = sum(admit(limit, 0.5 + n / 90_000) for n in range(45_000))
    after_the_tick = sum(admit(limit, 1.0 + n / 90_000) for n in range(45_000))
    assert 899 <= before_the_tick + after_the_tick <= 900


def test_a_refund_of_the_last_charge_restores_the_bucket() -> None:
    limit = RateLimiter(spec(1.0, 3))
    first = limit.charge(b"", 10.0)
    second = limit.charge(b"", 10.0)
    limit.refund(b"", second, 10.5)
    limit.refund(b"", first, 10.5)
    assert limit.remaining(b"", 10.5) == 3


def test_a_refund_after_another_charge_gives_nothing_back() -> None:
    limit = RateLimiter(spec(1.0, 3))
    early = limit.charge(b"", 10.0)
    limit.charge(b"", 20.0)
    limit.refund(b"", early, 20.0)
    assert limit.remaining(b"", 20.0) == 2


def test_a_refund_does_not_give_back_at_a_new_rate_what_was_taken_at_the_old() -> None:
    limit = RateLimiter(spec(10.0, 5))
    limit.charge(b"", 0.0)
    receipt = limit.charge(b"", 0.0)
    limit.reconfigure(spec(1.0, 5), 0.0)
    limit.refund(b"", receipt, 0.0)
    assert limit.remaining(b"", 0.0) == 4


def test_reconfigure_takes_over_how_many_keys_are_kept() -> None:
    limit = RateLimiter(spec(0.1, 2, keyed=True, max_keys=50))
    limit.reconfigure(spec(0.1, 2, keyed=True, max_keys=5), 0.0)
    for number in range(50):
        limit.charge(b"%d" % number, 0.0)
    assert limit.keys == 5


def test_a_refused_key_gets_no_fresh_bucket_by_a_flood_of_new_keys() -> None:
    limit = RateLimiter(spec(0.1, 2, keyed=True, max_keys=50))
    assert [admit(limit, 0.0, b"hog") for _ in range(3)] == [True, True, False]
    admitted = sum(admit(limit, 1.0, b"%d" % n) for n in range(20_000))
    assert limit.keys == 50
    assert admitted <= 2 * (50 + 1024), "all others share the cells"
    assert not admit(limit, 1.0, b"hog")

    late = [b"late %d" % n for n in range(5_000)]
    assert not any(admit(limit, 1.0, key) for key in late), "the cells are used up"


@given(
    st.lists(st.tuples(st.integers(0, 40), TOKENS), max_size=150),
    st.integers(1, 8),
    st.integers(1, 4),
)
def test_each_key_keeps_to_its_windows_however_full_the_table(
    steps: list[tuple[int, float]], max_keys: int, burst: int
) -> None:
    limit = RateLimiter(spec(1.0, burst, keyed=True, max_keys=max_keys))
    admitted: dict[int, list[float]] = {}
    now = 0.0
    for client, pause in steps:
        now += pause
        if admit(limit, now, b"%d" % client):
            admitted.setdefault(client, []).append(now)
    for times in admitted.values():
        assert_no_window_admits_too_many(times, 1.0, burst)
