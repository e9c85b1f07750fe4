"""A process's readings, set by hand."""

from dataclasses import dataclass, field

from proxy.ops.stats import (
    BreakerReading,
    LimitReading,
    ListenerReading,
    Phase,
    SnapshotsReading,
    ThrottleReading,
    UpstreamReading,
)
from proxy.policy.counters import RouteCounters
from proxy.policy.shedder import Shedder


@dataclass
class FakeStats:
    phase: Phase = "ready"
    route_rows: list[tuple[str, RouteCounters]] = field(default_factory=list)
    limit_rows: list[LimitReading] = field(default_factory=list)
    listener_rows: list[ListenerReading] = field(default_factory=list)
    upstream_rows: list[UpstreamReading] = field(default_factory=list)
    breaker_rows: list[BreakerReading] = field(default_factory=list)
    throttle_rows: list[ThrottleReading] = field(default_factory=list)
    shedder: Shedder | None = None
    kept: SnapshotsReading = field(default_factory=SnapshotsReading)

    def routes(self) -> list[tuple[str, RouteCounters]]:
        return self.route_rows

    def limits(self) -> list[LimitReading]:
        return self.limit_rows

    def shedding(self) -> Shedder | None:
        return self.shedder

    def listeners(self) -> list[ListenerReading]:
        return self.listener_rows

    def upstreams(self) -> list[UpstreamReading]:
        return self.upstream_rows

    def breakers(self) -> list[BreakerReading]:
        return self.breaker_rows

    def throttles(self) -> list[ThrottleReading]:
        return self.throttle_rows

    def snapshots(self) -> SnapshotsReading:
        return self.kept

    def route(self, name: str) -> RouteCounters:
        counters = RouteCounters()
        self.route_rows.append((name, counters))
        return counters
