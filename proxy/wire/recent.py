"""What was worked out lately, kept by what it was worked out from."""

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """At most twice `most` values, in two generations.

    When the younger one, `latest`, is full, the older one is forgotten and it takes its place:
    what is asked for now and then always survives, and nothing is kept in order. So a flood of
    new keys costs each of them one insertion, and the others a second look-up once a generation.

    Hot code asks `latest` itself before it calls `find`. The size of keys and values is the
    caller's to bound.
    """

    __slots__ = ("_most", "_older", "latest")

    def __init__(self, most: int) -> None:
        self._most = most
        self.latest: dict[Key, Value] = {}
        self._older: dict[Key, Value] = {}

    def find(self, key: Key) -> Value | None:
        """The value of `key`, None when it is not known (any more)."""
        value = self.latest.get(key)
        if value is None:
            value = self._older.get(key)
            if value is not None:
                self.keep(key, value)
        return value

    def keep(self, key: Key, value: Value) -> None:
        """Keeps `value`, which is not None, until so many others are that it is forgotten."""
        if len(self.latest) >= self._most:
            self._older = self.latest
            self.latest = {}
        self.latest[key] = value
