"""How many requests are in flight at once, and who waits for a place."""

from collections import OrderedDict

from proxy.policy.snapshot import ConcurrencySpec, QueueOrder

STANDING_QUEUE_SECONDS = 0.1
"""A queue that has not been empty for so long doesn't drain. Maurer, "Fail at Scale", ACM Queue
13(8), 2015, uses 100 ms, as CoDel does (RFC 8289: its INTERVAL, a round trip with room to spare).
"""

UNBOUNDED = 1 << 32
"""More than can ever be in flight."""


class _Queue:
    """The waiters of one key, oldest first, since the moment when nobody waited."""

    __slots__ = ("since", "tickets")

    def __init__(self, since: float) -> None:
        self.since = since
        self.tickets: OrderedDict[object, None] = OrderedDict()


class ConcurrencyLimiter:
    """At most `concurrency` permits out and `queue` waiters, for each key.

    It counts and orders, no more: callers ask `has_room` before they `acquire` and `can_queue`
    before they `enqueue`, and watch the waiters' deadlines. After a `release`, a `remove` or a
    `reconfigure`, `next_waiter` names those who may acquire now. A ticket is any hashable object
    and waits once at a time.

    In shadow mode there is room for everybody, and those who wait from before may all go.

    A key is forgotten when nothing is in flight and nobody waits, so memory is bounded by the
    requests at hand. All is O(1), but `keys_with_waiters`.
    """

    __slots__ = ("_in_flight", "_most", "_queues", "in_flight", "spec", "waiting")

    def __init__(self, spec: ConcurrencySpec) -> None:
        self.reconfigure(spec)
        self.in_flight = 0
        self.waiting = 0
        self._in_flight: dict[bytes, int] = {}
        self._queues: dict[bytes, _Queue] = {}

    def in_flight_of(self, key: bytes) -> int:
        """How many permits of `key` are out."""
        return self._in_flight.get(key, 0)

    def is_free(self, key: bytes) -> bool:
        """Whether a permit is, whoever may wait for it."""
        return self._in_flight.get(key, 0) < self._most

    def has_room(self, key: bytes) -> bool:
        """Whether a newcomer may acquire: a permit is free and nobody waits for it."""
        return self._in_flight.get(key, 0) < self._most and key not in self._queues

    def acquire(self, key: bytes) -> None:
        """Takes a permit."""
        self._in_flight[key] = self._in_flight.get(key, 0) + 1
        self.in_flight += 1

    def release(self, key: bytes) -> None:
        """Gives a permit back. Raises KeyError when none is out."""
        left = self._in_flight[key] - 1
        if left:
            self._in_flight[key] = left
        else:
            del self._in_flight[key]
        self.in_flight -= 1

    def can_queue(self, key: bytes) -> bool:
        """Whether one more may wait."""
        queue = self._queues.get(key)
        return (0 if queue is None else len(queue.tickets)) < self.spec.queue

    def enqueue(self, key: bytes, ticket: object, now: float) -> None:
        """Lets `ticket` wait. Raises ValueError if it does already."""
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(now)
        elif ticket in queue.tickets:
            raise ValueError("a ticket waits once at a time")
        queue.tickets[ticket] = None
        self.waiting += 1

    def remove(self, key: bytes, ticket: object) -> None:
        """Takes out a waiter that left. Raises KeyError if it doesn't wait."""
        del self._queues[key].tickets[ticket]
        self._one_less(key)

    def next_waiter(self, key: bytes, now: float) -> object | None:
        """Takes out the waiter who may acquire now; None if nobody waits or no permit is free.

        First come, first served. With `ADAPTIVE_LIFO` the newest goes first while the queue has
        stood for `STANDING_QUEUE_SECONDS`: the oldest have waited so long that their clients may
        be gone, and serving them first would make everybody late.
        """
        queue = self._queues.get(key)
        if queue is None or self._in_flight.get(key, 0) >= self._most:
            return None
        newest = (
            self.spec.order is QueueOrder.ADAPTIVE_LIFO
            and now - queue.since >= STANDING_QUEUE_SECONDS
        )
        ticket, _ = queue.tickets.popitem(last=newest)
        self._one_less(key)
        return ticket

    def keys_with_waiters(self) -> list[bytes]:
        """The keys that somebody waits for."""
        return list(self._queues)

    def reconfigure(self, spec: ConcurrencySpec) -> None:
        """Goes on by `spec`, which has the same `per`. Those in flight and waiting stay: under a
        lowered limit nobody enters until enough have left; after a raised one the caller asks
        `next_waiter` for all `keys_with_waiters`.
        """
        self.spec = spec
        self._most = UNBOUNDED if spec.shadow else spec.concurrency

    def _one_less(self, key: bytes) -> None:
        self.waiting -= 1
        if not self._queues[key].tickets:
            del self._queues[key]
