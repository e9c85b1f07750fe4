"""Less than the whole rate for an upstream that is still cold."""

from math import inf, sqrt

COLD_SPEED = 1 / 3
"""Guava's `coldFactor` of 3 (com.google.common.util.concurrent.SmoothRateLimiter)."""


class WarmUpClock:
    """A clock that goes at a third of the speed when cold, and at full speed once warm.

    Whatever is paced by this clock instead of the real one keeps all its promises, at a rate that
    grows from a third to the whole; the clock never goes faster than real time. Its speed grows
    linearly over `warm_up` seconds (> 0), as the rate of Guava's SmoothWarmingUp does, though
    there over the permits taken and not over time.

    It starts cold, or warm and showing the real time if `warm_at` is given. It is cold again when
    what it paces has been at rest for `warm_up` seconds; that can't be while somebody still waits
    for a token. `now` is real time, in seconds; times of this clock are called slow.
    """

    __slots__ = ("_busy_until", "_lost", "_warm_up", "_warming_since")

    def __init__(self, warm_up: float, warm_at: float | None = None) -> None:
        self._warm_up = warm_up
        self._lost = 0.0
        self._warming_since = inf if warm_at is None else warm_at - warm_up
        self._busy_until = -inf if warm_at is None else warm_at
        if warm_at is not None:
            self._lost = self.read(warm_at) - warm_at

    def read(self, now: float) -> float:
        """The slow time. Reading it at rest makes the clock cold again, if it is time."""
        warmth = self._warmth(now)
        gap = 1.0 - COLD_SPEED
        slow = now - self._lost - gap * warmth * (1.0 - warmth / (2.0 * self._warm_up))
        if slow - self._busy_until >= self._warm_up:
            self._lost = now - slow
            self._warming_since = now
        return slow

    def speed(self, now: float) -> float:
        """From `COLD_SPEED` to 1, as of the last `read`."""
        return COLD_SPEED + (1.0 - COLD_SPEED) * self._warmth(now) / self._warm_up

    def real_seconds(self, slow_seconds: float, now: float) -> float:
        """How long it will take from `now` until `slow_seconds` of this clock have passed."""
        speed = self.speed(now)
        rest = self._warm_up - self._warmth(now)
        until_warm = rest * (speed + 1.0) / 2.0
        if slow_seconds >= until_warm:
            return rest + slow_seconds - until_warm
        # speed * x + growth / 2 * x ** 2 = slow_seconds, solved so that nothing cancels out.
        growth = (1.0 - COLD_SPEED) / self._warm_up
        return 2.0 * slow_seconds / (speed + sqrt(speed * speed + 2.0 * growth * slow_seconds))

    def busy(self, until: float) -> None:
        """What this clock paces will not be at rest before `until`, in slow time."""
        self._busy_until = max(self._busy_until, until)

    def _warmth(self, now: float) -> float:
        return min(max(now - self._warming_since, 0.0), self._warm_up)
