"""What a callee says about how fast it may be called, and who obeys it."""

from collections.abc import Callable
from typing import Final

from proxy.policy.arrival_rate import ArrivalRate
from proxy.policy.gate import Gate
from proxy.policy.outcome import Outcome
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import AdviceSpec

LONGEST_HOLD: Final = 60.0
"""Seconds for which nothing at all is sent at most, whatever the callee says."""

SPREAD: Final = 0.1
"""By so much of its length, at random, a pause is longer: who pauses with us must not come back
at the same moment."""

SLOWEST: Final = 1.0 / LONGEST_HOLD
"""Requests per second. With less than that it would take longer than the longest pause to hear
again."""

STEPS_KEPT: Final = 2.0
"""A rate is kept for so many requests at least: the next answer renews it."""

MOST_TELLERS: Final = 64
SILENCE: Final = 20.0
"""A service has so many instances at most that are told apart. One that none of `SILENCE` times as
many answers came from as there are instances is gone: by accident that never comes to pass (e^-20),
and when a service starts anew its old advice is not added to the new for long."""


class RateAdvice:
    """What one answer says: `rate` requests per second with `burst` at once, None for no rate; and
    nothing at all for `hold` seconds. `teller` is the instance whose rate it is, of several that a
    service has; empty where it is the whole service's.
    """

    __slots__ = ("burst", "hold", "rate", "teller")

    def __init__(
        self, rate: float | None, burst: float = 1.0, hold: float = 0.0, teller: str = ""
    ) -> None:
        self.rate = rate
        self.burst = burst
        self.hold = hold
        self.teller = teller

    def __repr__(self) -> str:
        return f"RateAdvice({self.rate}, {self.burst}, {self.hold}, {self.teller!r})"


class _Told:
    """What an instance said last, and how many answers of all had come by then."""

    __slots__ = ("answer", "burst", "rate")

    def __init__(self, rate: float, burst: float, answer: int) -> None:
        self.rate = rate
        self.burst = burst
        self.answer = answer


class AdviceGate(Gate):
    """Sends no faster than the callee said last, and refuses the rest: a GCRA (see
    `proxy.policy.gcra`) whose rate is the callee's; of several instances' the sum.

    Whatever the callee says can only slow down what is sent to it, and not for long: a rate is
    forgotten `max_age` seconds after it was last heard of, or after `STEPS_KEPT` requests at
    that rate if that is later, and a pause after `LONGEST_HOLD`. `jitter` returns a number in
    [0, 1).
    """

    __slots__ = (
        "_answers",
        "_arrivals",
        "_burst",
        "_expires_at",
        "_held_until",
        "_jitter",
        "_max_age",
        "_rate",
        "_tat",
        "_tellers",
        "tells_demand",
    )

    def __init__(self, spec: AdviceSpec, jitter: Callable[[], float]) -> None:
        super().__init__(Reason.ADVISED, spec)
        self.tells_demand = spec.tell_demand
        self._max_age = spec.max_age
        self._jitter = jitter
        self._arrivals = ArrivalRate(0.0)
        self._tellers: dict[str, _Told] = {}
        self._answers = 0
        self._rate = 0.0
        self._burst = 1.0
        self._tat = 0.0
        self._expires_at = 0.0
        self._held_until = 0.0

    def reconfigure(self, spec: AdviceSpec) -> None:
        """Goes on by `spec`; what the callee has said stands as long as it was to."""
        self.spec = spec
        self.tells_demand = spec.tell_demand
        self._max_age = spec.max_age

    def advised(self, advice: RateAdvice, now: float) -> None:
        """Takes in what an answer says."""
        if advice.hold > 0.0:
            hold = min(advice.hold, LONGEST_HOLD)
            hold += SPREAD * hold * self._jitter()
            self._held_until = max(self._held_until, now + hold)
        if advice.rate is None:
            return
        if now >= self._expires_at:
            self._tellers.clear()
        self._hear(advice.teller, max(advice.rate, SLOWEST), advice.burst)
        self._tat = min(self._tat, now + self._burst / self._rate)
        kept = min(LONGEST_HOLD, STEPS_KEPT / self._rate)
        self._expires_at = now + max(self._max_age, kept)

    def _hear(self, teller: str, rate: float, burst: float) -> None:
        """Adds up what all instances say."""
        tellers = self._tellers
        self._answers += 1
        if teller in tellers or len(tellers) < MOST_TELLERS:
            tellers[teller] = _Told(rate, burst, self._answers)
        oldest = self._answers - SILENCE * len(tellers)
        self._rate = self._burst = 0.0
        for name, told in list(tellers.items()):
            if told.answer < oldest:
                del tellers[name]
            else:
                self._rate += told.rate
                self._burst += told.burst

    def rate(self, now: float) -> float | None:
        """Requests per second that may be sent; None while there is no advice."""
        if now < self._held_until:
            return 0.0
        return self._rate if now < self._expires_at else None

    def demand(self, now: float) -> float:
        """Requests per second that would be sent to each instance, were it not for the advice: for
        the callee to know, if `tells_demand`.
        """
        return self._arrivals.per_second(now) / max(1, len(self._tellers))

    def wait(self, now: float) -> float:
        """See `Gate`."""
        self._arrivals.count(now)
        return self.wait_again(now)

    def wait_again(self, now: float) -> float:
        """See `Gate`."""
        if now < self._held_until:
            return self._held_until - now
        if now >= self._expires_at:
            return 0.0
        return max(0.0, self._tat - now - (self._burst - 1.0) / self._rate)

    def sent(self, now: float) -> int:
        """See `Gate`."""
        if now < self._expires_at:
            self._tat = max(self._tat, now) + 1.0 / self._rate
        return 0

    def ended(self, stamp: int, outcome: Outcome, latency: float, now: float) -> None:
        """See `Gate`. It learns by what answers say, not by how they went."""
