"""Sends no more than a little more than what is accepted."""

from collections.abc import Callable
from typing import Final

from proxy.policy.gate import Gate
from proxy.policy.outcome import IGNORED, SUCCESS, Outcome
from proxy.policy.reasons import Reason
from proxy.policy.rolling_window import RollingWindow
from proxy.policy.snapshot import ThrottleSpec

PROBE_EVERY: Final = 1.0
"""Seconds without a request let through after which the next one is, whatever the ratio says."""

_REQUESTS: Final = 0
_ACCEPTS: Final = 1
_KINDS: Final = 2


class Throttle(Gate):
    """Adaptive throttling on the client's side (Beyer et al., "Site Reliability Engineering",
    2016, chapter 21): of `requests`, those that were sent and those that it refused, it refuses
    one with the probability

        (requests - ratio * accepts) / (requests + 1)

    or 0 if that is less. So a callee that accepts all is sent all, and one that accepts few is
    sent about `ratio` times as many as it accepts, each refusal of which costs it something.

    An accept is presumed as soon as a request is sent, and taken back from where it was counted
    if it is refused or fails: slow answers don't look like refusals. What tells nothing, such as a
    client that left, is not counted as a request either.
    """

    __slots__ = ("_jitter", "_let_at", "_window", "goes_by")

    def __init__(self, spec: ThrottleSpec, jitter: Callable[[], float]) -> None:
        super().__init__(Reason.THROTTLE, spec)
        self.goes_by = spec
        self._jitter = jitter
        self._window = RollingWindow(spec.window, _KINDS)
        self._let_at = 0.0

    def wait(self, now: float) -> float:
        """See `Gate`."""
        probability = self._probability(now)
        if probability <= 0.0:
            return 0.0
        probe_in = self._let_at + PROBE_EVERY - now
        if probe_in <= 0.0 or self._jitter() >= probability:
            # Whatever becomes of it: all that come before it is sent would be probes otherwise.
            self._let_at = now
            return 0.0
        self._window.add(_REQUESTS, now)
        return probe_in

    def sent(self, now: float) -> int:
        """See `Gate`."""
        self._let_at = now
        self._window.add(_REQUESTS, now)
        return self._window.add(_ACCEPTS, now)

    def ended(self, stamp: int, outcome: Outcome, latency: float, now: float) -> None:  # noqa: ARG002
        """See `Gate`."""
        if outcome is not SUCCESS:
            self._window.take_back(_ACCEPTS, stamp, now)
            if outcome is IGNORED:
                self._window.take_back(_REQUESTS, stamp, now)

    def counts_at(self, now: float) -> tuple[int, int]:
        """Requests and accepts of the window."""
        self._window.advance(now)
        totals = self._window.totals
        return totals[_REQUESTS], totals[_ACCEPTS]

    def probability_at(self, now: float) -> float:
        """With which probability a request would be refused."""
        return max(0.0, self._probability(now))

    def _probability(self, now: float) -> float:
        """The same; below 0.0 when more would be accepted."""
        self._window.advance(now)
        totals, spec = self._window.totals, self.goes_by
        requests = totals[_REQUESTS]
        if requests < spec.min_requests:
            return 0.0
        return (requests - spec.ratio * totals[_ACCEPTS]) / (requests + 1)

    def reconfigure(self, spec: ThrottleSpec) -> None:
        """Goes on by `spec`; with another `window` it counts anew, without what is in flight."""
        self.spec = self.goes_by = spec
        if spec.window != self._window.span:
            self._window = RollingWindow(spec.window, _KINDS)
