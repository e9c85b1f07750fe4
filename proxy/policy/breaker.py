"""Stops asking who fails, and finds out with care whether that is over."""

from collections.abc import Callable
from enum import Enum
from math import ldexp
from typing import Final

from proxy.policy.gate import Gate
from proxy.policy.outcome import DROPPED, FAILURE, IGNORED, Outcome
from proxy.policy.reasons import Reason
from proxy.policy.rolling_window import RollingWindow
from proxy.policy.snapshot import BreakerSpec

JITTER: Final = 0.25
"""By up to so much an open time is longer than it says: sidecars that one failure opened must not
all probe at the same instant."""

FIRST_SHARE: Final = 0.1
"""Of all requests so many are let through when recovery begins, as in Envoy's slow start
(min_weight_percent)."""

PROBE_PATIENCE: Final = 10.0
"""Seconds after which a probe that has not ended is no longer waited for, or the open time if that
is longer: a client that takes hours to send a body must not hold up the recovery."""

# What is counted.
_ALL: Final = 0
_FAILED: Final = 1
_SLOW: Final = 2
_KINDS: Final = 3


class BreakerState(Enum):
    """`PROBING` and `RECOVERING` together are what is commonly called half-open."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"
    RECOVERING = "recovering"


CLOSED: Final = BreakerState.CLOSED
OPEN: Final = BreakerState.OPEN
PROBING: Final = BreakerState.PROBING
RECOVERING: Final = BreakerState.RECOVERING


class Breaker(Gate):
    """A circuit breaker (Nygard, "Release It!", 2nd ed., section 5.2), of four states:

    | state      | lets through                | leaves it                                         |
    |------------|-----------------------------|---------------------------------------------------|
    | CLOSED     | all                         | to OPEN when too many fail, or are slow           |
    | OPEN       | nobody                      | to PROBING when its time is over                  |
    | PROBING    | `probes` at a time          | to RECOVERING when so many have ended well enough |
    |            |                             | that the ratios hold; to OPEN when they can't     |
    | RECOVERING | a share, from a tenth to    | to CLOSED when its time is over, to OPEN as       |
    |            | all, linear in time         | CLOSED does                                       |

    Not one probe but several, as one tells little; and not all at once after that, since whoever
    is just up again has cold caches, and a crowd before its door.

    Only what was sent since it last opened counts: the late failures of before tell nothing new.
    What the callee refused (`DROPPED`) counts neither way: it shows load, which a breaker would
    make an outage of. A client that left (`IGNORED`) counts only if it had waited for `slow` by
    then: the answer would have been slow. Neither holds the place of a probe.

    States change when somebody asks; what ends in `_at` only looks. `opened` is how often it
    has opened, and `cause` why it did last.
    """

    __slots__ = (
        "_first",
        "_in_a_row",
        "_in_vain",
        "_jitter",
        "_probed",
        "_probes",
        "_sequence",
        "_since",
        "_slow_in_a_row",
        "_state",
        "_until",
        "_window",
        "cause",
        "goes_by",
        "opened",
    )

    def __init__(self, spec: BreakerSpec, jitter: Callable[[], float]) -> None:
        super().__init__(Reason.BREAKER, spec)
        self.goes_by = spec
        self._since = 0.0
        self.opened = 0
        self.cause = ""
        self._jitter = jitter
        self._state = CLOSED
        self._until = 0.0
        self._window = RollingWindow(spec.window, _KINDS)
        self._in_a_row = 0
        self._slow_in_a_row = 0
        # How many times it opened without having been well in between.
        self._in_vain = 0
        # The last stamp, and the first since it last opened.
        self._sequence = 0
        self._first = 1
        # The probes that are waited for, and until when, the oldest first; and how they ended.
        self._probes: dict[int, float] = {}
        self._probed = [0] * _KINDS

    # ------------------------------------------------------------------ asking

    def wait(self, now: float) -> float:
        """See `Gate`."""
        if self._state is CLOSED:
            return 0.0
        state = self._turn(now)
        if state is OPEN:
            return self._until - now
        if state is PROBING:
            return self._wait_for_probes(now)
        if state is RECOVERING and self._jitter() >= self.share_at(now):
            return self._until - now
        return 0.0

    def wait_again(self, now: float) -> float:
        """See `Gate`: it may have opened meanwhile."""
        if self._state is CLOSED:
            return 0.0
        state = self._turn(now)
        if state is OPEN:
            return self._until - now
        return self._wait_for_probes(now) if state is PROBING else 0.0

    def sent(self, now: float) -> int:
        """See `Gate`."""
        self._sequence += 1
        if self._state is PROBING:
            self._probes[self._sequence] = now + max(PROBE_PATIENCE, self.goes_by.open)
        return self._sequence

    def state_at(self, now: float) -> BreakerState:
        """Its state, for who only looks."""
        if now >= self._until:
            if self._state is OPEN:
                return PROBING
            if self._state is RECOVERING:
                return CLOSED
        return self._state

    def since_at(self, now: float) -> float:
        """When it came to that state; 0.0 if it was never in another."""
        return self._since if self.state_at(now) is self._state else self._until

    def share_at(self, now: float) -> float:
        """Which share of requests it lets through, probes apart."""
        state = self.state_at(now)
        if state is RECOVERING:
            left = (self._until - now) / self.goes_by.recovery
            return min(1.0, 1.0 - (1.0 - FIRST_SHARE) * left)
        return 1.0 if state is CLOSED else 0.0

    def opens_for(self, now: float) -> float:
        """Seconds until the next probe; 0.0 when it is not open."""
        return self._until - now if self.state_at(now) is OPEN else 0.0

    @property
    def probes_in_flight(self) -> int:
        """Probes that are waited for."""
        return len(self._probes)

    def _wait_for_probes(self, now: float) -> float:
        probes = self._probes
        while probes:
            oldest = next(iter(probes))
            patience = probes[oldest] - now
            if patience > 0.0:
                return patience if len(probes) >= self.goes_by.probes else 0.0
            del probes[oldest]
        return 0.0

    # ---------------------------------------------------------------- learning

    def ended(self, stamp: int, outcome: Outcome, latency: float, now: float) -> None:
        """See `Gate`."""
        state = self._state if self._state is CLOSED else self._turn(now)
        self._probes.pop(stamp, None)
        spec = self.goes_by
        failed = outcome is FAILURE
        slow = spec.slow is not None and latency >= spec.slow
        if outcome is DROPPED or (outcome is IGNORED and not slow) or stamp < self._first:
            return
        if state is PROBING:
            self._probe_ended(failed, slow, now)
        elif state is not OPEN:
            if failed:
                self._in_a_row += 1
            elif outcome is not IGNORED:
                self._in_a_row = 0
            self._slow_in_a_row = self._slow_in_a_row + 1 if slow else 0
            window = self._window
            window.add(_ALL, now)
            if failed:
                window.add(_FAILED, now)
            if slow:
                window.add(_SLOW, now)
            if failed or slow:
                self._look(now)

    def _look(self, now: float) -> None:
        """Opens if too much of what ended lately was bad."""
        spec, totals = self.goes_by, self._window.totals
        count, failed, slow = totals[_ALL], totals[_FAILED], totals[_SLOW]
        in_a_row, slow_in_a_row = self._in_a_row, self._slow_in_a_row
        if in_a_row >= spec.consecutive_failures:
            self._open(f"{in_a_row} requests in a row failed", now)
        elif spec.consecutive_slow is not None and slow_in_a_row >= spec.consecutive_slow:
            self._open(f"{slow_in_a_row} requests in a row took {spec.slow:g} s or more", now)
        elif count >= spec.min_requests:
            if failed >= spec.error_ratio * count:
                self._open(f"{failed} of {count} requests failed", now)
            elif spec.slow is not None and slow >= spec.slow_ratio * count:
                self._open(f"{slow} of {count} requests took {spec.slow:g} s or more", now)

    def _probe_ended(self, failed: bool, slow: bool, now: float) -> None:
        spec, probed = self.goes_by, self._probed
        probed[_ALL] += 1
        probed[_FAILED] += failed
        probed[_SLOW] += slow
        if probed[_FAILED] >= spec.error_ratio * spec.probes:
            self._open(f"{probed[_FAILED]} of {probed[_ALL]} probes failed", now)
        elif spec.slow is not None and probed[_SLOW] >= spec.slow_ratio * spec.probes:
            slow_ones = f"{probed[_SLOW]} of {probed[_ALL]} probes"
            self._open(f"{slow_ones} took {spec.slow:g} s or more", now)
        elif probed[_ALL] >= spec.probes:
            self._enter(RECOVERING, now, now + spec.recovery)

    # ------------------------------------------------------------------ states

    def _turn(self, now: float) -> BreakerState:
        """Its state, once what is due by the time alone has happened."""
        if now >= self._until:
            if self._state is OPEN:
                self._probed = [0] * _KINDS
                self._enter(PROBING, self._until, self._until)
            elif self._state is RECOVERING:
                self._enter(CLOSED, self._until, self._until)
        return self._state

    def _open(self, cause: str, now: float) -> None:
        if self._state is CLOSED and now - self._since >= self._open_time():
            self._in_vain = 0
        until = now + self._open_time() * (1.0 + JITTER * self._jitter())
        self._in_vain += 1
        self.cause = cause
        self.opened += 1
        self._in_a_row = self._slow_in_a_row = 0
        self._window.clear()
        self._probes.clear()
        self._first = self._sequence + 1
        self._enter(OPEN, now, until)

    def _open_time(self) -> float:
        """For how long it opens next if it is still as bad: twice as long each time."""
        spec = self.goes_by
        return min(spec.longest_open, ldexp(spec.open, min(self._in_vain, 30)))

    def _enter(self, state: BreakerState, since: float, until: float) -> None:
        self._state = state
        self._since = since
        self._until = until

    def reconfigure(self, spec: BreakerSpec, now: float) -> None:
        """Goes on by `spec` from the state that it is in; with another `window`, or where something
        else is `slow`, it counts anew.
        """
        if spec.window != self._window.span or spec.slow != self.goes_by.slow:
            self._window = RollingWindow(spec.window, _KINDS)
            self._slow_in_a_row = 0
        self.spec = self.goes_by = spec
        if self._state is OPEN:
            self._until = min(self._until, now + (1.0 + JITTER) * spec.longest_open)
        elif self._state is RECOVERING:
            self._until = min(self._until, now + spec.recovery)
