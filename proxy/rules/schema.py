"""The document: every key, what it means, and what it may hold.

Unknown keys are errors, and nothing is converted but texts with units, and texts that would be a
number or a truth without their quotes. What keys say together is checked in
`proxy.rules.combinations` and `proxy.rules.references`.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
)

from proxy.policy.snapshot import QueueOrder
from proxy.rules.advice_schema import Advise, ObeyAdvice
from proxy.rules.endpoints_schema import Whereabouts
from proxy.rules.gates_schema import Gated
from proxy.rules.kept import Cache, SnapshotKey, Snapshots
from proxy.rules.logs_schema import Logs
from proxy.rules.outbound_schema import NamedHost, Pool
from proxy.rules.problems import nearest
from proxy.rules.retry_schema import DeadlineHeader, Retry
from proxy.rules.section import Section
from proxy.rules.section import key as _key
from proxy.rules.shedding_schema import Shedding
from proxy.rules.timeouts_schema import ListenerTimeouts, UpstreamTimeouts
from proxy.rules.values import (
    PLAIN,
    Bind,
    Duration,
    DurationRange,
    HostPattern,
    Method,
    Name,
    Network,
    PageFiles,
    PathPattern,
    Per,
    PositiveDuration,
    Rate,
    ReasonWord,
    Size,
    Speed,
    Status,
    Truth,
    Whole,
)

TAG = "\0"
"""Marks the steps of an error's place that name a choice and not a key: YAML can't hold it."""

LIMIT_KINDS = ("rate", "pace", "concurrency")


class Server(Section):
    """What holds for the process."""

    max_connections: Whole = _key(
        "How many client connections may be open at once; more are refused.", 10000, ge=1, le=10**6
    )
    drain_timeout: Duration = _key(
        "How long requests in flight may take to finish once the process is told to end.", "30s"
    )
    express: Truth = _key(
        "Whether connections begin on the express lane, which is faster and answers alike. false "
        "turns it off for connections that come after that: all go to the full lane.",
        True,
    )


_PER = (
    "What is counted by: client_address, header:NAME, cookie:NAME, query:NAME or path:NAME. "
    "Each value has a limit of its own. Without `per` all requests share one. A request that has "
    "no such value, or several different ones, counts by its client address."
)
_MODE = "shadow counts and reports what the limit would have refused, and refuses nothing."


class _Bucket(Section):
    """What rates and paces have in common."""

    per: Per | None = _key(_PER, None)
    warm_up: Duration = _key(
        "For this long after the start the limit grows to its full rate, and again after it was "
        "idle for so long: a cold start.",
        "0s",
    )
    max_keys: Annotated[int, Field(ge=1, le=10**7), PLAIN] | None = _key(
        "How many different values of `per` are remembered at most.", None
    )
    mode: Literal["enforce", "shadow"] = _key(_MODE, "enforce")


class RateLimit(_Bucket):
    """So many requests in a time; more are refused."""

    kind: ClassVar[str] = "rate"

    rate: Rate = _key("How many requests are admitted in a second, minute or hour.")
    burst: Annotated[int, Field(ge=1, le=10**9), PLAIN] | None = _key(
        "How many requests may come at once. Without it: a tenth of a second's worth, at least 1.",
        None,
    )


class PaceLimit(_Bucket):
    """Requests at even distances; each waits for its turn."""

    kind: ClassVar[str] = "pace"

    pace: Rate = _key("How many requests in a second, minute or hour leave, at even distances.")
    max_wait: Duration = _key("The longest wait for a turn; who would wait longer is refused.")


class ConcurrencyLimit(Section):
    """So many requests in flight; more wait in a queue, or are refused."""

    kind: ClassVar[str] = "concurrency"

    concurrency: Whole = _key("How many requests may be in flight at once.", ge=1, le=10**6)
    queue: Whole = _key("How many more may wait for one of these to end.", 0, ge=0, le=10**6)
    queue_timeout: PositiveDuration | None = _key(
        "The longest wait in the queue; required with a queue.", None
    )
    order: Literal["fifo", "adaptive_lifo"] = _key(
        "Who leaves the queue first: first come (fifo); or newest first while the queue does not "
        "drain (adaptive_lifo), so that some are served in time when not all can be.",
        "fifo",
    )
    per: Per | None = _key(_PER, None)
    mode: Literal["enforce", "shadow"] = _key(_MODE, "enforce")

    @property
    def queue_order(self) -> QueueOrder:
        """`order`, as policy knows it."""
        return QueueOrder(self.order)


class _Inline(Section):
    name: Name | None = _key(
        "The limit's name in metrics and logs; its counts are kept by it over a reload. "
        "Without it the name is made from the route's name and the kind of limit.",
        None,
    )


class InlineRateLimit(_Inline, RateLimit):
    """So many requests in a time; more are refused."""


class InlinePaceLimit(_Inline, PaceLimit):
    """Requests at even distances; each waits for its turn."""


class InlineConcurrencyLimit(_Inline, ConcurrencyLimit):
    """So many requests in flight; more wait in a queue, or are refused."""


def _kind(value: object) -> str:
    """Which kind of limit was meant: the key that is there, or the one most like one of them."""
    if not isinstance(value, dict):
        return TAG + ("name" if isinstance(value, str) else "rate")
    for kind in LIMIT_KINDS:
        if kind in value:
            return TAG + kind
    near = filter(None, (nearest(key, LIMIT_KINDS) for key in value))
    return TAG + next(near, "rate")


Limit = Annotated[
    Annotated[RateLimit, Tag(TAG + "rate")]
    | Annotated[PaceLimit, Tag(TAG + "pace")]
    | Annotated[ConcurrencyLimit, Tag(TAG + "concurrency")],
    Discriminator(lambda value: _kind(value).replace("name", "rate")),
]
InlineLimit = Annotated[
    Annotated[str, Tag(TAG + "name")]
    | Annotated[InlineRateLimit, Tag(TAG + "rate")]
    | Annotated[InlinePaceLimit, Tag(TAG + "pace")]
    | Annotated[InlineConcurrencyLimit, Tag(TAG + "concurrency")],
    Discriminator(_kind),
]


class Listener(Section):
    """An address where clients are served."""

    name: Name = _key("The listener's name in metrics and logs.")
    bind: Bind = _key("Address and port to listen on; port 0 takes a free one.")
    direction: Literal["inbound", "outbound"] = _key(
        "Whether it guards the shop (inbound), or the shop calls others through it (outbound).",
        "inbound",
    )
    upstream: str | None = _key(
        "The upstream that this listener guards. An outbound one with hosts may do without.", None
    )
    hosts: dict[NamedHost, str] = _key(
        "The hosts for which an outbound listener is an HTTP proxy, with the port unless it is 80, "
        "and the upstream that each is. No other is called.",
        {},
    )
    trusted_proxies: list[Network] = _key(
        "Whose X-Forwarded-* fields are believed: addresses and networks of other proxies.", []
    )
    limits: list[InlineLimit] = _key("Limits for all requests of this listener.", [])
    advise: Advise | None = _key("A rate that calling sidecars share, and are told of.", None)
    timeouts: ListenerTimeouts = _key("How long clients are waited for.", {})
    max_head_size: Size = _key("The largest request head.", "64KiB")
    max_body_size: Size | None = _key(
        "The largest request body, where a route says nothing else. Without it any size passes.",
        None,
    )
    min_body_rate: Speed = _key(
        "How fast a client must send a request body once timeouts.body is over.", "500B/s"
    )
    deadline_header: DeadlineHeader | None = _key(
        "The field in which callers say how long they wait: 250m as in grpc-timeout, or a number "
        "of milliseconds. No request waits, or is waited for, beyond that.",
        None,
    )


class Admin(Section):
    """The admin address: metrics, health, reload."""

    bind: Bind = _key("Address and port of the admin server.", "127.0.0.1:9901")
    token: str | None = _key(
        "The bearer token that it asks for; required unless the address is loopback.", None
    )


class Tls(Section):
    """How an https upstream is believed."""

    verify: Truth = _key("Whether its certificate is checked.", True)
    ca_file: str | None = _key(
        "A file of authorities to believe instead of the system's, from this file's folder.", None
    )
    server_name: str | None = _key(
        "The name that its certificate must hold, when it is not the URL's.", None, min_length=1
    )


class AdaptiveConcurrency(Section):
    """A limit on the requests in flight that finds itself. {} is enough."""

    min: Whole = _key("The least that it lets in flight.", 1, ge=1, le=10**6)
    max: Whole = _key("The most that it lets in flight.", 1000, ge=1, le=10**6)


class Upstream(Whereabouts, Gated):
    """What a listener guards."""

    timeouts: UpstreamTimeouts = _key("How long it is waited for.", {})
    tls: Tls | None = _key("How an https upstream is believed.", None)
    adaptive_concurrency: AdaptiveConcurrency | None = _key(
        "Finds out by itself how many requests it can take at once, by how its latency answers, "
        "and lets no more in flight; more wait a moment, the important first, or are refused.",
        None,
    )
    pool: Pool | None = _key("How many connections it may get; without it any number.", None)
    retry: Retry | None = _key("When requests are sent again. Without it none are.", None)
    obey_advice: ObeyAdvice | None = _key(
        "Whether it is called no faster than it says itself. For services that limit this caller "
        "as a whole: one that limits single users would have everybody wait for one of them.",
        None,
    )


class Match(Section):
    """Which requests a route takes: all that is said must hold."""

    methods: list[Method] = _key("The methods; none means any.", [])
    hosts: list[HostPattern] = _key(
        "The hosts, without port; *.shop.example takes every name below; none means any.", []
    )
    path: PathPattern = _key(
        "The path: {name} takes one segment, ** at the end takes all the rest. "
        "It is compared with the normalised path of a request.",
        "/**",
    )
    listeners: list[str] = _key("The listeners on which the route holds; none means any.", [])


class Fallback(Section):
    """Which page is sent instead of the upstream's response."""

    page: str | None = _key(
        "The page for every reason but those that lie in the request itself "
        "(bad_request, request_timeout, body_too_large, head_too_large, not_implemented, "
        "host_not_allowed).",
        None,
    )
    by_reason: dict[ReasonWord, str] = _key("Pages for single reasons; they go first.", {})


class RouteFallback(Fallback):
    """What is sent instead of the upstream's response."""

    snapshot: PositiveDuration | None = _key(
        "How old the last good answer may be that is sent instead of a page, where a GET or HEAD "
        "is refused, or the upstream fails, is too slow or answers 500, 502, 503 or 504. Of the "
        "answers that may be kept one a second is, for each snapshot_key.",
        None,
    )


class Route(Gated):
    """Requests that are treated alike. The first route that matches takes a request."""

    name: Name = _key("The route's name in metrics and logs; its counts are kept by it.")
    match: Match = _key("Which requests it takes; without it all.", {})
    priority: Literal["critical", "high", "normal", "low"] = _key(
        "Who goes first when there is not enough for all: critical, high, normal, then low.",
        "normal",
    )
    limits: list[InlineLimit] = _key(
        "What it may take: limits, or names of limits under `limits`. "
        "All are checked before any is charged.",
        [],
    )
    fallback: RouteFallback = _key("What is sent instead, where it is refused or fails.", {})
    cache: Cache | None = _key(
        "Whether answers to GET are sent again without asking the upstream.", None
    )
    snapshot_key: SnapshotKey = _key("What tells one kept answer from another.", {})
    max_body_size: Size | None = _key("The largest request body; the listener's without it.", None)


class Page(Section):
    """An answer of our own, in several forms. {{status}}, {{title}}, {{reason}}, {{safe}} and
    {{retry_after}} in its files are replaced.
    """

    html: PageFiles | None = _key(
        "The file for people, or one for each language; paths start at this file's folder.", None
    )
    json_: str | None = _key("The file for programs.", None, alias="json", min_length=1)
    text: str | None = _key("The file for all others.", None, min_length=1)
    status: Status | None = _key(
        "The status to answer with instead of the reason's. A page with a status has only the "
        "forms that it names; without it the bundled page adds those that are missing.",
        None,
    )
    retry_after: DurationRange | None = _key(
        "The range that Retry-After is drawn from, so that refused clients do not come back at "
        "the same instant. Without it 2s..6s where the answer is an error that passes by itself.",
        None,
    )


class Rules(Section):
    """The rules of Plan B."""

    version: Literal[1] = _key("The version of this format.")
    server: Server = _key("What holds for the process.", {})
    listeners: list[Listener] = _key("The addresses where clients are served.", min_length=1)
    admin: Admin = _key("The admin address: metrics, health, reload.", {})
    upstreams: dict[Name, Upstream] = _key("What the listeners guard, by name.", min_length=1)
    limits: dict[Name, Limit] = _key("Limits by name, which routes and listeners may share.", {})
    routes: list[Route] = _key("How requests are treated; the first that matches.", [])
    fallback: Fallback = _key("The pages of every route that says nothing else.", {})
    pages: dict[Name, Page] = _key(
        "Pages by name. `busy`, `trouble` and `bad-request` are there already and may be "
        "written anew.",
        {},
    )
    shedding: Shedding | None = _key(
        "When there is too much load, requests are refused by priority. Without it none are.", None
    )
    snapshots: Snapshots = _key("Where answers are kept.", {})
    logs: Logs = _key("What is written to the log.", {})
