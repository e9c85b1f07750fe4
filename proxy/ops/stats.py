"""What metrics and the status page read: whoever composes the process provides it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from proxy.policy.counters import LimitCounters, RouteCounters
from proxy.policy.reasons import Reason
from proxy.policy.shedder import Shedder

Phase = Literal["starting", "ready", "draining"]
LimitKind = Literal["rate", "pace", "concurrency", "adaptive", "mixed"]


@dataclass(frozen=True, slots=True)
class LimitReading:
    """One limit now. What a limit does not have is None.

    `capacity` is the burst of a rate limit, or the requests that a concurrency limit lets in
    flight, at present if it is adaptive. `tokens` are those left of a rate limit without a key;
    `keys` are those in the table of a limit with one.
    """

    name: str
    kind: LimitKind
    counters: LimitCounters
    shadow: bool = False
    capacity: float | None = None
    in_flight: int | None = None
    waiting: int | None = None
    keys: int | None = None
    tokens: float | None = None


@dataclass(frozen=True, slots=True)
class ListenerReading:
    """One listener now: open connections, and those ever accepted."""

    name: str
    address: str
    connections: int
    accepted: int


@dataclass(frozen=True, slots=True)
class UpstreamReading:
    """One upstream's connections now, and how many were ever made. `failures` counts the exchanges
    that ended at the upstream's fault, for each reason that there is for it.

    `latency` is that of its answers at present, `baseline` what it would be without a queue, in
    seconds: where an adaptive limit finds out about it, and None otherwise, or as long as it knows
    nothing.
    """

    name: str
    address: str
    in_use: int
    idle: int
    connects: int
    failures: Mapping[Reason, int]
    latency: float | None = None
    baseline: float | None = None


@dataclass(frozen=True, slots=True)
class SnapshotsReading:
    """Kept answers now: how many there are, what they take, and what they may take, in bytes of
    memory. `folder_errors` counts those that could not be written to their folder.
    """

    count: int = 0
    bytes: int = 0
    limit_bytes: int = 0
    folder_errors: int = 0


class Stats(Protocol):
    """Readings of the running process, in the order of the rules.

    Called from the event loop's thread, and read to the end before anything else runs there.
    """

    @property
    def phase(self) -> Phase:
        """Where the process is in its life."""

    def routes(self) -> Iterable[tuple[str, RouteCounters]]:
        """Each route's name and counters."""

    def limits(self) -> Iterable[LimitReading]:
        """Each limit."""

    def shedding(self) -> Shedder | None:
        """Who sheds load; None where the rules have nobody shed."""

    def listeners(self) -> Iterable[ListenerReading]:
        """Each listener."""

    def upstreams(self) -> Iterable[UpstreamReading]:
        """Each upstream."""

    def snapshots(self) -> SnapshotsReading:
        """Kept answers."""
