import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.advice import LONGEST_HOLD, MOST_TELLERS, SPREAD, AdviceGate, RateAdvice
from proxy.policy.outcome import Outcome
from proxy.policy.snapshot import AdviceSpec


def gate(max_age: float = 10.0, jitter: float = 0.0) -> AdviceGate:
    return AdviceGate(AdviceSpec("shop/advice", max_age), lambda: jitter)


def sent(of: AdviceGate, begin: float, seconds: float, per_second: float = 1000.0) -> int:
    """How many of `per_second` it lets through."""
    count = 0
    for number in range(round(seconds * per_second)):
        now = begin + number / per_second
        if of.wait(now) == 0.0:
            of.ended(of.sent(now), Outcome.SUCCESS, 0.01, now)
            count += 1
    return count


def test_without_advice_everything_is_sent() -> None:
    assert sent(gate(), 0.0, 1.0) == 1000


def test_requests_are_spread_at_the_rate_and_the_others_refused() -> None:
    obeys = gate()
    obeys.advised(RateAdvice(50.0, burst=4.0), 5.0)
    assert sent(obeys, 5.0, 2.0) == 103
    obeys.sent(7.0)
    assert obeys.wait(7.0) == pytest.approx(0.02, abs=0.002)


def test_what_comes_at_random_at_a_few_times_the_rate_uses_nearly_all_of_it() -> None:
    obeys, draw, now, count = gate(), random.Random(1), 0.0, 0
    while now < 20.0:
        now += draw.expovariate(150.0)
        obeys.advised(RateAdvice(50.0, burst=5.0), now)
        if obeys.wait(now) == 0.0:
            obeys.sent(now)
            count += 1
    assert count == pytest.approx(1000, rel=0.01)


def test_a_new_rate_holds_at_once_and_the_debt_of_the_old_is_no_longer_than_its_burst() -> None:
    obeys = gate()
    obeys.advised(RateAdvice(0.1, burst=5.0), 0.0)
    assert sent(obeys, 0.0, 0.1) == 5
    obeys.advised(RateAdvice(100.0, burst=2.0), 0.2)
    assert obeys.wait(0.25) == 0.0


def test_old_advice_is_forgotten() -> None:
    obeys = gate(max_age=10.0)
    obeys.advised(RateAdvice(10.0), 0.0)
    assert obeys.rate(9.9) == 10.0
    assert sent(obeys, 9.0, 0.9) <= 10
    assert obeys.rate(10.1) is None
    assert sent(obeys, 10.1, 1.0) == 1000


def test_a_slow_rate_is_kept_for_as_long_as_it_takes_to_hear_again() -> None:
    obeys = gate(max_age=1.0)
    obeys.advised(RateAdvice(0.1), 0.0)
    assert obeys.rate(19.0) == pytest.approx(0.1)
    assert obeys.rate(21.0) is None


def test_a_pause_holds_everything_back_and_ends_at_random() -> None:
    obeys = gate(jitter=0.5)
    obeys.advised(RateAdvice(None, hold=10.0), 0.0)
    assert obeys.rate(5.0) == 0.0
    assert obeys.wait(5.0) == pytest.approx(5.5)
    assert obeys.wait_again(5.0) == pytest.approx(5.5)
    assert obeys.wait(10.6) == 0.0


def test_no_pause_is_longer_than_a_minute_and_a_bit() -> None:
    obeys = gate(jitter=1.0)
    obeys.advised(RateAdvice(None, hold=999999.0), 0.0)
    assert obeys.wait(0.0) <= LONGEST_HOLD * (1.0 + SPREAD)


@pytest.mark.parametrize("rate", [1e-300, 1e-9, 1e300])
def test_absurd_rates_are_forgotten_in_a_minute_and_break_nothing(rate: float) -> None:
    obeys = gate()
    obeys.advised(RateAdvice(rate, burst=1e9), 0.0)
    obeys.advised(RateAdvice(rate, burst=1.0), 0.0)
    sent(obeys, 0.0, 0.1)
    assert obeys.wait(LONGEST_HOLD + 1.0) == 0.0


def test_the_demand_counts_those_that_are_refused() -> None:
    obeys = gate()
    obeys.advised(RateAdvice(10.0), 0.0)
    for tenth in range(10):
        sent(obeys, tenth / 10.0, 0.1)
        obeys.demand(tenth / 10.0)
    assert obeys.demand(1.0) == pytest.approx(1000.0, rel=0.15)


def test_what_several_instances_say_is_added_up() -> None:
    obeys = gate()
    for teller in ("a", "b", "c", "a"):
        obeys.advised(RateAdvice(10.0, burst=4.0, teller=teller), 0.0)
    assert obeys.rate(0.0) == 30.0
    assert sent(obeys, 0.0, 1.0) == pytest.approx(12 + 30, abs=1)
    assert obeys.demand(1.0) == pytest.approx(1000.0 / 3, rel=0.15), "told to each of them"


def test_an_instance_that_answers_no_more_is_left_out() -> None:
    obeys = gate()
    for teller in ("gone", "stays"):
        obeys.advised(RateAdvice(10.0, teller=teller), 0.0)
    for _ in range(30):
        obeys.advised(RateAdvice(10.0, teller="stays"), 0.1)
    assert obeys.rate(0.1) == 20.0
    for _ in range(15):
        obeys.advised(RateAdvice(10.0, teller="stays"), 0.1)
    assert obeys.rate(0.1) == 10.0


def test_however_many_instances_say_something_their_number_is_bounded() -> None:
    obeys = gate()
    for number in range(10 * MOST_TELLERS):
        obeys.advised(RateAdvice(10.0, teller=str(number)), 0.0)
    assert obeys.rate(0.0) == 10.0 * MOST_TELLERS


def test_advice_that_was_forgotten_is_not_added_to_a_new_one() -> None:
    obeys = gate()
    obeys.advised(RateAdvice(10.0, teller="old"), 0.0)
    obeys.advised(RateAdvice(10.0, teller="new"), 11.0)
    assert obeys.rate(11.0) == 10.0


def test_a_reload_keeps_what_was_said() -> None:
    obeys = gate(max_age=10.0)
    obeys.advised(RateAdvice(10.0), 0.0)
    obeys.reconfigure(AdviceSpec("shop/advice", 2.0, tell_demand=False))
    assert obeys.rate(5.0) == 10.0
    assert not obeys.tells_demand
    obeys.advised(RateAdvice(10.0), 5.0)
    assert obeys.rate(7.5) is None


_ADVICE = st.builds(
    RateAdvice,
    st.none() | st.floats(1e-6, 1e9),
    st.floats(1.0, 1e6),
    st.floats(0.0, 1e6),
    st.sampled_from(["", "a", "b"]),
)


@given(st.lists(st.tuples(st.floats(0.0, 5.0), _ADVICE), max_size=20))
def test_whatever_was_said_everything_is_sent_again_after_its_time(
    said: list[tuple[float, RateAdvice]],
) -> None:
    obeys, now = gate(jitter=0.9), 0.0
    for pause, advice in said:
        now += pause
        obeys.advised(advice, now)
        assert 0.0 <= obeys.wait(now) <= LONGEST_HOLD * (1.0 + SPREAD)
    assert obeys.wait(now + LONGEST_HOLD * (1.0 + SPREAD)) == 0.0
    assert obeys.rate(now + LONGEST_HOLD * (1.0 + SPREAD)) is None
