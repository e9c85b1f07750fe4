"""Stored responses by key, in bounded memory."""

from collections import deque
from typing import Final

from proxy.policy.stored_response import ENTRY_BYTES, StoredResponse

SMALL_SHARE: Final = 10
"""A tenth of the memory is for newcomers, as in the paper."""

MOST_HITS: Final = 3
"""Uses of an entry that count: two bits, as in the paper."""

LEAST_GHOSTS: Final = 1024
"""So many that left are remembered at least, for tables of few large entries."""

Value = StoredResponse | tuple[bytes, ...]
"""A response; or the names in `Vary`, by which its variants are told apart."""


class _Entry:
    __slots__ = ("hits", "key", "main", "size", "value")

    def __init__(self, key: bytes, main: bool) -> None:
        self.key = key
        self.main = main
        self.hits = 0
        self.size = 0
        self.value: Value | None = None


class StoredTable:
    """At most `most_bytes`, the keys and each entry's overhead included.

    S3-FIFO (Yang, Zhang, Qiu, Yue and Vigfusson, "FIFO queues are all you need for cache
    eviction", SOSP 2023): newcomers queue in a small part and leave it for the large one only if
    they are used meanwhile, or come back soon after they left (ghosts). So a flood of keys that
    nobody asks for twice passes through the small part and pushes nothing out of the large one.
    No use of an entry moves anything; all methods are O(1), amortised.

    An entry that is dropped keeps its place, empty, until its turn comes: keys that come and go
    leave nothing behind in the queues.
    """

    __slots__ = (
        "_entries", "_ghost_order", "_ghosts", "_main", "_small", "_small_bytes", "bytes",
        "most_bytes",
    )  # fmt: skip

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._small_bytes = 0
        self._entries: dict[bytes, _Entry] = {}
        self._small: deque[_Entry] = deque()
        self._main: deque[_Entry] = deque()
        # Hashes of keys: Python seeds them for each process, so nobody can aim at another's.
        self._ghosts: set[int] = set()
        self._ghost_order: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Value | None:
        """What is kept by `key`; a use of it."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.hits < MOST_HITS:
            entry.hits += 1
        return entry.value

    def put(self, key: bytes, value: Value) -> None:
        """Keeps `value` in the place of what was there; not at all if it alone is too large."""
        size = len(key) + (value.size if isinstance(value, StoredResponse) else ENTRY_BYTES)
        if size > self.most_bytes // SMALL_SHARE:
            self.drop(key)
            return
        entry = self._entries.get(key)
        if entry is None:
            entry = _Entry(key, hash(key) in self._ghosts)
            self._entries[key] = entry
            if entry.main:
                self._ghosts.discard(hash(key))
                self._main.append(entry)
            else:
                self._small.append(entry)
        entry.value = value
        self._resize(entry, size)
        self._make_room()

    def drop(self, key: bytes) -> None:
        """Forgets what is kept by `key`."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.value = None
            self._resize(entry, len(key) + ENTRY_BYTES)

    def limit(self, most_bytes: int) -> None:
        """Keeps at most so many bytes from now on."""
        self.most_bytes = most_bytes
        self._make_room()

    def _resize(self, entry: _Entry, size: int) -> None:
        grown = size - entry.size
        entry.size = size
        self.bytes += grown
        if not entry.main:
            self._small_bytes += grown

    def _make_room(self) -> None:
        while self.bytes > self.most_bytes:
            if self._small and (
                not self._main or self._small_bytes > self.most_bytes // SMALL_SHARE
            ):
                self._leave_small(self._small.popleft())
            else:
                self._leave_main(self._main.popleft())

    def _leave_small(self, entry: _Entry) -> None:
        if entry.hits > 1 and entry.value is not None:
            entry.main = True
            entry.hits = 0
            self._small_bytes -= entry.size
            self._main.append(entry)
            return
        self._forget(entry)
        ghost = hash(entry.key)
        self._ghosts.add(ghost)
        self._ghost_order.append(ghost)
        while len(self._ghost_order) > max(LEAST_GHOSTS, len(self._main)):
            self._ghosts.discard(self._ghost_order.popleft())

    def _leave_main(self, entry: _Entry) -> None:
        if entry.hits > 0 and entry.value is not None:
            entry.hits -= 1
            self._main.append(entry)
        else:
            self._forget(entry)

    def _forget(self, entry: _Entry) -> None:
        del self._entries[entry.key]
        self._resize(entry, 0)
