"""What metrics and the status page read: whoever composes the process provides it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from proxy.policy.counters import LimitCounters, RouteCounters
from proxy.policy.reasons import Reason
from proxy.policy.shedder import Shedder

Phase = Literal["starting", "ready", "draining"]
LimitKind = Literal["rate", "pace", "concurrency", "adaptive", "mixed"]


@dataclass(frozen=True, slots=True)
class CallerReading:
    """One caller now, in requests per second: what it `asks` for, and what it says that it `wants`,
    None if it says nothing. An empty name stands for all who don't say who they are.
    """

    name: str
    asks: float
    wants: float | None


@dataclass(frozen=True, slots=True)
class LimitReading:
    """One limit now. What a limit does not have is None.

    `capacity` is the burst of a rate limit, or the requests that a concurrency limit lets in
    flight, at present if it is adaptive. `tokens` are those left of a rate limit without a key;
    `keys` are those in the table of a limit with one. `share` is what each caller of a rate that
    callers share may send at most, in requests per second, and `callers` are the busiest of them.
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
    share: float | None = None
    callers: Sequence[CallerReading] = ()


@dataclass(frozen=True, slots=True)
class ListenerReading:
    """One listener now: open connections, and those ever accepted."""

    name: str
    address: str
    connections: int
    accepted: int


@dataclass(frozen=True, slots=True)
class EndpointReading:
    """One of several endpoints of an upstream now. `standing` is serving, ejected or returning
    (see `EndpointHealth`), `left` the seconds that an ejected one is still out, `why` its last
    failure before; `failures` and `ejections` are all that there were while it was one of them,
    `in_a_row` the failures since its last good answer.
    """

    address: str
    in_flight: int
    failures: int
    ejections: int
    standing: str = "serving"
    left: float = 0.0
    why: str = ""
    in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class RetriesReading:
    """Requests sent again to one upstream, `by_result` (see `proxy.policy.retrying.Retrying`), and
    how many more the budget would allow at once.
    """

    by_result: Mapping[str, int]
    budget_left: float


@dataclass(frozen=True, slots=True)
class UpstreamReading:
    """One upstream's connections now, and how many were ever made. `failures` counts the exchanges
    that ended at the upstream's fault, for each reason that there is for it.

    `latency` is that of its answers at present, `baseline` what it would be without a queue, in
    seconds: where an adaptive limit finds out about it, and None otherwise, or as long as it knows
    nothing. `endpoints` are empty where there is no choice, and `retries` None where nothing is
    sent again. `advised` is how many requests per second it wants to be sent at most, as it has
    said lately; None where it has not, or is not asked.
    """

    name: str
    address: str
    in_use: int
    idle: int
    connects: int
    failures: Mapping[Reason, int]
    latency: float | None = None
    baseline: float | None = None
    endpoints: tuple[EndpointReading, ...] = ()
    retries: RetriesReading | None = None
    advised: float | None = None


BreakerStateWord = Literal["closed", "open", "probing", "recovering"]


@dataclass(frozen=True, slots=True)
class BreakerReading:
    """One circuit breaker now; `route` is empty where it stands before all requests to `upstream`.

    `opened` counts how often it has opened, `cause` says why it did last. It has been in its
    `state` for `age` seconds, None if it always was, and lets a `share` of requests through, beside
    probes. `next_probe` is in so many seconds, 0.0 unless it is open; `probes` are those in flight.
    """

    upstream: str
    route: str
    state: BreakerStateWord
    share: float
    opened: int = 0
    cause: str = ""
    age: float | None = None
    next_probe: float = 0.0
    probes: int = 0


@dataclass(frozen=True, slots=True)
class ThrottleReading:
    """One throttle now: it refuses with `probability`, since of so many `requests` in its window
    only so many were accepted. `route` as above.
    """

    upstream: str
    route: str
    probability: float
    requests: int
    accepts: int


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

    def breakers(self) -> Iterable[BreakerReading]:
        """Each circuit breaker."""

    def throttles(self) -> Iterable[ThrottleReading]:
        """Each throttle."""

    def snapshots(self) -> SnapshotsReading:
        """Kept answers."""
