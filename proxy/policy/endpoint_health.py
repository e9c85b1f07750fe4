"""How one of an upstream's endpoints has answered, and whether it is asked."""

from enum import Enum
from typing import Final

from proxy.policy.endpoint_spec import EjectionSpec


class Standing(Enum):
    """`SERVING`: it is asked like all others. `EJECTED`: it is not. `RETURNING`: its time is over,
    and one request at a time finds out whether it is well.
    """

    SERVING = "serving"
    EJECTED = "ejected"
    RETURNING = "returning"


SERVING: Final = Standing.SERVING
EJECTED: Final = Standing.EJECTED
RETURNING: Final = Standing.RETURNING

RISE: Final = 2
"""Answers in a row after which one that returns serves like all others: HAProxy's `rise`."""


class EndpointHealth:
    """The record of one endpoint. `now` is in monotonic seconds, and does not fall.

    | standing | event | becomes |
    |---|---|---|
    | SERVING | too many failures, and there is room | EJECTED |
    | EJECTED | its time is over | RETURNING |
    | RETURNING | a failure, and there is room | EJECTED, for longer |
    | RETURNING | `RISE` answers in a row | SERVING |

    Whether there is room for one more is not known here. `failures` are all that there ever were.
    """

    __slots__ = (
        "_failed", "_rising", "_row", "_seen", "_serving_since", "_times", "_window_ends",
        "ejections", "failures", "floor", "standing", "until",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.standing = SERVING
        self.until = 0.0
        self.failures = 0
        self.ejections = 0
        # What was in flight already when it was let return: no part of its trial.
        self.floor = 0
        self._row = 0
        self._rising = 0
        self._times = 0
        self._serving_since = now
        # The present window, which begins with its first request after the end of the last one.
        self._window_ends = 0.0
        self._seen = 0
        self._failed = 0

    @property
    def in_a_row(self) -> int:
        """Its failures since its last good answer, or since it was let return."""
        return self._row

    def succeeded(self, spec: EjectionSpec, in_flight: int, now: float) -> bool:
        """It answered well; whether it serves like all others again with that. `in_flight` are
        its requests, this one's further course (a download, a tunnel) among them.
        """
        if self.standing is EJECTED:
            # It was sent before, and says no more than its neighbours that failed.
            return False
        self._row = 0
        if self.standing is SERVING:
            self._count(spec, now)
            return False
        self.floor = in_flight
        self._rising += 1
        if self._rising < RISE:
            return False
        self.standing = SERVING
        self._serving_since = now
        return True

    def failed(self, spec: EjectionSpec, now: float, *, answered: bool = False) -> bool:
        """It did not answer, or answered that it failed, or broke its answer off (then it had
        `answered` well). Whether it is to be ejected.
        """
        self.failures += 1
        if self.standing is EJECTED:
            return False
        if self.standing is RETURNING:
            self._rising = 0
            return True
        self._count(spec, now)
        if answered:
            self._seen -= 1  # its answer was counted already
        self._failed += 1
        self._row += 1
        return self._row >= spec.consecutive_failures or (
            self._seen >= spec.min_requests and self._failed >= spec.error_ratio * self._seen
        )

    def eject(self, spec: EjectionSpec, now: float) -> float:
        """Leaves it out; for how many seconds."""
        if self.standing is SERVING:
            # As Envoy's multiplier: each such time in service makes up for one ejection.
            rested = (now - self._serving_since) / spec.duration
            self._times = self._times - int(rested) if rested < self._times else 0
        self._times += 1
        self.ejections += 1
        seconds = min(spec.duration * self._times, spec.longest)
        self.standing = EJECTED
        self.until = now + seconds
        return seconds

    def let_return(self, in_flight: int) -> None:
        """Its time is over, or its place among the ejected is gone. It has `in_flight` requests."""
        self.standing = RETURNING
        self.floor = in_flight
        self._rising = 0
        self._row = 0
        self._window_ends = 0.0

    def _count(self, spec: EjectionSpec, now: float) -> None:
        if now >= self._window_ends:
            self._window_ends = now + spec.window
            self._seen = self._failed = 0
        self._seen += 1
