"""Simulated time: what is to happen, in order."""

from collections.abc import Callable
from heapq import heappop, heappush


class Events:
    """The clock of a simulation. `now` is in seconds and begins at 1000: no rule may depend on
    where a monotonic clock begins.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self._ahead: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Calls `call` at `when`, after what was to be called then already; now if that is past."""
        self._count += 1
        heappush(self._ahead, (max(when, self.now), self._count, call))

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.at(self.now + seconds, call)

    def run(self, until: float) -> None:
        """Lets time pass up to `until`."""
        while self._ahead and self._ahead[0][0] <= until:
            self.now, _, call = heappop(self._ahead)
            call()
        self.now = until
