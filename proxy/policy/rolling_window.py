"""Counts of what has happened lately."""

from typing import Final

BUCKETS: Final = 10
"""A window's parts, as in Hystrix and resilience4j: what is forgotten is forgotten a tenth of the
window at a time."""


class RollingWindow:
    """Counts events of `kinds` kinds, numbered from 0, that are not older than `span` seconds.

    Time is cut into buckets of a tenth of `span`. The bucket of now and the nine before it count,
    so an event is forgotten after nine to ten tenths of `span`, never later. `totals` are the
    counts as of the last call that was told the time. Every call is O(1), whatever has happened.
    """

    __slots__ = ("_counts", "_kinds", "_newest", "_width", "span", "totals")

    def __init__(self, span: float, kinds: int) -> None:
        self.span = span
        self.totals = [0] * kinds
        self._kinds = kinds
        self._width = span / BUCKETS
        self._newest = 0
        self._counts = [0] * (kinds * BUCKETS)

    def add(self, kind: int, now: float) -> int:
        """Counts an event of now; the stamp to take it back with."""
        newest = self.advance(now)
        self._counts[newest % BUCKETS * self._kinds + kind] += 1
        self.totals[kind] += 1
        return newest

    def take_back(self, kind: int, stamp: int, now: float) -> None:
        """Counts an event no more that was added with `stamp`, unless it is forgotten. A stamp of
        another window, whose buckets are of other lengths, hardly ever fits.
        """
        newest = self.advance(now)
        if newest - BUCKETS < stamp <= newest:
            place = stamp % BUCKETS * self._kinds + kind
            if self._counts[place] > 0:
                self._counts[place] -= 1
                self.totals[kind] -= 1

    def advance(self, now: float) -> int:
        """Forgets what is too old at `now`; the stamp of what happens now."""
        bucket = int(now // self._width)
        newest = self._newest
        if bucket <= newest:
            return newest
        kinds, counts, totals = self._kinds, self._counts, self.totals
        for passed in range(max(newest, bucket - BUCKETS) + 1, bucket + 1):
            first = passed % BUCKETS * kinds
            for kind in range(kinds):
                totals[kind] -= counts[first + kind]
                counts[first + kind] = 0
        self._newest = bucket
        return bucket

    def clear(self) -> None:
        """Forgets all."""
        self.totals = [0] * self._kinds
        self._counts = [0] * (self._kinds * BUCKETS)
