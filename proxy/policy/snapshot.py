"""The rules as data: what a YAML file is compiled to, and all that policy and lanes know of it.

Everything here is immutable and made of its fields alone: a reload compiles the rules in a process
of its own, from which they are sent as such (`proxy.rules.stream`). Durations are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from proxy.policy.answers import Answer
from proxy.policy.endpoint_spec import BalanceSpec
from proxy.policy.keys import BY_CLIENT_ADDRESS, KeySource
from proxy.policy.log_spec import LogSpec
from proxy.policy.priority import Priority
from proxy.policy.reasons import Reason


class QueueOrder(StrEnum):
    """Who leaves a concurrency limit's queue first.

    `ADAPTIVE_LIFO`: first come, but newest first while the queue has not drained for a while
    (Maurer, "Fail at Scale", ACM Queue 13(8), 2015).
    """

    FIFO = "fifo"
    ADAPTIVE_LIFO = "adaptive_lifo"


@dataclass(frozen=True, slots=True)
class RateSpec:
    """`rate` requests per second with a bucket of `burst`, for each key of `per`.

    `quota` per `window` seconds is the rate as it was written (800/s: 800 in 1; 30/m: 30 in 60).
    """

    name: str
    rate: float
    burst: int
    quota: int
    window: int
    per: KeySource | None = None
    warm_up: float = 0.0
    max_keys: int = 65536
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class SharedRateSpec(RateSpec):
    """A rate that callers share fairly, each being told its share."""


@dataclass(frozen=True, slots=True)
class PaceSpec:
    """Requests leave at least 1/`rate` seconds apart; who would wait over `max_wait` is refused."""

    name: str
    rate: float
    quota: int
    window: int
    max_wait: float
    per: KeySource | None = None
    warm_up: float = 0.0
    max_keys: int = 65536
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class ConcurrencySpec:
    """At most `concurrency` requests in flight and `queue` waiting, for each key of `per`."""

    name: str
    concurrency: int
    queue: int = 0
    queue_timeout: float = 0.0
    order: QueueOrder = QueueOrder.FIFO
    per: KeySource | None = None
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class AdaptiveSpec:
    """A limit on the requests in flight to an upstream that finds itself, from `least` to `most`.

    `name` is what it is called where a refusal is explained: that of the upstream, and of this.
    """

    name: str
    least: int = 1
    most: int = 1000


@dataclass(frozen=True, slots=True)
class FailureSpec:
    """What counts as a failure of a callee, besides connections that fail: answers with one of
    `statuses`, and the lack of one in time if `timeouts`.

    429 and 503 are not among them by themselves: they are refusals, which show load and not that
    something is broken. Nor are 501 and 505, which are about the request's method and version
    (RFC 9110 sections 15.6.2, 15.6.6): any client could have them by asking for nonsense.
    """

    statuses: frozenset[int] = frozenset({*range(500, 600)} - {501, 503, 505})
    timeouts: bool = True


@dataclass(frozen=True, slots=True)
class GateSpec:
    """What may hold back requests to a callee. `name` is what it is called where that is told."""

    name: str


@dataclass(frozen=True, slots=True)
class BreakerSpec(GateSpec):
    """When a circuit breaker opens, for how long, and how it closes.

    It opens when, of at least `min_requests` that ended in the last `window` seconds, `error_ratio`
    have failed, or `slow_ratio` have taken `slow` seconds or more (None: no matter how slow); or
    when `consecutive_failures` have failed in a row, or `consecutive_slow` were slow in a row
    (None: no matter how many). It stays so for `open` seconds, for twice as long each time that
    this was in vain, up to `longest_open`. Then `probes` requests at a time find out whether all is
    well, and over `recovery` seconds ever more are let through.
    """

    window: float = 10.0
    min_requests: int = 20
    error_ratio: float = 0.5
    slow: float | None = None
    slow_ratio: float = 0.6
    consecutive_failures: int = 20
    consecutive_slow: int | None = None
    open: float = 5.0
    longest_open: float = 60.0
    probes: int = 5
    recovery: float = 10.0


@dataclass(frozen=True, slots=True)
class ThrottleSpec(GateSpec):
    """How many more requests than the callee accepts are sent: `ratio` times as many, counted over
    `window` seconds, once there were `min_requests`.
    """

    ratio: float = 2.0
    window: float = 30.0
    min_requests: int = 20


@dataclass(frozen=True, slots=True)
class RetrySpec:
    """When requests to an upstream are sent again: `attempts` in all, `budget` as a share of the
    requests, and `least_per_second` besides. The first pause is `first_backoff` at most, each
    further one up to twice as long, to `longest_backoff`. Repeated are those that got no
    connection, or lost it; those answered with one of `statuses`; and with `timeouts` those not
    answered in time.
    """

    attempts: int = 2
    budget: float = 0.2
    least_per_second: float = 3.0
    first_backoff: float = 0.025
    longest_backoff: float = 0.25
    statuses: frozenset[int] = frozenset({502, 503, 504})
    timeouts: bool = False


@dataclass(frozen=True, slots=True)
class AdviceSpec(GateSpec):
    """The upstream's advice is obeyed, for `max_age` seconds after it was last heard of. With
    `tell_demand` it is told how much would be sent to it.
    """

    max_age: float = 10.0
    tell_demand: bool = True


LimitSpec = RateSpec | PaceSpec | ConcurrencySpec
"""The limits that have a name in the rules."""


@dataclass(frozen=True, slots=True)
class KeepSpec:
    """Which answers of a route are kept, and what for.

    One that is not older than `last_good_for` is sent where the shop's is not to be had; None:
    never. One that is younger than `ttl` is sent without asking the shop; with `coalesce` only
    one request at a time asks for the same. What tells one answer from another, besides host,
    target and `Vary`: the parameters in `query` (None: the whole query), the named `cookies` and
    `headers` (lower case). `ignored_cookies` make no difference; `*` stands for all others.
    """

    last_good_for: float | None = None
    ttl: float = 0.0
    coalesce: bool = False
    query: tuple[str, ...] | None = None
    cookies: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    ignored_cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """Where answers are kept: at most `memory_bytes` of them, none over `largest_bytes`; and as
    much in `folder`, if there is one, over a restart.
    """

    memory_bytes: int = 64 << 20
    largest_bytes: int = 1 << 20
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """Which requests a route takes, and what holds for them.

    `path` is the pattern as written: `/items/{item_id}`, `/static/**`. Empty `methods`, `hosts`
    or `listeners` take any; a host may start with `*.`. `limits` are names of `Snapshot.limits`.
    `breaker` and `throttle` hold back its requests, besides those of its upstream, and `failures`
    are what both count; None where the upstream's hold.
    """

    name: str
    path: str
    methods: frozenset[str] = frozenset()
    hosts: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    answers: Mapping[Reason, Answer] = field(default_factory=dict)
    max_body_bytes: int | None = None
    priority: Priority = Priority.NORMAL
    keep: KeepSpec | None = None
    breaker: BreakerSpec | None = None
    throttle: ThrottleSpec | None = None
    failures: FailureSpec | None = None
    listeners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListenerTimeouts:
    """`head`: from a head's first byte to its last. `body`: how long a client may keep us waiting
    for a request body in all, before its bytes earn it more (`min_body_rate`), and at a time in
    any case. `idle`: between two requests. `send`: without a byte of the response being taken.
    """

    head: float = 10.0
    body: float = 20.0
    idle: float = 75.0
    send: float = 60.0


@dataclass(frozen=True, slots=True)
class ListenerSpec:
    """A bound address and whom it guards. `port` 0 takes a free one. `deadline_header` (lower case)
    is the field in which callers say how long they wait.

    On an `outbound` one the shop calls others: `upstream`, which is empty where there is none, or
    one of `hosts`, upstreams by the authority that is asked for (`proxy.wire.outbound`).

    `callers` are the networks whose sidecars are believed who they are, and told their share of
    the `SharedRateSpec` among `limits`.
    """

    name: str
    host: str
    port: int
    upstream: str
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    limits: tuple[str, ...] = ()
    timeouts: ListenerTimeouts = ListenerTimeouts()
    max_head_bytes: int = 65536
    max_body_bytes: int | None = None
    min_body_bytes_per_second: int = 500
    outbound: bool = False
    hosts: Mapping[str, str] = field(default_factory=dict)
    deadline_header: bytes | None = None
    callers: tuple[IPv4Network | IPv6Network, ...] = ()


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """`connect`: until connected. `response`: from the request's last byte to the response's head.
    `body`: the longest silence inside a response. `idle`: how long an unused connection is kept.
    `tunnel`: the longest silence of an upgraded connection.
    """

    connect: float = 1.0
    response: float = 60.0
    body: float = 60.0
    idle: float = 15.0
    tunnel: float = 3600.0


@dataclass(frozen=True, slots=True)
class TlsSpec:
    """How an https upstream is believed: `ca_file` instead of the system's authorities.

    `ca_digest` stands for what that file held: it makes another of it when it is replaced.
    """

    verify: bool = True
    ca_file: str | None = None
    server_name: str | None = None
    ca_digest: str = ""


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """Where requests go: `host` and `port`, over TLS when `tls` is set, or a `unix_path`.

    `adaptive_concurrency` is None where nothing limits them on their way; `breaker` and `throttle`
    where nothing that was learnt holds them back, by what `failures` has count; `retry` where none
    is sent twice; `advice` where what it says itself is not obeyed. `pool` is one of
    `Snapshot.limits`: it holds for all that go there, whichever way, and bounds the connections.
    With `balance` they go to several endpoints, which are told apart from it by their place alone:
    it is the first one's, or the name and port that are looked up.
    """

    name: str
    host: str
    port: int
    tls: TlsSpec | None = None
    unix_path: str | None = None
    timeouts: UpstreamTimeouts = UpstreamTimeouts()
    adaptive_concurrency: AdaptiveSpec | None = None
    breaker: BreakerSpec | None = None
    throttle: ThrottleSpec | None = None
    failures: FailureSpec = FailureSpec()
    pool: ConcurrencySpec | None = None
    balance: BalanceSpec | None = None
    retry: RetrySpec | None = None
    advice: AdviceSpec | None = None


@dataclass(frozen=True, slots=True)
class AdminSpec:
    """The admin address; `token` is required unless `host` is a loopback address."""

    host: str = "127.0.0.1"
    port: int = 9901
    token: str | None = None


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """What holds for the process. `express` is asked when a connection is accepted: a listener's
    new connections go to the express lane, or else to the full lane at once.
    """

    max_connections: int = 10000
    drain_timeout: float = 30.0
    express: bool = True


@dataclass(frozen=True, slots=True)
class Threshold:
    """From `start` on the lowest priorities are shed, at `full` all but critical, at `refuse` all.

    They rise strictly, in the unit of their signal.
    """

    start: float
    full: float
    refuse: float


@dataclass(frozen=True, slots=True)
class SheddingSpec:
    """When load is shed: by `signals`, see `proxy.policy.signals`; and `per` which clients.

    `cgroup` is the control group that is looked at, from the root of its file system; None for the
    process's own.
    """

    signals: Mapping[str, Threshold]
    per: KeySource = BY_CLIENT_ADDRESS
    cgroup: str | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of the rules, complete.

    `answers` are those of requests that no route was found for. `files` are the absolute paths
    that the rules were read from: a change of any of them is a reason to reload. `version` is a
    digest of what they held.
    """

    listeners: tuple[ListenerSpec, ...]
    upstreams: Mapping[str, UpstreamSpec]
    routes: tuple[RouteSpec, ...] = ()
    limits: Mapping[str, LimitSpec] = field(default_factory=dict)
    answers: Mapping[Reason, Answer] = field(default_factory=dict)
    server: ServerSpec = ServerSpec()
    admin: AdminSpec = AdminSpec()
    logs: LogSpec = field(default_factory=LogSpec)
    shedding: SheddingSpec | None = None
    stored: StoreSpec = StoreSpec()
    files: tuple[str, ...] = ()
    version: str = ""
