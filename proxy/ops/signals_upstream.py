"""What an upstream's answers, and its own words, tell of its load."""

from collections import deque
from collections.abc import Mapping
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

_Count = tuple[tuple[int, ...], int, int]


class UpstreamSignals:
    """Reads one upstream's counters, a sample after the other."""

    def __init__(self, counters: UpstreamCounters) -> None:
        self.counters = counters
        self._seen: deque[_Count] = deque(maxlen=SAMPLES + 1)

    def take(self, now: float) -> Mapping[str, float]:
        """The signals by name; those of which nothing can be said now are not there."""
        found: dict[str, float] = {}
        counters = self.counters
        self._seen.append((tuple(counters.waits.counts), counters.server_errors, counters.failures))
        before, errors_before, failures_before = self._seen[0]
        waits = [now - then for now, then in zip(counters.waits.counts, before, strict=True)]
        answers = sum(waits)
        failures = counters.failures - failures_before
        if answers >= LEAST_ANSWERS:
            found["upstream_latency"] = _percentile(counters.waits.bounds, waits, answers)
        if answers + failures >= LEAST_ANSWERS:
            failed = counters.server_errors - errors_before + failures
            found["upstream_errors"] = failed / (answers + failures)
        report = counters.report
        if report is not None and 0.0 <= now - counters.reported_at <= FRESH_SECONDS:
            for name, value in read_load_report(report).items():
                if name.startswith(f"{NAMED}."):
                    found[REPORTED_METRIC + name.removeprefix(f"{NAMED}.")] = value
                else:
                    found[_REPORTED[name]] = value
        return found


def _percentile(bounds: tuple[float, ...], counts: list[int], total: int) -> float:
    """The `PERCENTILE` of a histogram: straight within a bucket, the last bound above it."""
    wanted = PERCENTILE * total
    below, low = 0, 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if below + count >= wanted:
            return low + (bound - low) * (wanted - below) / count
        below += count
        low = bound
    return low
