"""What came back of a load, kept so that any stretch of it can be looked at."""

import math
import time
from array import array
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from itertools import islice

GOOD_WITHIN = 0.25
"""Seconds within which an answer is of use: beyond, a visitor has begun to doubt the shop."""
SERVED = range(200, 400)
"""Statuses of who got what was asked for."""
REFUSED = frozenset({429, 503})
"""Statuses that turn a visitor away for now (RFC 6585 section 4, RFC 9110 section 15.6.4)."""


@dataclass(slots=True)
class Result:
    """What came back. Times are seconds; `statuses` and `failures` add up to `sent`.

    `failures` are by kind: `connect`, `closed`, `malformed`, `timeout`, and `not sent` for
    those for which the generator had no connection, or could open none.
    """

    sent: int = 0
    """Requests, first attempts and others."""
    retried: int = 0
    """Those that were a second attempt or a later one."""
    good: int = 0
    """Served within GOOD_WITHIN."""
    sending: float = 0.0
    """How long requests were sent."""
    elapsed: float = 0.0
    """How long it took until the last answer was there or given up."""
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    """Of the answered requests, in order of their answers, as `answered_with` is."""
    answered_with: "array[int]" = field(default_factory=lambda: array("H"))
    lateness: "array[float]" = field(default_factory=lambda: array("d"))
    """How much later than planned the generator came to each first attempt: its own fault."""

    @property
    def answered(self) -> int:
        """How many got an answer, a refusal or not."""
        return len(self.latencies)

    @property
    def failed(self) -> int:
        """How many got none."""
        return self.failures.total()

    def answer(self, status: int, latency: float) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        self.latencies.append(latency)
        self.answered_with.append(status)
        if latency <= GOOD_WITHIN and status in SERVED:
            self.good += 1

    def latency(self, share: float, status: int | None = None) -> float:
        """A quantile of the latencies, of one `status` alone if given; NaN when there is none."""
        return quantile(self._latencies(None if status is None else (status,), 0), share)

    def mark(self) -> "Mark":
        """The present moment, to look at what comes after it."""
        return Mark(time.perf_counter(), self.sent, self.good, self.answered, self.failures.copy())

    def since(self, mark: "Mark", seconds: float) -> "Stretch":
        """What came in the `seconds` since `mark`."""
        served = self._latencies(SERVED, mark.answered)
        refused = self._latencies(REFUSED, mark.answered)
        failures = self.failures - mark.failures
        left = failures.pop("timeout", 0)
        good = self.good - mark.good
        return Stretch(
            seconds=seconds,
            sent=self.sent - mark.sent,
            good=good,
            late=len(served) - good,
            refused=len(refused),
            left=left,
            wrong=self.answered - mark.answered - len(served) - len(refused) + failures.total(),
            served_p50=quantile(served, 0.5),
            served_p99=quantile(served, 0.99),
            refused_p50=quantile(refused, 0.5),
            refused_p99=quantile(refused, 0.99),
        )

    def whole(self) -> "Stretch":
        """All of it; rates are by the seconds in which requests were sent."""
        return self.since(Mark(0.0, 0, 0, 0, Counter()), self.sending)

    def table(self) -> str:
        """The summary, a line for each status and failure."""
        lines = [
            f"{self.sent} requests in {self.elapsed:.1f} s ({self.sent / self.elapsed:.0f}/s)",
            f"{'':>10} {'count':>9} {'share':>7} {'per s':>8} {'p50':>10} {'p99':>10} {'max':>10}",
        ]
        for status, count in sorted(self.statuses.items()):
            quantiles = (self.latency(share, status) for share in (0.5, 0.99, 1.0))
            lines.append(
                f"{status:>10} {count:>9} {count / self.sent:>7.1%} {count / self.elapsed:>8.0f} "
                + " ".join(f"{1000 * value:>7.1f} ms" for value in quantiles)
            )
        for kind, count in sorted(self.failures.items()):
            lines.append(f"{kind:>10} {count:>9} {count / self.sent:>7.1%}")
        return "\n".join(lines)

    def _latencies(self, statuses: Container[int] | None, since: int) -> list[float]:
        """Sorted, from the `since`th answer on."""
        latencies = islice(self.latencies, since, None)
        if statuses is None:
            return sorted(latencies)
        codes = islice(self.answered_with, since, None)
        return sorted(
            latency for latency, code in zip(latencies, codes, strict=True) if code in statuses
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a load: what had come until then. `at` is of `time.perf_counter`."""

    at: float
    sent: int
    good: int
    answered: int
    failures: Counter[str]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What came in a stretch of time: counts, and quantiles in seconds (NaN when there is none)."""

    seconds: float
    sent: int
    good: int
    """Served within GOOD_WITHIN."""
    late: int
    """Served later."""
    refused: int
    left: int
    """Who left, because there was no answer in time."""
    wrong: int
    """Other answers, and connections that failed."""
    served_p50: float
    served_p99: float
    refused_p50: float
    refused_p99: float

    def rate(self, count: int) -> float:
        """A count as a rate a second."""
        return count / self.seconds if self.seconds > 0 else 0.0


def quantile(ordered: "list[float] | array[float]", share: float) -> float:
    """The least of `ordered` (ascending) that at least `share` (over 0) of them do not exceed.

    NaN when there is none.
    """
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
