"""Where limiters keep one number for each key, in bounded memory."""

from collections import deque
from math import inf
from typing import Final

OVERFLOW_CELLS: Final = 1024
"""How many numbers all the keys share that find the table full; a power of two."""

LOOKS_PER_INSERT: Final = 2
"""Entries looked at for each key put in: over one, so that the dead leave faster than keys come."""


class KeyTable:
    """Theoretical arrival times (TAT, see `proxy.policy.gcra`) of at most `max_keys` keys.

    An entry whose TAT is not later than now says the same as no entry, so it may be dropped at
    any time. Each insert looks at a few entries and drops the dead among them; a ring of the keys
    is the hand of the clock (CLOCK: Corbato, "A Paging Experiment with the Multics System", 1968),
    for `next(iter(...))` of a dict walks over all that was deleted from its head.

    A live entry is never dropped. When all are alive, further keys share `OVERFLOW_CELLS` cells,
    chosen by hash: a flood of new keys takes no more memory, and gets the tokens of 1,024 buckets
    instead of a fresh bucket for each key. Python seeds the hash of bytes for each process, so
    nobody can aim at the cell of somebody else.

    What was counted in a cell is not forgotten: a key without an entry reads its cell, and starts
    from there when it gets an entry of its own. The cell itself is then left to cool, so that the
    table recovers as soon as there is room, however many new keys keep coming.

    120 to 170 bytes a key (of 16 to 65 bytes): at most 11 MB for 65,536. All methods
    are O(1), but `cap` and `shift`.
    """

    __slots__ = ("_cells", "_dropped_at", "_ring", "live", "max_keys")

    def __init__(self, max_keys: int) -> None:
        self.max_keys = max_keys
        # The entries, the same dict for good: the hot path looks here before it calls `get`, and
        # may itself change the number of a key that is there.
        self.live: dict[bytes, float] = {}
        self._ring: deque[bytes] = deque()
        self._cells: list[float] = []
        # What a key that isn't here reads at least: with it, no harm is done by a clock that goes
        # back to before the moment at which the key's entry was dropped.
        self._dropped_at = -inf

    def __len__(self) -> int:
        return len(self.live)

    def get(self, key: bytes) -> float:
        """The TAT that binds `key`."""
        tat = self.live.get(key)
        return self.shared(key) if tat is None else tat

    def shared(self, key: bytes) -> float:
        """The same, of a key that is not `live`."""
        if self._cells:
            return max(self._cells[hash(key) & OVERFLOW_CELLS - 1], self._dropped_at)
        return self._dropped_at

    def set(self, key: bytes, tat: float, now: float) -> None:
        """Keeps `tat` for `key`: derived from what `get` returned at the same `now`."""
        if key not in self.live:
            self._drop_dead(now)
            if len(self.live) >= self.max_keys:
                if not self._cells:
                    self._cells = [-inf] * OVERFLOW_CELLS
                self._cells[hash(key) & OVERFLOW_CELLS - 1] = tat
                return
            self._ring.append(key)
        self.live[key] = tat

    def cap(self, latest: float) -> None:
        """Moves to `latest` the TATs that are later. O(n): 6 ms for 65,536 keys."""
        for key, tat in self.live.items():
            if tat > latest:
                self.live[key] = latest
        self._cells = [min(tat, latest) for tat in self._cells]

    def shift(self, seconds: float) -> None:
        """Moves every TAT. O(n)."""
        for key in self.live:
            self.live[key] += seconds
        self._cells = [tat + seconds for tat in self._cells]
        self._dropped_at += seconds

    def _drop_dead(self, now: float) -> None:
        ring, live = self._ring, self.live
        for _ in range(min(LOOKS_PER_INSERT, len(ring))):
            key = ring.popleft()
            if live[key] <= now:
                del live[key]
                self._dropped_at = max(self._dropped_at, now)
            else:
                ring.append(key)
