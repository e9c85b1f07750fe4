"""What came of it: counted by when it happened."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

GOOD = 0.25
"""Seconds within which an answer still is one."""


def percentile(values: Sequence[float], share: float) -> float:
    """0.0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class Tally:
    """What happened in a stretch of time; durations in seconds, from each attempt's sending.

    `kept` are those of the `wanted` that had a good answer in the end, whenever that was.
    """

    wanted: int = 0
    kept: int = 0
    good: int = 0
    late: int = 0
    failed: int = 0
    left: int = 0
    successes: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        self.wanted += other.wanted
        self.kept += other.kept
        self.good += other.good
        self.late += other.late
        self.failed += other.failed
        self.left += other.left
        self.successes += other.successes
        self.refusals += other.refusals

    def success_within(self, share: float) -> float:
        return percentile(self.successes, share)

    def refusal_within(self, share: float) -> float:
        return percentile(self.refusals, share)


class Account:
    """Tallies by path and by slice of a tenth of a second."""

    def __init__(self, begins_at: float) -> None:
        self._begins_at = begins_at
        self._slices: dict[tuple[str, int], Tally] = defaultdict(Tally)

    def _at(self, path: str, now: float) -> Tally:
        return self._slices[path, int((now - self._begins_at) * 10.0)]

    def wanted(self, path: str, now: float) -> None:
        self._at(path, now).wanted += 1

    def refused(self, path: str, took: float, now: float) -> None:
        self._at(path, now).refusals.append(took)

    def left(self, path: str, now: float) -> None:
        self._at(path, now).left += 1

    def answered(self, path: str, status: int, took: float, began_at: float, now: float) -> None:
        """After an attempt that `took` so long, of a visit that began at `began_at`."""
        tally = self._at(path, now)
        if status >= 500:
            tally.failed += 1
        elif took <= GOOD:
            tally.good += 1
            self._at(path, began_at).kept += 1
            tally.successes.append(took)
        else:
            tally.late += 1
            tally.successes.append(took)

    def between(self, begin: float, end: float, path: str | None = None) -> Tally:
        """What happened from `begin` to `end`, in seconds since the beginning; of one path."""
        total = Tally()
        first, last = round(begin * 10), round(end * 10)
        for (of, place), tally in self._slices.items():
            if first <= place < last and path in {None, of}:
                total.add(tally)
        return total
