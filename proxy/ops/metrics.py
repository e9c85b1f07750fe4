"""What Prometheus reads: counters are collected when it asks, and cost nothing before."""

import asyncio
import platform
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from operator import attrgetter
from typing import TypeVar

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxy.ops.gate_metrics import gate_families
from proxy.ops.metrics_endpoints import endpoint_metrics
from proxy.ops.reload import ReloadState
from proxy.ops.retry_metrics import retry_metrics
from proxy.ops.shed_view import signal_rows
from proxy.ops.stats import LimitReading, Stats
from proxy.policy.counters import Histogram, LimitCounters, RouteCounters

MOST_ROWS = 1000
"""Routes, or limits, that are shown by name. The others are summed up as `OTHER`, so that no
rules file makes a scrape, and what Prometheus stores of it, grow without end."""

OTHER = "other"

_Row = TypeVar("_Row")
_Routes = list[tuple[str, RouteCounters]]

PIECE = 10
"""Routes rendered between two turns of the event loop: some 160 lines of a histogram, a
millisecond. A scrape of 1,000 busy routes takes half a second, which must not hold up traffic;
a thread would not help, as every turn of the loop would have to win the interpreter lock back."""

_HISTOGRAMS: tuple[tuple[str, str, Callable[[RouteCounters], Histogram]], ...] = (
    (
        "planb_request_duration_seconds",
        "Whole duration of requests that went upstream.",
        attrgetter("duration"),
    ),
    (
        "planb_own_share_seconds",
        "Part of the duration that was spent in Plan B, without waiting for upstream or queue.",
        attrgetter("own_share"),
    ),
    (
        "planb_refusal_duration_seconds",
        "Duration of refused requests, without their wait in a queue.",
        attrgetter("refusal_duration"),
    ),
    (
        "planb_queue_wait_seconds",
        "Time that requests waited for their turn, of those that had to.",
        attrgetter("queue_wait"),
    ),
)

_LIMIT_GAUGES = (
    ("capacity", "Burst, or the most requests in flight."),
    ("in_flight", "Requests that hold a permit."),
    ("waiting", "Requests in the queue."),
    ("keys", "Keys in the table."),
    ("tokens", "Tokens left."),
    ("share", "Requests per second that each caller may send at most."),
)


class Metrics:
    """The exposition of everything that is counted.

    `version` is the program's. `dropped_lines` returns how many log lines were lost.
    """

    def __init__(
        self,
        stats: Stats,
        reloads: ReloadState,
        version: str,
        dropped_lines: Callable[[], int],
    ) -> None:
        self._stats = stats
        self._reloads = reloads
        self._version = version
        self._dropped_lines = dropped_lines
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its Content-Type, in the format that `accept` asks for.

        Lets the event loop run in between.
        """
        encode, content_type = choose_encoder(accept)
        lines: list[bytes] = []
        name = ""
        for piece in self._pieces():
            text = encode(_Single(piece)).splitlines(keepends=True)
            # The second piece of a family comes without the family's comments, and only the
            # whole ends with OpenMetrics' end mark.
            same, name = piece.name == name, piece.name
            lines += [
                line
                for line in text
                if not line.startswith(b"#") or not (same or line.startswith(b"# EOF"))
            ]
            await asyncio.sleep(0)
        if content_type.startswith("application/openmetrics-text"):
            lines.append(b"# EOF\n")
        return b"".join(lines), content_type

    def _pieces(self) -> Iterator[Metric]:
        """All families; large ones in several pieces, one after the other."""
        routes = _in_pieces(shown_routes(self._stats.routes()))
        limits = _in_pieces(shown_limits(self._stats.limits()))
        for of_routes in (_requests, _last_good, _responses, _in_flight):
            yield from map(of_routes, routes)
        for name, documentation, histogram in _HISTOGRAMS:
            for some in routes:
                yield _histograms(name, documentation, some, histogram)
        yield from map(_decisions, limits)
        for name, documentation in _LIMIT_GAUGES:
            for few in limits:
                yield _limit_gauges(name, documentation, few)
        yield from self._shedding()
        yield from gate_families(self._stats)
        yield from self._connections()
        yield from retry_metrics(self._stats.upstreams())
        yield from self._snapshots()
        yield from self._config()
        yield _gauge("planb_draining", "1 while draining.", self._stats.phase == "draining")
        yield CounterMetricFamily(
            "planb_log_lines_dropped",
            "Log lines lost because nobody took them fast enough.",
            value=self._dropped_lines(),
        )
        build = GaugeMetricFamily("planb_build_info", "What runs.", labels=("version", "python"))
        build.add_metric((self._version, platform.python_version()), 1)
        yield build
        yield from self._process.collect()

    def _shedding(self) -> Iterator[Metric]:
        shedder = self._stats.shedding()
        if shedder is None:
            return
        labels = ("signal", "upstream")
        values = GaugeMetricFamily("planb_signal", "Signals of load that count.", labels=labels)
        pressures = GaugeMetricFamily(
            "planb_signal_pressure", "How many priorities a signal wants shed.", labels=labels
        )
        thresholds = GaugeMetricFamily(
            "planb_signal_threshold", "Thresholds of signals.", labels=("signal", "threshold")
        )
        for row in signal_rows(shedder):
            if row.value is not None:
                values.add_metric((row.name, row.upstream), row.value)
                pressures.add_metric((row.name, row.upstream), row.pressure)
        if shedder.spec is not None:
            for name, threshold in shedder.spec.signals.items():
                for step in ("start", "full", "refuse"):
                    thresholds.add_metric((name, step), getattr(threshold, step))
        levels = GaugeMetricFamily(
            "planb_shed_level", "How many priorities are shed; 4 is all.", labels=("upstream",)
        )
        for upstream, level in shedder.levels.items():
            levels.add_metric((upstream,), level.level)
        shed = CounterMetricFamily("planb_shed", "Requests shed.", labels=("priority",))
        for priority, count in shedder.shed.items():
            shed.add_metric((priority.name.lower(),), count)
        probes = CounterMetricFamily(
            "planb_shed_probes",
            "Requests let in to see whether the load has gone.",
            value=shedder.probes,
        )
        yield from (values, pressures, thresholds, levels, shed, probes)

    def _connections(self) -> Iterator[Metric]:
        opened = GaugeMetricFamily(
            "planb_downstream_connections", "Open client connections.", labels=("listener",)
        )
        accepted = CounterMetricFamily(
            "planb_downstream_connections_accepted",
            "Client connections accepted.",
            labels=("listener",),
        )
        for listener in self._stats.listeners():
            opened.add_metric((listener.name,), listener.connections)
            accepted.add_metric((listener.name,), listener.accepted)
        kept = GaugeMetricFamily(
            "planb_upstream_connections", "Open upstream connections.", labels=("upstream", "state")
        )
        connects = CounterMetricFamily(
            "planb_upstream_connects", "Upstream connections made.", labels=("upstream",)
        )
        failures = CounterMetricFamily(
            "planb_upstream_failures",
            "Exchanges that failed at the upstream.",
            labels=("upstream", "reason"),
        )
        latency = GaugeMetricFamily(
            "planb_upstream_latency_seconds",
            "Mean time to an answer's head (now), and what it would be without a queue (baseline),"
            " as its adaptive limit sees it.",
            labels=("upstream", "of"),
        )
        advised = GaugeMetricFamily(
            "planb_upstream_advised_rate",
            "Requests per second that the upstream wants to be sent at most, while that is known.",
            labels=("upstream",),
        )
        for upstream in self._stats.upstreams():
            if upstream.advised is not None:
                advised.add_metric((upstream.name,), upstream.advised)
            for of, seconds in (("now", upstream.latency), ("baseline", upstream.baseline)):
                if seconds is not None:
                    latency.add_metric((upstream.name, of), seconds)
            kept.add_metric((upstream.name, "in_use"), upstream.in_use)
            kept.add_metric((upstream.name, "idle"), upstream.idle)
            connects.add_metric((upstream.name,), upstream.connects)
            for reason, count in upstream.failures.items():
                failures.add_metric((upstream.name, reason.value), count)
        yield from (opened, accepted, kept, connects, failures, latency, advised)
        yield from endpoint_metrics(self._stats.upstreams())

    def _snapshots(self) -> Iterator[Metric]:
        kept = self._stats.snapshots()
        yield _gauge("planb_snapshots", "Answers that are kept.", kept.count)
        yield _gauge("planb_snapshots_bytes", "Memory that they take.", kept.bytes)
        yield _gauge("planb_snapshots_limit_bytes", "Memory that they may take.", kept.limit_bytes)
        lost = CounterMetricFamily(
            "planb_snapshot_folder_errors",
            "Kept answers that could not be written to the folder, or were more than it took.",
            value=kept.folder_errors,
        )
        yield lost

    def _config(self) -> Iterator[Metric]:
        state = self._reloads
        yield _gauge(
            "planb_config_last_reload_successful",
            "1 if the last load of the rules succeeded.",
            state.successful,
        )
        yield _gauge(
            "planb_config_last_reload_success_timestamp_seconds",
            "When the rules in force were loaded.",
            state.loaded_at,
        )
        reloads = CounterMetricFamily("planb_config_reloads", "Reloads.", labels=("result",))
        reloads.add_metric(("success",), state.successes)
        reloads.add_metric(("failure",), state.failures)
        yield reloads
        info = GaugeMetricFamily("planb_config_info", "The rules in force.", labels=("version",))
        info.add_metric((state.version,), 1)
        yield info


def shown_routes(routes: Iterable[tuple[str, RouteCounters]], most: int = MOST_ROWS) -> _Routes:
    """The first `most` of `routes`, with the sum of the others as one more at the end.

    The first in the rules' order, not the busiest: a counter must not change its label.
    """
    rows = list(routes)
    if len(rows) <= most:
        return rows
    other = RouteCounters()
    for _, counters in rows[most:]:
        other.add(counters)
    return [*rows[:most], (OTHER, other)]


def shown_limits(limits: Iterable[LimitReading], most: int = MOST_ROWS) -> list[LimitReading]:
    """The same for limits; those summed up have only their counts in common."""
    rows = list(limits)
    if len(rows) <= most:
        return rows
    other = LimitCounters()
    for limit in rows[most:]:
        other.add(limit.counters)
    return [*rows[:most], LimitReading(OTHER, "mixed", other)]


class _Single(Collector):
    """What an encoder takes, with one family in it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def _in_pieces(rows: list[_Row]) -> list[list[_Row]]:
    return [rows[start : start + PIECE] for start in range(0, len(rows), PIECE)]


def _requests(routes: _Routes) -> Metric:
    family = CounterMetricFamily(
        "planb_requests", "Requests, by what became of them.", labels=("route", "verdict", "reason")
    )
    for route, counters in routes:
        family.add_metric((route, "forwarded", ""), counters.forwarded)
        family.add_metric((route, "abandoned", ""), counters.abandoned)
        if counters.stored:
            family.add_metric((route, "stored", ""), counters.stored)
        # There are dozens of reasons, and a route meets few: a series begins with its first
        # request.
        for verdict, reasons in (("refused", counters.refused), ("failed", counters.failed)):
            for reason, count in reasons.items():
                if count:
                    family.add_metric((route, verdict, reason.value), count)
    return family


def _last_good(routes: _Routes) -> Metric:
    family = CounterMetricFamily(
        "planb_last_good_answers",
        "Requests refused, failed, or waiting for one that failed, that got the last good answer.",
        labels=("route",),
    )
    for route, counters in routes:
        if counters.last_good:
            family.add_metric((route,), counters.last_good)
    return family


def _responses(routes: _Routes) -> Metric:
    family = CounterMetricFamily(
        "planb_responses", "Responses of the upstream.", labels=("route", "status_class")
    )
    for route, counters in routes:
        for status_class, count in enumerate(counters.responses):
            if count:
                family.add_metric((route, f"{status_class or 'x'}xx"), count)
    return family


def _in_flight(routes: _Routes) -> Metric:
    family = GaugeMetricFamily(
        "planb_requests_in_flight", "Requests that are upstream now.", labels=("route",)
    )
    for route, counters in routes:
        family.add_metric((route,), counters.in_flight)
    return family


def _histograms(
    name: str,
    documentation: str,
    routes: _Routes,
    histogram: Callable[[RouteCounters], Histogram],
) -> Metric:
    family = HistogramMetricFamily(name, documentation, labels=("route",))
    for route, counters in routes:
        of_route = histogram(counters)
        at_or_below = list(accumulate(of_route.counts))
        if at_or_below[-1]:
            bounds = (*map(repr, of_route.bounds), "+Inf")
            buckets = list(zip(bounds, map(float, at_or_below), strict=True))
            family.add_metric((route,), buckets, of_route.sum)
    return family


def _decisions(limits: list[LimitReading]) -> Metric:
    family = CounterMetricFamily(
        "planb_limit_decisions",
        "What each limit decided; shadow_refused is what it would have refused.",
        labels=("limit", "kind", "decision"),
    )
    for limit in limits:
        for decision in ("admitted", "refused", "shadow_refused"):
            row = (limit.name, limit.kind, decision)
            family.add_metric(row, getattr(limit.counters, decision))
    return family


def _limit_gauges(name: str, documentation: str, limits: list[LimitReading]) -> Metric:
    family = GaugeMetricFamily(f"planb_limit_{name}", documentation, labels=("limit", "kind"))
    for limit in limits:
        value = getattr(limit, name)
        if value is not None:
            family.add_metric((limit.name, limit.kind), value)
    return family


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=float(value))
