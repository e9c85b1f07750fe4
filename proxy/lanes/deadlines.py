"""Time-outs that hardly ever come, for nearly nothing."""

import asyncio
import logging
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from time import monotonic
from typing import Final

TICK: Final = 0.02
"""Seconds that a deadline may be late, the event loop's own lag aside; it is never early."""

LONGEST_LOOK: Final = 60.0
"""Seconds after which there is another look at one that is further off: so there are at most
LONGEST_LOOK / TICK slots, whatever time-outs the rules have."""

logger = logging.getLogger(__name__)


class Deadline:
    """A moment at which `due` is called, unless it is put off or cleared before.

    Both cost an assignment: nothing is scheduled while a moment no later is waited for already,
    and when that comes there is another look. Times are monotonic seconds. `close` it at the end.
    """

    __slots__ = ("_due", "_looks_at", "_slot", "_wheel", "at")

    def __init__(self, wheel: "DeadlineWheel", due: Callable[[float], None]) -> None:
        self._wheel = wheel
        self._due = due
        self._looks_at = inf
        self._slot: set[Deadline] = wheel.nowhere
        self.at = inf

    def set(self, at: float) -> None:
        """Calls `due` with the time then, soon after `at`; whatever was set before is void."""
        self.at = at
        if at < self._looks_at:
            self._slot.discard(self)
            self._looks_at, self._slot = self._wheel.add(self, at)

    def clear(self) -> None:
        """Nothing is due."""
        self.at = inf

    def close(self) -> None:
        """Nothing will be due any more, and the wheel forgets about it."""
        self._slot.discard(self)
        self._looks_at = self.at = inf

    def look(self, now: float) -> None:
        """Of the wheel: the moment has come that `add` told, and it is out of its slot."""
        self._looks_at = inf
        if self.at <= now:
            self.at = inf
            self._due(now)
        elif self.at < inf:
            self.set(self.at)


class DeadlineWheel:
    """Holds deadlines in slots of `TICK` seconds, with one timer for the next slot in use.

    A timing wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987), hashed
    by slot: a dictionary grows and shrinks where theirs is a ring, and a heap knows the next slot.
    Adding is O(1), but for the first of a slot; taking out always is.
    """

    __slots__ = ("_clock", "_loop", "_numbers", "_slots", "_timer", "_turning", "nowhere")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = monotonic
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._slots: dict[int, set[Deadline]] = {}
        self._numbers: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._turning = False
        # The slot of those that are in none.
        self.nowhere: set[Deadline] = set()

    def add(self, deadline: Deadline, at: float) -> tuple[float, set[Deadline]]:
        """Has `deadline` looked at once `at` has passed, or sooner: when, and its slot."""
        latest = self._clock() + LONGEST_LOOK
        number = int(min(at, latest) / TICK) + 1
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = set()
            heappush(self._numbers, number)
            if self._numbers[0] == number and not self._turning:
                self._arm()
        slot.add(deadline)
        return number * TICK, slot

    def _arm(self) -> None:
        """Waits for the next slot."""
        if self._timer is not None:
            self._timer.cancel()
        delay = max(0.0, self._numbers[0] * TICK - self._clock())
        self._timer = self._loop.call_later(delay, self._turn)

    def _turn(self) -> None:
        self._timer = None
        self._turning = True
        now = self._clock()
        while self._numbers and self._numbers[0] * TICK <= now:
            slot = self._slots.pop(heappop(self._numbers))
            while slot:
                try:
                    slot.pop().look(now)
                except Exception:
                    logger.exception("a deadline could not be kept")
        self._turning = False
        if self._numbers:
            self._arm()
