"""Who waits for a place upstream: the important first, nobody for long."""

from collections import OrderedDict
from math import inf
from typing import Final

from proxy.policy.priority import Priority

TARGET: Final = 0.005
"""Seconds: who has waited for longer when its queue begins to stand is refused. CoDel's TARGET (RFC
8289 section 4.2).
"""

INTERVAL: Final = 0.1
"""Seconds that anybody waits at most who is not important. CoDel's INTERVAL (RFC 8289 section
4.3); Maurer, "Fail at Scale", ACM Queue 13(8), 2015, has requests wait for the same two times.
"""

PATIENCE: Final = 2.0
LONGEST_WAIT: Final = 1.0
"""The important wait up to so many times as long as answers take, if that is more; and up to so
many seconds, as visitors are impatient. RFC 8289 section 4.3 wants an INTERVAL of a round trip at
its worst, and rightly: where answers take 500 ms, chance alone has the queue of few important ones
stand for 100 ms, and 39 % of the critical were refused that asked for half of the capacity. With
once as long 5 % were, at 80 % of the capacity, with twice as long none.
"""

CALM: Final = 1.0
"""Seconds after which the last refusal is history."""

ROOM: Final = 0.0125
"""While the queue stands no more wait than are served in this share of the time that they may wait:
usually 1.25 ms. With twice as much p99 of the refusals is 7 ms instead of 4 at 2.5 times the
capacity, as who has been overtaken waits in vain; with none at all permits go to whoever comes,
important or not (tests/simulation/README.md).
"""

CRITICAL_ROOM: Final = TARGET / INTERVAL
"""The same of critical ones: usually `TARGET`. Nobody should overtake them by chance. Where they
want all of the capacity, 98 % of them are served instead of 89; where they want 80 % of that of a
shop whose answers take 500 ms, nearly none are refused, instead of a fifth in half of all runs.
Who is overtaken then waits in vain: of a flood of nothing else at 3 times the capacity one in a
hundred for 100 ms, with twice the room four.
"""

LONGEST_STAND: Final = 32.0
"""Seconds that a queue stands, while refusals go on, before it may grow again: a `CALM` at first,
then twice as long each time that it fills up at once.
"""

REGROWTH: Final = 0.4
"""Of what is served meanwhile, for so much more there is room in a queue that has stood. So where a
priority gets that much more than is served, room is full at once, and few have begun to wait who
are refused after all; a burst finds it.
"""

_LEVELS: Final = len(Priority)


class _Level:
    """The waiters of one priority, oldest first, with the moment since when each waits.

    `ahead` are the waiters of this priority and of higher ones. It stands from `stood_at` until
    `stands_until`, `stand` seconds in all, or a `CALM` after the last refusal (`refused_at`), with
    this `room`.
    """

    __slots__ = ("ahead", "refused_at", "room", "stand", "stands_until", "stood_at", "tickets")

    def __init__(self, room: float) -> None:
        self.room = room
        self.tickets: OrderedDict[object, float] = OrderedDict()
        self.ahead = 0
        self.stand = 0.0
        self.refused_at = -CALM
        self.stood_at = 0.0
        self.stands_until = -CALM


class PriorityQueue:
    """Waiters by priority, of equals the first come first, or the newest while their queue stands;
    kept short as CoDel keeps its queue.

    A burst may wait for `INTERVAL`: it is over by then, or it is no burst (the important may wait
    for longer where answers are slow: `PATIENCE`). So as many may wait as are served in it. When
    more come, or one has waited for so long, the queue *stands*: those who have waited for more
    than `TARGET` are refused (`stale`), and newcomers but for a few (`ROOM`; one at least); the
    newest goes first (Maurer: adaptive LIFO). Later its room grows back (`REGROWTH`), unless it is
    full at once. Each priority stands by itself, and counts only those ahead of it: a flood of
    unimportant requests leaves the important ones their burst, and when one of these comes, those
    go for whom there is no room any more (`surplus`).

    CoDel's sign that a queue stands is another, no wait below `TARGET` for an `INTERVAL`. It is met
    by chance at four fifths of the capacity, and important requests would be refused that need not.

    It counts and orders, no more: callers watch the waiters' patience. All is O(1).
    """

    __slots__ = ("_levels", "_refused_at", "waiting")

    def __init__(self) -> None:
        self._levels = [
            _Level(CRITICAL_ROOM if each is Priority.CRITICAL else ROOM) for each in Priority
        ]
        self._refused_at = -inf
        self.waiting = 0

    def calm(self, now: float) -> float:
        """Seconds since anybody was refused; infinite if nobody ever was."""
        return now - self._refused_at

    def patience(
        self, priority: int, served_per_second: float, latency: float, now: float
    ) -> float:
        """Seconds that a newcomer may wait; 0.0 when it is to be refused at once. `latency` is how
        long answers take at present.
        """
        level = self._levels[priority]
        stands = _stands(level, now)
        interval = _interval(priority, latency)
        if level.ahead < _room(level, served_per_second, interval, now):
            return interval
        if not stands:
            _stand(level, now)
        level.refused_at = self._refused_at = now
        return 0.0

    def push(self, ticket: object, priority: int, now: float) -> None:
        """Lets `ticket` wait. Raises ValueError if it does already."""
        levels = self._levels
        tickets = levels[priority].tickets
        if ticket in tickets:
            raise ValueError("a ticket waits once at a time")
        tickets[ticket] = now
        self.waiting += 1
        for place in range(priority + 1):
            levels[place].ahead += 1

    def surplus(
        self, priority: int, served_per_second: float, latency: float, now: float
    ) -> object | None:
        """Takes out a waiter less important than `priority` that has no room any more: the one
        that would be served last. None if there is room.
        """
        for place in range(priority):
            level = self._levels[place]
            if level.tickets:
                interval = _interval(place, latency)
                if level.ahead - 1 < _room(level, served_per_second, interval, now):
                    return None
                ticket, _ = level.tickets.popitem(last=not _stands(level, now))
                self._one_less(place)
                self._refused_at = now
                # After a calm its room is whole, and stays so until a newcomer finds none.
                if now - level.refused_at < CALM:
                    level.refused_at = now
                return ticket
        return None

    def pop(self, now: float) -> object | None:
        """Takes out the one whose turn it is; None when nobody waits."""
        for place in range(_LEVELS - 1, -1, -1):
            level = self._levels[place]
            if level.tickets:
                ticket, _ = level.tickets.popitem(last=_stands(level, now))
                self._one_less(place)
                return ticket
        return None

    def stale(self, priority: int) -> object | None:
        """Takes out a waiter of `priority` that had waited for more than `TARGET` when its queue
        began to stand; None when there is none.
        """
        level = self._levels[priority]
        tickets = level.tickets
        if tickets:
            ticket = next(iter(tickets))
            if level.stood_at - tickets[ticket] > TARGET:
                self.remove(ticket, priority)
                return ticket
        return None

    def remove(self, ticket: object, priority: int) -> None:
        """Takes out a waiter that left. Raises KeyError if it doesn't wait."""
        del self._levels[priority].tickets[ticket]
        self._one_less(priority)

    def expire(self, ticket: object, priority: int, now: float) -> None:
        """Takes out a waiter whose patience is over. Raises KeyError if it doesn't wait."""
        self.remove(ticket, priority)
        level = self._levels[priority]
        if not _stands(level, now):
            _stand(level, now)
        level.refused_at = self._refused_at = now

    def _one_less(self, priority: int) -> None:
        self.waiting -= 1
        for place in range(priority + 1):
            self._levels[place].ahead -= 1


def _interval(priority: int, latency: float) -> float:
    if priority < Priority.HIGH:
        return INTERVAL
    return max(INTERVAL, min(LONGEST_WAIT, PATIENCE * latency))


def _room(level: _Level, served_per_second: float, interval: float, now: float) -> float:
    """How many may wait: one at least, unless it would wait in vain."""
    whole = max(1.0, served_per_second * interval)
    if now - level.refused_at >= CALM:
        return whole
    since = now - level.stands_until
    if since < 0.0 and served_per_second * interval < 1.0:
        return 0.0
    return min(whole, max(1.0, served_per_second * max(level.room * interval, REGROWTH * since)))


def _stands(level: _Level, now: float) -> bool:
    return now < level.stands_until and now - level.refused_at < CALM


def _stand(level: _Level, now: float) -> None:
    """The queue of `level` stands, for longer if it has grown again at once."""
    ended_at = min(level.stands_until, level.refused_at + CALM)
    again = now - ended_at < level.stand
    level.stand = min(LONGEST_STAND, 2.0 * level.stand) if again else CALM
    level.stood_at = now
    level.stands_until = now + level.stand
