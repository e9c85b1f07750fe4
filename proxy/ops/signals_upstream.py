"""What an upstream's answers, and its own words, tell of its load."""

from collections import deque
from collections.abc import Iterable, Sequence
from statistics import median_low
from typing import Final

from proxy.policy.counters import UpstreamCounters
from proxy.policy.signals import REPORTED_METRIC
from proxy.wire.load_report import NAMED, read_load_report

SAMPLES: Final = 8
"""Samples that latency and errors are taken over, two seconds' worth."""

LEAST_ANSWERS: Final = 20
"""Of fewer answers in that time nothing is concluded: of five the slowest is no percentile."""

PERCENTILE: Final = 0.9

FRESH_SECONDS: Final = 3.0
"""How long a report is believed: of a shop that answers nobody there are no new ones."""

_REPORTED: Final = {
    "cpu_utilization": "reported_cpu",
    "mem_utilization": "reported_memory",
    "application_utilization": "reported_utilization",
}

_Count = tuple[tuple[int, ...], tuple[int, ...], int, int]


class UpstreamSignals:
    """Reads one upstream's counters, a sample after the other."""

    def __init__(self, counters: UpstreamCounters) -> None:
        self.counters = counters
        self._seen: deque[_Count] = deque(maxlen=SAMPLES + 1)

    def take(self, now: float) -> dict[str, float]:
        """The signals by name; those of which nothing can be said now are not there."""
        found: dict[str, float] = {}
        counters = self.counters
        self._seen.append(
            (
                tuple(counters.waits.counts),
                tuple(counters.vain_waits.counts),
                counters.server_errors,
                counters.failures,
            )
        )
        before, vain_before, errors_before, failures_before = self._seen[0]
        waits = _since(before, counters.waits.counts)
        answers = sum(waits)
        failures = counters.failures - failures_before
        bounds = counters.waits.bounds
        waits = _with_vain(bounds, waits, _since(vain_before, counters.vain_waits.counts))
        if sum(waits) >= LEAST_ANSWERS:
            found["upstream_latency"] = _percentile(bounds, waits)
        if answers + failures >= LEAST_ANSWERS:
            failed = counters.server_errors - errors_before + failures
            found["upstream_errors"] = failed / (answers + failures)
        fresh = (each for each, at in counters.reports if 0.0 <= now - at <= FRESH_SECONDS)
        return found | _reported(fresh)


def _reported(reports: Iterable[bytes]) -> dict[str, float]:
    """Of each metric the median of those reports that tell it: of several endpoints each tells its
    own, and neither the one that answered last nor one that is mistaken (it tells
    per cent, say) is a measure of them all. A mean is as wrong as the worst of them.

    It takes more than half to say that there is too much. Of two endpoints one that is mistaken
    should not close the shop; one that is hot is asked less (`proxy.policy.endpoints`).
    """
    told: dict[str, list[float]] = {}
    for report in reports:
        for name, value in read_load_report(report).items():
            told.setdefault(name, []).append(value)
    return {
        _REPORTED.get(name) or REPORTED_METRIC + name.removeprefix(f"{NAMED}."): median_low(values)
        for name, values in told.items()
    }


def _since(before: Sequence[int], counts: Sequence[int]) -> list[int]:
    return [now - then for now, then in zip(counts, before, strict=True)]


def _with_vain(bounds: tuple[float, ...], waits: list[int], vain: list[int]) -> list[int]:
    """The waits for answers, and of those in vain what is longer than the percentile of these.

    Who left, or was told that it took too long, would have waited longer: that proves that an
    answer takes so long at least, and nothing if others do anyway. A hung shop whose clients are
    impatient answers nobody.
    """
    if not any(vain):
        return waits
    known = _percentile(bounds, waits) if any(waits) else 0.0
    lows = (0.0, *bounds)
    return [
        count + (more if low >= known else 0)
        for low, count, more in zip(lows, waits, vain, strict=True)
    ]


def _percentile(bounds: tuple[float, ...], counts: list[int]) -> float:
    """The `PERCENTILE` of a histogram: straight within a bucket, the last bound above it."""
    wanted = PERCENTILE * sum(counts)
    below, low = 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if below + count >= wanted:
            return low + (bound - low) * (wanted - below) / count
        below += count
        low = bound
    return low
