"""Path patterns of a document: which are sound, and which take everything that another takes."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from proxy.policy.routes import Pattern, parse_pattern
from proxy.rules.problems import shown
from proxy.wire.target import normalise

T = TypeVar("T")


def pattern(value: object) -> str:
    """A path pattern, as policy understands it, that some request's path can match.

    Raises `ValueError` with a sentence.
    """
    text = value if isinstance(value, str) else ""
    if not text:
        raise ValueError(f"{shown(value)} is not a path pattern such as /items/{{item_id}}")
    parse_pattern(text)
    normal, _ = normalise(text.encode())
    if normal != text:
        raise ValueError(
            f"matches nothing: paths are normalised first, this one to {shown(normal)}"
        )
    return text


class PatternTree(Generic[T]):
    """Patterns with what belongs to them, to ask which of them take all that another takes."""

    def __init__(self) -> None:
        self._inner: dict[str | None, PatternTree[T]] = {}
        self._here: list[T] = []
        self._rest: list[T] = []

    def add(self, pattern: Pattern, value: T) -> None:
        """Remember a pattern."""
        tree = self
        for segment in pattern.segments:
            tree = tree._inner.setdefault(segment, PatternTree())
        (tree._rest if pattern.rest else tree._here).append(value)

    def covering(self, pattern: Pattern, start: int = 0) -> Iterator[T]:
        """What belongs to the patterns that take every path that `pattern` takes."""
        yield from self._rest
        if start == len(pattern.segments):
            if not pattern.rest:
                yield from self._here
            return
        # A parameter takes what a literal takes; no literal takes all that a parameter takes.
        for segment in dict.fromkeys((pattern.segments[start], None)):
            if segment in self._inner:
                yield from self._inner[segment].covering(pattern, start + 1)
