"""How many come in a second, lately."""

from math import exp
from typing import Final

STEP: Final = 0.1
"""Seconds that are counted before they are weighed."""

SHORTEST_MEMORY: Final = 0.5
LONGEST_MEMORY: Final = 10.0
SAMPLE: Final = 4.0
"""Seconds after which what came counts by 1/e: as many as it takes for `SAMPLE` arrivals, within
bounds. So a change is known in half a second where many come, and one a second is not taken for
ten, and none, in turn. Of 50 a second at random the average is wrong by a seventh."""

JUMP: Final = 2.0
"""When `SAMPLE` more come than so many times as many as were to be expected, that is no accident,
and there is no need to wait for more of them."""


class ArrivalRate:
    """An average of arrivals per second that forgets exponentially; `guess` stands for it until the
    first `STEP` is over, and the plain average after that, until there is something to forget.

    `now` is in monotonic seconds. Where nothing came for `LONGEST_MEMORY`, or nobody asked, it
    begins anew, without a guess.
    """

    __slots__ = ("_arrivals", "_began_at", "_rate", "_since")

    def __init__(self, now: float, guess: float = 0.0) -> None:
        self._rate = guess
        self._arrivals = 0
        self._since = now
        self._began_at = now

    def count(self, now: float) -> None:
        """One more has come."""
        span = now - self._since
        if span > LONGEST_MEMORY:
            self._rate = 0.0
            self._arrivals = 0
            self._since = self._began_at = now
        elif span >= STEP:
            # A rest before it says nothing about how close together the next ones come.
            self.per_second(now)
        self._arrivals += 1

    def per_second(self, now: float) -> float:
        """The rate now."""
        span = now - self._since
        if span >= STEP:
            memory = LONGEST_MEMORY
            if self._rate * LONGEST_MEMORY > SAMPLE:
                memory = max(SHORTEST_MEMORY, SAMPLE / self._rate)
            weight = max(1.0 - exp(-span / memory), span / (now - self._began_at))
            arrivals = self._arrivals
            if arrivals > JUMP * self._rate * span + SAMPLE:
                weight = max(weight, arrivals / (arrivals + SAMPLE))
            self._rate += weight * (arrivals / span - self._rate)
            self._arrivals = 0
            self._since = now
        return self._rate
