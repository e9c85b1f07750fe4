"""A rate that callers share fairly, and are told their share of."""

from typing import Final

from proxy.policy.arrival_rate import ArrivalRate
from proxy.policy.fair_share import fair_level
from proxy.policy.gcra import Receipt
from proxy.policy.rate import RateLimiter
from proxy.policy.snapshot import SharedRateSpec

STEP: Final = 0.1
"""Seconds between two sharings out."""

SOON: Final = 0.01
"""The same where somebody has come."""

USE: Final = 0.98
"""The part of the rate that is shared out. Callers who keep to their shares come at random moments
all the same: with all of the rate in use its bucket would be empty again and again (M/D/1)."""

GROWTH: Final = 2.0
"""A caller is taken to want no more than so many times what it has lately asked for, whatever it
claims: what it does not use goes back to the others within a second or two."""

PRESSED: Final = 1.5
"""From so many times the share on a caller is taken at its word. Who wants a little more than that
finds no request to send at some moments when it might, and uses less: what it asks for counts."""

GONE: Final = 3.0
"""A caller who lets pass the time of so many of its requests without one asks for fewer now: that
comes to pass by accident once in twenty times (e^-3)."""

BURST: Final = 0.2
LEAST_BURST: Final = 8.0
"""The seconds' worth of its share that a caller may have saved up, and the least requests: twice
what one who obeys sends at once (`proxy.policy.advice`), for what the network does to distances
and the old share that some are still sent by."""

MOST_CALLERS: Final = 1000
FORGOTTEN: Final = 10.0
"""Callers that are told apart; further ones count with those who don't say who they are. One that
has not come for `FORGOTTEN` seconds makes room."""

OTHERS: Final = b""
"""The key of all who don't say who they are: together they are one caller."""


class _Caller:
    """`wants` is what it says that it would send in a second, below zero if it says nothing."""

    __slots__ = ("arrivals", "filled_at", "seen_at", "tokens", "wants")

    def __init__(self, now: float, guess: float) -> None:
        self.arrivals = ArrivalRate(now, guess)
        self.wants = -1.0
        self.tokens = LEAST_BURST
        self.filled_at = now
        self.seen_at = now

    def fill(self, rate: float, now: float) -> None:
        """Adds the tokens since the last time, at `rate`."""
        if now > self.filled_at:
            most = max(LEAST_BURST, BURST * rate)
            self.tokens = min(most, self.tokens + rate * (now - self.filled_at))
            self.filled_at = now


class SharedRateLimiter(RateLimiter):
    """A rate for all, of which each caller may use its max-min fair share, and no more.

    Every `STEP` the demands are looked at, and `share` is what one caller may have at most
    (`fair_level`). It is the same number for all, and so that of a caller who comes for the first
    time as well; who wants less is not limited by it. Keys are the callers', or `OTHERS`. A caller
    wants what it says (`told`), within `GROWTH` of what it has lately asked for; who says nothing
    wants what it asks for.
    """

    __slots__ = ("_callers", "_due", "share")

    def __init__(self, spec: SharedRateSpec) -> None:
        super().__init__(spec)
        self._callers: dict[bytes, _Caller] = {}
        self._due = 0.0
        self.share = spec.rate * USE

    @property
    def keys(self) -> int:
        """How many callers there are, all others being one."""
        return len(self._callers)

    def told(self, key: bytes, wants: float, now: float) -> None:
        """The caller `key` says that it would send so many requests in a second."""
        caller = self._callers.get(key) or self._enter(key, now)
        if key in self._callers:
            caller.wants = wants

    def check(self, key: bytes, now: float) -> float:
        """See `Gcra`. It counts as a request of the caller's."""
        if now >= self._due:
            self._share_out(now)
        caller = self._callers.get(key) or self._enter(key, now)
        caller.arrivals.count(now)
        caller.seen_at = now
        caller.fill(self.share, now)
        wait = 0.0 if caller.tokens >= 1.0 else (1.0 - caller.tokens) / self.share
        return max(wait, super().check(OTHERS, now))

    def charge(self, key: bytes, now: float) -> Receipt:
        """See `Gcra`."""
        (self._callers.get(key) or self._enter(key, now)).tokens -= 1.0
        return super().charge(OTHERS, now)

    def refund(self, key: bytes, receipt: Receipt, now: float) -> None:
        """See `Gcra`."""
        caller = self._callers.get(key)
        if caller is not None and self._tats.get(OTHERS) == receipt[1]:
            caller.tokens += 1.0
        super().refund(OTHERS, receipt, now)

    def busiest(self, now: float, most: int) -> list[tuple[bytes, float, float | None]]:
        """The callers that ask for most: key, what they ask for and what they say they want, in
        requests per second.
        """
        asked = [
            (caller.arrivals.per_second(now), key, caller.wants)
            for key, caller in self._callers.items()
        ]
        asked.sort(reverse=True)
        return [(key, asks, None if wants < 0.0 else wants) for asks, key, wants in asked[:most]]

    def _enter(self, key: bytes, now: float) -> _Caller:
        """A caller that is not known yet: the one that all others are when there are too many."""
        if len(self._callers) >= MOST_CALLERS:
            key = OTHERS
        caller = self._callers.get(key)
        if caller is None:
            # Until something is known of it it is taken to want all that it may have.
            caller = self._callers[key] = _Caller(now, self.share)
            self._due = min(self._due, now + SOON)
        return caller

    def _share_out(self, now: float) -> None:
        self._due = now + STEP
        demands: list[float] = []
        for key, caller in list(self._callers.items()):
            if now - caller.seen_at >= FORGOTTEN:
                del self._callers[key]
                continue
            asked, silence = caller.arrivals.per_second(now), now - caller.seen_at
            if asked * silence > GONE:
                asked = GONE / silence
            if caller.wants > PRESSED * self.share:
                asked = max(asked, min(caller.wants, GROWTH * asked))
            demands.append(asked)
        self.share = max(fair_level(demands, self.spec.rate * USE), 1e-6)
