"""Everything that the status page shows, as plain data."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from proxy.ops.gate_view import gate_rows
from proxy.ops.metrics import shown_limits, shown_routes
from proxy.ops.reload import ReloadState
from proxy.ops.shed_view import blamed, shed_priorities, signal_rows
from proxy.ops.stats import LimitReading, Stats
from proxy.policy.counters import DURATION_BOUNDS, OWN_BOUNDS, RouteCounters
from proxy.policy.reasons import Reason
from proxy.policy.shedder import Shedder
from proxy.rules.thresholds import as_written

MOST_ROWS = 200
"""Routes, or limits, on a page that is fetched every second."""


class Status:
    """Reads the process's state. Counters are sums since the start: a page takes differences."""

    def __init__(
        self,
        stats: Stats,
        reloads: ReloadState,
        version: str,
        dropped_lines: Callable[[], int],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stats = stats
        self._reloads = reloads
        self._version = version
        self._dropped_lines = dropped_lines
        self._wall = wall
        self._started = wall()

    def read(self) -> dict[str, Any]:
        """The state now, ready for JSON. Times are Unix seconds, durations seconds."""
        now = self._wall()
        # Routes that nobody asked for tell nothing, and a thousand of them hide the others.
        used = ((name, route) for name, route in self._stats.routes() if route.total)
        return {
            "time": now,
            "uptime": now - self._started,
            "version": self._version,
            "phase": self._stats.phase,
            "dropped_log_lines": self._dropped_lines(),
            "rules": self.rules(),
            "duration_bounds": DURATION_BOUNDS,
            "own_bounds": OWN_BOUNDS,
            "routes": [_route(*row) for row in shown_routes(used, MOST_ROWS)],
            "limits": [_limit(limit) for limit in shown_limits(self._stats.limits(), MOST_ROWS)],
            "shedding": _shedding(self._stats.shedding(), now),
            **gate_rows(self._stats),
            "listeners": [asdict(listener) for listener in self._stats.listeners()],
            "upstreams": [asdict(upstream) for upstream in self._stats.upstreams()],
            "snapshots": asdict(self._stats.snapshots()),
        }

    def rules(self) -> dict[str, Any]:
        """The state of the rules."""
        state = self._reloads
        return {
            "version": state.version,
            "loaded_at": state.loaded_at,
            "successful": state.successful,
            "cause": state.cause,
            "at": state.at,
            "duration": state.duration,
            "successes": state.successes,
            "failures": state.failures,
            "problems": [problem.as_dict() for problem in state.problems],
        }


def _route(name: str, counters: RouteCounters) -> dict[str, Any]:
    return {
        "name": name,
        "forwarded": counters.forwarded,
        "refused": _met(counters.refused.items()),
        "failed": _met(counters.failed.items()),
        "abandoned": counters.abandoned,
        "stored": counters.stored,
        "last_good": counters.last_good,
        "in_flight": counters.in_flight,
        "duration": counters.duration.counts,
        "own_share": counters.own_share.counts,
        "queue_wait": counters.queue_wait.counts,
    }


def _shedding(shedder: Shedder | None, now: float) -> dict[str, Any] | None:
    if shedder is None:
        return None
    signals = shedder.signals
    return {
        "signals": [
            {
                "name": row.name,
                "upstream": row.upstream,
                "value": row.shown,
                "pressure": row.pressure,
                "thresholds": [
                    as_written(row.name, value)
                    for value in (row.threshold.start, row.threshold.full, row.threshold.refuse)
                ],
            }
            for row in signal_rows(shedder)
        ],
        "levels": [
            {
                "upstream": name,
                "level": level.level,
                "priorities": shed_priorities(level.level),
                "blame": blamed(shedder, name) if level.level else "",
            }
            for name, level in shedder.levels.items()
        ],
        "shed": {priority.name.lower(): count for priority, count in shedder.shed.items()},
        "probes": shedder.probes,
        "sample_age": None if signals is None else now - signals.wall,
    }


def _met(reasons: Iterable[tuple[Reason, int]]) -> dict[str, int]:
    return {reason.value: count for reason, count in reasons if count}


def _limit(limit: LimitReading) -> dict[str, Any]:
    return {
        "name": limit.name,
        "kind": limit.kind,
        "shadow": limit.shadow,
        "admitted": limit.counters.admitted,
        "refused": limit.counters.refused,
        "shadow_refused": limit.counters.shadow_refused,
        "capacity": limit.capacity,
        "in_flight": limit.in_flight,
        "waiting": limit.waiting,
        "keys": limit.keys,
        "tokens": limit.tokens,
        "share": limit.share,
        "callers": [asdict(caller) for caller in limit.callers],
    }
