import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.outcome import Outcome
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import ThrottleSpec
from proxy.policy.throttle import PROBE_EVERY, Throttle


class Throttled:
    """A throttle with a lot that is drawn by hand: at 0.0 it refuses whenever it may."""

    def __init__(self, **more: object) -> None:
        self.lot = 0.0
        spec = ThrottleSpec("shop/throttle", **{"min_requests": 5, **more})  # type: ignore[arg-type]
        self.throttle = Throttle(spec, lambda: self.lot)

    def call(self, now: float, outcome: Outcome = Outcome.SUCCESS) -> bool:
        """One request, over at once; whether it was sent."""
        if self.throttle.wait(now) > 0.0:
            return False
        self.throttle.ended(self.throttle.sent(now), outcome, 0.01, now)
        return True


@pytest.fixture
def throttled() -> Throttled:
    return Throttled()


def test_who_accepts_all_is_sent_all(throttled: Throttled) -> None:
    assert all(throttled.call(second / 10) for second in range(500))
    assert throttled.throttle.probability_at(50.0) == 0.0


@pytest.mark.parametrize("outcome", [Outcome.DROPPED, Outcome.FAILURE])
def test_who_accepts_less_than_its_share_is_sent_less(
    throttled: Throttled, outcome: Outcome
) -> None:
    for each in [Outcome.SUCCESS] * 10 + [outcome] * 10:
        assert throttled.call(0.0, each)
    throttled.lot = 0.999
    assert throttled.call(0.0, outcome)
    throttled.lot = 0.0
    assert throttled.throttle.counts_at(0.0) == (21, 10)
    assert throttled.throttle.probability_at(0.0) == pytest.approx(1 / 22)
    assert throttled.throttle.wait(0.5) == PROBE_EVERY - 0.5
    assert throttled.throttle.counts_at(0.5) == (22, 10), "what it refuses is a request, too"
    assert throttled.throttle.reason is Reason.THROTTLE
    throttled.lot = 2 / 23
    assert throttled.call(0.5, outcome)


def test_too_few_requests_say_nothing(throttled: Throttled) -> None:
    assert [throttled.call(0.1, Outcome.FAILURE) for _ in range(6)] == [True] * 5 + [False]


def test_what_tells_nothing_is_no_request(throttled: Throttled) -> None:
    assert all(throttled.call(0.0, Outcome.IGNORED) for _ in range(20))
    assert throttled.throttle.counts_at(0.0) == (0, 0)


def test_slow_answers_do_not_look_like_refusals(throttled: Throttled) -> None:
    stamps = [throttled.throttle.sent(0.0) for _ in range(50)]
    assert throttled.throttle.wait(0.5) == 0.0
    for stamp in stamps[:40]:
        throttled.throttle.ended(stamp, Outcome.FAILURE, 9.0, 9.0)
    assert throttled.throttle.counts_at(9.0) == (50, 10)
    assert throttled.call(9.0), "nothing was sent for a second"
    assert not throttled.call(9.0)


def test_what_is_long_past_is_forgotten_with_its_accepts(throttled: Throttled) -> None:
    late = [throttled.throttle.sent(0.0) for _ in range(50)]
    for _ in range(6):
        throttled.call(31.0)
    for stamp in late:
        throttled.throttle.ended(stamp, Outcome.FAILURE, 31.0, 31.0)
    assert throttled.throttle.counts_at(31.0) == (6, 6)


def test_of_those_that_come_before_a_probe_is_sent_one_is(throttled: Throttled) -> None:
    for _ in range(10):
        throttled.call(0.1, Outcome.FAILURE)
    assert [throttled.throttle.wait(2.0) > 0.0 for _ in range(3)] == [False, True, True]


def test_one_that_waited_for_its_turn_draws_no_second_lot(throttled: Throttled) -> None:
    for _ in range(10):
        throttled.call(0.1, Outcome.FAILURE)
    assert throttled.throttle.wait(0.2) > 0.0
    assert throttled.throttle.wait_again(0.2) == 0.0


def test_a_callee_that_is_back_is_found_out_about_and_gets_all_again() -> None:
    throttled = Throttled(window=10.0)
    lots = random.Random(7).random
    shares = []
    for second in range(90):
        outcome = Outcome.FAILURE if second < 30 else Outcome.SUCCESS
        sent = 0
        for step in range(100):
            throttled.lot = lots()
            sent += throttled.call(second + step / 100, outcome)
        shares.append(sent)
    assert max(shares[12:30]) <= 3
    assert min(shares[70:]) == 100


def test_new_rules_hold_at_once_and_another_window_counts_anew(throttled: Throttled) -> None:
    for _ in range(10):
        throttled.call(0.1, Outcome.FAILURE)
    in_flight = throttled.throttle.sent(0.1)
    throttled.throttle.reconfigure(ThrottleSpec("shop/throttle", min_requests=50))
    assert throttled.call(0.1)
    throttled.throttle.reconfigure(ThrottleSpec("shop/throttle", window=60.0))
    assert throttled.throttle.counts_at(0.1) == (0, 0)
    throttled.throttle.ended(in_flight, Outcome.FAILURE, 0.0, 0.1)
    assert throttled.throttle.counts_at(0.1) == (0, 0)


steps = st.tuples(
    st.sampled_from([0.0, 0.05, 0.4, 3.0]),
    st.sampled_from([None, *Outcome, Outcome.FAILURE, Outcome.DROPPED]),
    st.floats(0.0, 1.0, exclude_max=True),
)


@given(
    ratio=st.sampled_from([1.0, 1.5, 2.0, 10.0]),
    window=st.sampled_from([1.0, 30.0]),
    least=st.integers(1, 10),
    events=st.lists(steps, max_size=120),
)
def test_it_never_refuses_what_it_need_not_and_never_goes_without_a_probe(
    ratio: float,
    window: float,
    least: int,
    events: list[tuple[float, Outcome | None, float]],
) -> None:
    throttled = Throttled(ratio=ratio, window=window, min_requests=least)
    throttle = throttled.throttle
    out: list[int] = []
    last_sent = 100.0
    throttle.sent(last_sent)
    for now, (_, ends, lot) in zip(
        accumulate((pause for pause, *_ in events), initial=last_sent), events, strict=False
    ):
        throttled.lot = lot
        requests, accepts = throttle.counts_at(now)
        assert requests >= 0
        assert accepts >= 0
        probability = throttle.probability_at(now)
        assert 0.0 <= probability < 1.0
        wait = throttle.wait(now)
        assert wait >= 0.0
        if wait > 0.0:
            assert requests >= least
            assert accepts * ratio < requests
            assert lot < probability
            assert now - last_sent < PROBE_EVERY
            assert now + wait == pytest.approx(last_sent + PROBE_EVERY)
        else:
            out.append(throttle.sent(now))
            last_sent = now
        if ends is not None and out:
            throttle.ended(out.pop(0), ends, 0.1, now)
