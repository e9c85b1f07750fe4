"""How late the event loop is: what everybody waits besides all else."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final

PROBE_SECONDS: Final = 0.05
"""Between two timers. A delay longer than that is always met by one, of shorter ones some are."""


class LoopLag:
    """Sets timers and sees how late they come. `start` it, and `stop` it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._worst = 0.0

    def start(self) -> None:
        """Begins; it may have begun already."""
        if self._timer is None:
            self._worst = 0.0
            self._arm()

    def stop(self) -> None:
        """Ends; it may never have begun."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def take(self) -> float:
        """The most seconds that a timer was late since this was asked before, or is just now.

        A jump of the clock, or a process that was stopped, is in one answer and forgotten.
        """
        late = max(self._worst, self._clock() - self._due)
        self._worst = 0.0
        # What is late now has been told: the timer itself tells the rest.
        self._due = max(self._due, self._clock())
        return max(0.0, late)

    def _arm(self) -> None:
        self._due = self._clock() + PROBE_SECONDS
        self._timer = self._loop.call_later(PROBE_SECONDS, self._probe)

    def _probe(self) -> None:
        self._worst = max(self._worst, self._clock() - self._due)
        self._arm()
