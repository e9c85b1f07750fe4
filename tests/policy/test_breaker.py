"""A breaker by itself: each state, and what leaves it. What holds in any order of events is in
test_breaker_invariants.py.
"""

from dataclasses import replace

import pytest

from proxy.policy.breaker import FIRST_SHARE, JITTER, PROBE_PATIENCE, Breaker, BreakerState
from proxy.policy.outcome import Outcome
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import BreakerSpec

FAILURE, SUCCESS = Outcome.FAILURE, Outcome.SUCCESS


class Breaking:
    """A breaker with a lot that is drawn by hand."""

    def __init__(self, **more: object) -> None:
        usual = {"min_requests": 4, "consecutive_failures": 100, "probes": 3}
        self.lot = 0.0
        spec = BreakerSpec("shop/breaker", **{**usual, **more})  # type: ignore[arg-type]
        self.breaker = Breaker(spec, lambda: self.lot)

    def state(self, now: float) -> BreakerState:
        return self.breaker.state_at(now)

    def admits(self, now: float) -> bool:
        return self.breaker.wait(now) == 0.0

    def call(self, now: float, outcome: Outcome = SUCCESS, latency: float = 0.01) -> bool:
        """One request, over at once; whether it was sent."""
        if not self.admits(now):
            return False
        self.breaker.ended(self.breaker.sent(now), outcome, latency, now)
        return True

    def calls(self, now: float, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            assert self.call(now, outcome)

    def open(self, now: float) -> None:
        """Opens it, whatever there was before."""
        while self.state(now) is BreakerState.CLOSED:
            self.call(now, FAILURE)
        assert self.state(now) is BreakerState.OPEN


@pytest.fixture
def breaking() -> Breaking:
    return Breaking()


# ------------------------------------------------------------------------- closed


def test_it_opens_when_too_large_a_share_fails(breaking: Breaking) -> None:
    breaking.calls(0.0, SUCCESS, SUCCESS, SUCCESS, FAILURE, FAILURE)
    assert breaking.state(0.0) is BreakerState.CLOSED
    breaking.calls(0.0, FAILURE)
    assert breaking.state(0.0) is BreakerState.OPEN
    assert breaking.breaker.cause == "3 of 6 requests failed"
    assert breaking.breaker.reason is Reason.BREAKER
    assert not breaking.call(0.0)


def test_too_few_requests_say_nothing(breaking: Breaking) -> None:
    breaking.calls(0.0, FAILURE, FAILURE, FAILURE)
    assert breaking.state(0.0) is BreakerState.CLOSED


def test_what_failed_long_ago_says_nothing(breaking: Breaking) -> None:
    breaking.calls(0.0, FAILURE, FAILURE, FAILURE)
    breaking.calls(10.0, FAILURE, FAILURE, FAILURE)
    assert breaking.state(10.0) is BreakerState.CLOSED


def test_so_many_in_a_row_open_it_however_few_or_many_there_were() -> None:
    breaking = Breaking(consecutive_failures=3, min_requests=1000)
    breaking.calls(0.0, SUCCESS, FAILURE, FAILURE, SUCCESS, FAILURE, FAILURE)
    assert breaking.state(0.0) is BreakerState.CLOSED
    breaking.calls(600.0, FAILURE)
    assert breaking.breaker.cause == "3 requests in a row failed"


def test_it_opens_when_too_many_are_slow() -> None:
    breaking = Breaking(slow=0.3, slow_ratio=0.5)
    for latency in (0.29, 0.3, 0.29, 5.0):
        assert breaking.call(0.0, SUCCESS, latency)
    assert breaking.state(0.0) is BreakerState.OPEN
    assert breaking.breaker.cause == "2 of 4 requests took 0.3 s or more"


def test_so_many_slow_ones_in_a_row_open_it_if_they_are_to() -> None:
    breaking = Breaking(slow=0.3, min_requests=1000, consecutive_slow=3)
    for latency in (0.3, 5.0, 0.29, 0.3, 0.3):
        assert breaking.call(0.0, SUCCESS, latency)
    assert breaking.call(0.0, Outcome.DROPPED, 0.01)
    assert breaking.state(0.0) is BreakerState.CLOSED
    assert breaking.call(600.0, Outcome.IGNORED, 0.3)
    assert breaking.breaker.cause == "3 requests in a row took 0.3 s or more"


def test_a_row_of_slow_ones_begins_anew_when_it_has_opened() -> None:
    breaking = Breaking(slow=0.3, min_requests=1000, consecutive_slow=3, recovery=0.0)
    for _ in range(3):
        assert breaking.call(0.0, SUCCESS, 0.3)
    breaking.calls(5.0, SUCCESS, SUCCESS, SUCCESS)
    for _ in range(2):
        assert breaking.call(6.0, SUCCESS, 0.3)
    assert breaking.state(6.0) is BreakerState.CLOSED


def test_what_was_slow_before_a_reload_is_not_so_by_another_measure() -> None:
    breaking = Breaking(slow=0.1, min_requests=3, consecutive_slow=3)
    for _ in range(2):
        assert breaking.call(0.0, SUCCESS, 0.1)
    breaking.breaker.reconfigure(replace(breaking.breaker.goes_by, slow=1.0), 0.0)
    assert breaking.call(0.0, SUCCESS, 1.0)
    assert breaking.state(0.0) is BreakerState.CLOSED


def test_a_quick_failure_ends_a_row_of_slow_ones() -> None:
    breaking = Breaking(slow=0.3, min_requests=1000, consecutive_slow=2)
    for outcome, latency in ((SUCCESS, 0.3), (FAILURE, 0.01), (SUCCESS, 0.3)):
        assert breaking.call(0.0, outcome, latency)
    assert breaking.state(0.0) is BreakerState.CLOSED


def test_without_a_limit_nothing_is_slow(breaking: Breaking) -> None:
    for _ in range(20):
        assert breaking.call(0.0, SUCCESS, 3600.0)


def test_what_was_refused_there_counts_neither_way(breaking: Breaking) -> None:
    for _ in range(20):
        assert breaking.call(0.0, Outcome.DROPPED, 9.0)
    breaking.calls(0.0, FAILURE, FAILURE, SUCCESS, FAILURE)
    assert breaking.breaker.cause == "3 of 4 requests failed"


def test_a_client_that_leaves_says_nothing_unless_it_has_waited_for_too_long() -> None:
    breaking = Breaking(slow=0.3)
    for _ in range(20):
        assert breaking.call(0.0, Outcome.IGNORED, 0.29)
    for _ in range(4):
        assert breaking.call(0.0, Outcome.IGNORED, 0.3)
    assert breaking.breaker.cause == "4 of 4 requests took 0.3 s or more"


def test_a_client_that_leaves_a_slow_one_is_no_success_between_failures() -> None:
    breaking = Breaking(slow=0.3, min_requests=100, consecutive_failures=3)
    breaking.calls(0.0, FAILURE, FAILURE)
    assert breaking.call(0.0, Outcome.IGNORED, 0.3)
    breaking.calls(0.0, FAILURE)
    assert breaking.breaker.cause == "3 requests in a row failed"


# --------------------------------------------------------------------------- open


@pytest.mark.parametrize("lot", [0.0, 0.5, 0.999])
def test_open_it_lets_nobody_through_until_its_time_is_over(lot: float) -> None:
    breaking = Breaking(open=4.0)
    breaking.lot = lot
    breaking.open(100.0)
    end = 100.0 + 4.0 * (1.0 + JITTER * lot)
    for now in (100.0, 102.0, end - 0.01):
        assert breaking.breaker.wait(now) == pytest.approx(end - now)
        assert breaking.breaker.wait_again(now) == pytest.approx(end - now)
        assert breaking.breaker.opens_for(now) == pytest.approx(end - now)
        assert breaking.breaker.since_at(now) == 100.0
    assert breaking.admits(end)
    assert breaking.breaker.opens_for(end) == 0.0
    assert breaking.breaker.since_at(end + 1.0) == end


def test_each_time_in_vain_it_stays_open_for_twice_as_long_up_to_the_longest() -> None:
    breaking = Breaking(open=2.0, longest_open=9.0)
    now, told = 0.0, []
    breaking.open(now)
    for _ in range(5):
        told.append(breaking.breaker.wait(now))
        now += told[-1]
        breaking.calls(now, FAILURE, FAILURE)
    assert told == [2.0, 4.0, 8.0, 9.0, 9.0]
    assert breaking.breaker.opened == 6


def test_what_opens_again_soon_after_it_closed_was_in_vain_too() -> None:
    breaking = Breaking(open=5.0, recovery=1.0)
    breaking.open(0.0)
    breaking.calls(5.0, SUCCESS, SUCCESS, SUCCESS)
    breaking.open(7.0)
    assert breaking.breaker.wait(7.0) == 10.0
    breaking.calls(17.0, SUCCESS, SUCCESS, SUCCESS)
    assert breaking.state(18.0) is BreakerState.CLOSED
    breaking.call(18.0)
    breaking.open(18.0 + 20.0)
    assert breaking.breaker.wait(38.0) == 5.0, "it was well for as long as it would be open"


# ---------------------------------------------------------------------- half-open


def test_several_probes_at_a_time_find_out(breaking: Breaking) -> None:
    breaking.open(0.0)
    sent = []
    for _ in range(3):
        assert breaking.admits(5.0)
        sent.append(breaking.breaker.sent(5.0))
    assert breaking.state(5.0) is BreakerState.PROBING
    assert breaking.breaker.wait(5.0) > 0.0
    assert breaking.breaker.wait_again(5.0) > 0.0
    for stamp in sent:
        assert breaking.state(5.1) is BreakerState.PROBING
        breaking.breaker.ended(stamp, SUCCESS, 0.1, 5.1)
    assert breaking.state(5.1) is BreakerState.RECOVERING


def test_one_failed_probe_of_three_is_within_the_ratio_and_two_are_not(
    breaking: Breaking,
) -> None:
    breaking.open(0.0)
    breaking.calls(5.0, FAILURE, SUCCESS)
    assert breaking.state(5.0) is BreakerState.PROBING
    breaking.calls(5.0, FAILURE)
    assert breaking.state(5.0) is BreakerState.OPEN
    assert breaking.breaker.cause == "2 of 3 probes failed"


def test_slow_probes_open_it_again() -> None:
    breaking = Breaking(slow=0.3, slow_ratio=0.6)
    breaking.open(0.0)
    for latency in (0.1, 0.4, 0.4):
        assert breaking.call(5.0, SUCCESS, latency)
    assert breaking.state(5.0) is BreakerState.OPEN
    assert breaking.breaker.cause == "2 of 3 probes took 0.3 s or more"


@pytest.mark.parametrize("outcome", [Outcome.IGNORED, Outcome.DROPPED])
def test_a_probe_that_tells_nothing_makes_room_for_another(
    breaking: Breaking, outcome: Outcome
) -> None:
    breaking.open(0.0)
    for _ in range(10):
        breaking.calls(5.0, outcome)
    assert breaking.state(5.0) is BreakerState.PROBING
    breaking.calls(5.0, SUCCESS, SUCCESS, SUCCESS)
    assert breaking.state(5.0) is BreakerState.RECOVERING


def test_a_probe_that_does_not_end_is_not_waited_for_for_ever(breaking: Breaking) -> None:
    breaking.open(0.0)
    stuck = [breaking.breaker.sent(5.0) for _ in range(3) if breaking.admits(5.0)]
    assert breaking.breaker.wait(6.0) == PROBE_PATIENCE - 1.0
    later = 5.0 + PROBE_PATIENCE
    breaking.calls(later, SUCCESS, SUCCESS)
    breaking.breaker.ended(stuck[0], FAILURE, 60.0, later)
    assert breaking.state(later) is BreakerState.RECOVERING, "it counts all the same"


def test_the_late_failures_of_before_it_opened_do_not_count(breaking: Breaking) -> None:
    late = [breaking.breaker.sent(0.0) for _ in range(50)]
    breaking.open(0.0)
    for stamp in late[:20]:
        breaking.breaker.ended(stamp, FAILURE, 1.0, 1.0)
    assert breaking.state(5.0) is BreakerState.PROBING
    for stamp in late[20:40]:
        breaking.breaker.ended(stamp, FAILURE, 5.0, 5.0)
    breaking.calls(5.0, SUCCESS, SUCCESS, SUCCESS)
    for stamp in late[40:]:
        breaking.breaker.ended(stamp, FAILURE, 5.0, 5.0)
    assert breaking.state(5.0) is BreakerState.RECOVERING
    assert breaking.breaker.opened == 1


def test_ever_more_are_let_through_until_it_is_closed() -> None:
    breaking = Breaking(recovery=10.0)
    breaking.open(0.0)
    breaking.calls(5.0, SUCCESS, SUCCESS, SUCCESS)
    shares = [breaking.breaker.share_at(5.0 + second) for second in (0.0, 5.0, 9.0)]
    assert shares == pytest.approx([FIRST_SHARE, 0.55, 0.91])
    breaking.lot = 0.545
    assert not breaking.admits(9.9)
    assert breaking.breaker.wait_again(9.9) == 0.0, "its lot was drawn"
    assert breaking.admits(10.0)
    breaking.lot = 0.999
    assert not breaking.admits(14.9)
    assert breaking.state(15.0) is BreakerState.CLOSED
    assert breaking.admits(15.0)
    assert (breaking.breaker.share_at(15.0), breaking.breaker.since_at(16.0)) == (1.0, 15.0)


def test_failures_while_it_recovers_open_it_again(breaking: Breaking) -> None:
    breaking.open(0.0)
    breaking.calls(5.0, SUCCESS, SUCCESS, SUCCESS)
    breaking.calls(6.0, SUCCESS, FAILURE, FAILURE, FAILURE)
    assert breaking.state(6.0) is BreakerState.OPEN
    assert breaking.breaker.wait(6.0) == 10.0


def test_recovery_may_take_no_time() -> None:
    breaking = Breaking(recovery=0.0)
    breaking.open(0.0)
    breaking.calls(5.0, SUCCESS, SUCCESS, SUCCESS)
    assert breaking.state(5.0) is BreakerState.CLOSED
    assert breaking.breaker.share_at(5.0) == 1.0


# ---------------------------------------------------------------------- new rules


def spec(**more: object) -> BreakerSpec:
    return BreakerSpec("shop/breaker", **more)  # type: ignore[arg-type]


def test_new_rules_hold_from_the_state_that_it_is_in(breaking: Breaking) -> None:
    breaking.open(0.0)
    breaking.breaker.reconfigure(spec(open=1.0, longest_open=2.0), 1.0)
    assert breaking.breaker.wait(1.0) == 2.0 * (1.0 + JITTER), "no longer than it could be now"
    breaking.breaker.reconfigure(spec(probes=1, recovery=100.0), 3.5)
    breaking.calls(5.0, SUCCESS)
    breaking.breaker.reconfigure(spec(recovery=1.0), 5.0)
    assert breaking.state(6.0) is BreakerState.CLOSED


def test_with_another_window_it_counts_anew(breaking: Breaking) -> None:
    breaking.calls(0.0, FAILURE, FAILURE, FAILURE)
    breaking.breaker.reconfigure(spec(min_requests=4), 0.0)
    breaking.breaker.reconfigure(spec(min_requests=4, window=60.0), 0.0)
    breaking.calls(0.0, FAILURE)
    assert breaking.state(0.0) is BreakerState.CLOSED
