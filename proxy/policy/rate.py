"""How many requests a second are admitted."""

from proxy.policy.gcra import Gcra
from proxy.policy.snapshot import RateSpec


def _slack(spec: RateSpec) -> float:
    """A microsecond, but no more than a thousandth of a token.

    A full bucket must give all its tokens at one instant, though sums of 1/rate don't add up
    exactly; and who waits as long as told must be admitted.
    """
    return min(1e-6, 1e-3 / spec.rate)


class RateLimiter(Gcra[RateSpec]):
    """Admits `rate` requests per second with bursts of `burst`, for each key.

    Ask with `check`, take with `charge`, give back with `refund`: see `Gcra`.
    """

    __slots__ = ()

    def __init__(self, spec: RateSpec) -> None:
        super().__init__(spec, spec.burst, _slack(spec))

    def remaining(self, key: bytes, now: float) -> int:
        """How many whole tokens `key` could take at `now`."""
        return max(0, int(1.0 + (self._slack - self._excess(key, now)) / self._interval))

    def reconfigure(self, spec: RateSpec, now: float) -> None:
        """Goes on by `spec`, which has the same `per`, with the tokens that are left.

        Nobody has to wait longer than for a bucket as empty as `spec` can make it. O(keys) if
        `spec` fills an empty bucket faster, else O(1).
        """
        faster = spec.burst / spec.rate < self._burst * self._interval
        self._change(spec, spec.burst, _slack(spec), now)
        if faster:
            self._tats.cap(self._time(now) + self._burst * self._interval)
