"""A legacy shop: so many workers, a queue without end, and no notice of clients that leave."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.events import Events


@dataclass(frozen=True)
class Answer:
    """What the shop says, `seconds` after it began to work on it."""

    seconds: float
    status: int = 200


class Shop:
    """`slots` requests are worked on at a time, each for as long as its `Answer` says; the others
    wait in turn, for however long. Nothing is ever given up: whoever left is served all the same.

    `contention` is by how much each request that waits makes the work of all slower, at most
    three times: threads, memory, locks. `slower` multiplies all times; change it, or `slots`, at
    any moment. A `stopped` shop begins nothing new.
    """

    def __init__(self, events: Events, slots: int = 20, *, contention: float = 0.0) -> None:
        self.slots = slots
        self.slower = 1.0
        self.contention = contention
        self.served = 0
        self.busy = 0
        self.waiting: deque[tuple[Answer, Callable[[int], None]]] = deque()
        self._events = events
        self._stopped = False

    @property
    def in_flight(self) -> int:
        return self.busy + len(self.waiting)

    def ask(self, answer: Answer, told: Callable[[int], None]) -> None:
        """Works `answer` off when its turn comes, and calls `told` with its status."""
        self.waiting.append((answer, told))
        self._work()

    def stop(self) -> None:
        self._stopped = True

    def go_on(self) -> None:
        self._stopped = False
        self._work()

    def _work(self) -> None:
        while self.waiting and self.busy < self.slots and not self._stopped:
            answer, told = self.waiting.popleft()
            self.busy += 1
            strain = min(3.0, 1.0 + self.contention * len(self.waiting))

            def done(answer: Answer = answer, told: Callable[[int], None] = told) -> None:
                self.busy -= 1
                self.served += 1
                told(answer.status)
                self._work()

            self._events.after(answer.seconds * self.slower * strain, done)
