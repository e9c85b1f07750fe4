"""How many requests may wait for an upstream's answer at once, when nobody has said so."""

from collections.abc import Callable
from heapq import heappop, heappush

from proxy.policy.counters import LimitCounters
from proxy.policy.gradient import GradientLimit
from proxy.policy.priority_queue import PriorityQueue
from proxy.policy.snapshot import AdaptiveSpec

FIRST_GUESS = 0.02
"""Seconds that an answer is taken to take until there is one."""

SLOW = 2.0
"""So many times as long as usual: a failure that took longer says something about the load."""

_TOO_MANY = 429
"""What an upstream says that refuses by itself (RFC 6585): quick, and no sign that it is fast."""


class AdaptiveLimiter:
    """Permits for requests on their way to an upstream, as many as `algorithm` finds right, and a
    short `queue` before them.

    A permit is out until the response's head is there: that is the time that `algorithm` is told,
    so the number, the time and the upstream's rate belong together (Little's law); and a download
    or a WebSocket that lasts for minutes takes no place from others.

    Whose client has left gives its permit back only when the upstream would have answered: a
    legacy shop does not notice that nobody waits any more, and works on (`forsaken`).

    As with `ConcurrencyLimiter`, callers ask before they take: `has_room`, then `acquire`;
    `patience`, then `queue.push`; and after anything that may have made room `next_waiter`.
    """

    __slots__ = ("_forsaken", "algorithm", "counters", "in_flight", "queue", "spec")

    def __init__(self, spec: AdaptiveSpec, jitter: Callable[[], float]) -> None:
        self.spec = spec
        self.algorithm = GradientLimit(spec.least, spec.most, jitter)
        self.counters = LimitCounters()
        self.queue = PriorityQueue()
        self.in_flight = 0
        # When the permits of those whose clients have left come back; a heap.
        self._forsaken: list[float] = []

    def has_room(self) -> bool:
        """Whether a newcomer may acquire: a permit is free and nobody waits for it."""
        return self.in_flight < self.algorithm.places and not self.queue.waiting

    def acquire(self) -> int:
        """Takes a permit; how many are out with it."""
        self.in_flight += 1
        return self.in_flight

    def release(self) -> None:
        """Gives the permit of a request back that the upstream never got whole."""
        self.in_flight -= 1

    def answered(self, status: int, latency: float, began_with: int, now: float) -> None:
        """Gives a permit back: the response's head is there `latency` seconds after the request's
        end. `began_with` is what `acquire` returned.
        """
        self.in_flight -= 1
        if status < 500 and status != _TOO_MANY:
            self.algorithm.sample(latency, began_with, self.queue.calm(now), now)
        else:
            self._learn_if_slow(latency, began_with, now)

    def failed(self, age: float, began_with: int, now: float) -> None:
        """Gives a permit back: the upstream failed, or was too slow, `age` seconds after it had
        the request.
        """
        self.in_flight -= 1
        self._learn_if_slow(age, began_with, now)

    def forsaken(self, age: float, began_with: int, now: float) -> None:
        """Gives a permit back, though not yet: its client left `age` seconds after the upstream
        had the whole request. It counts as long as the upstream's answers take at present.
        """
        self._learn_if_slow(age, began_with, now)
        left = self.algorithm.latency - age
        if left > 0.0:
            heappush(self._forsaken, now + left)
        else:
            self.in_flight -= 1

    def _learn_if_slow(self, latency: float, began_with: int, now: float) -> None:
        """What fails can tell that the upstream is slow, but never that it is fast: a refused
        connection takes no time.
        """
        if latency > SLOW * self.algorithm.latency > 0.0:
            self.algorithm.sample(latency, began_with, self.queue.calm(now), now)

    def reap(self, now: float) -> bool:
        """Takes back the forsaken permits that are due; whether there were any."""
        forsaken = self._forsaken
        if not forsaken or forsaken[0] > now:
            return False
        while forsaken and forsaken[0] <= now:
            heappop(forsaken)
            self.in_flight -= 1
        return True

    def in_flight_at(self, now: float) -> int:
        """How many permits are out, without those that are due: for who only looks."""
        return self.in_flight - sum(1 for due in self._forsaken if due <= now)

    @property
    def served_per_second(self) -> float:
        """How many requests the upstream takes in a second, by Little's law; a guess at first."""
        algorithm = self.algorithm
        latency = algorithm.latency
        return algorithm.limit / (latency if latency > 0.0 else FIRST_GUESS)

    def patience(self, priority: int, now: float) -> float:
        """See `PriorityQueue`."""
        latency = self.algorithm.latency
        return self.queue.patience(priority, self.served_per_second, latency, now)

    def surplus(self, priority: int, now: float) -> object | None:
        """Takes out a waiter whose place one of `priority` has taken."""
        latency = self.algorithm.latency
        return self.queue.surplus(priority, self.served_per_second, latency, now)

    def next_waiter(self, now: float) -> object | None:
        """Takes out the waiter who may acquire now; None if nobody waits or no permit is free."""
        if self.in_flight >= self.algorithm.places:
            return None
        return self.queue.pop(now)

    def reconfigure(self, spec: AdaptiveSpec) -> None:
        """Goes on between other bounds, from where it is."""
        self.spec = spec
        self.algorithm.reconfigure(spec.least, spec.most)
