"""The rules in force, made ready to be asked."""

from collections.abc import Callable, Iterator

from proxy.policy.adaptive import AdaptiveLimiter
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.counters import RouteCounters
from proxy.policy.gates import Gates
from proxy.policy.guard import AnyLimit, Guard, LiveLimit
from proxy.policy.keeping import Keeping
from proxy.policy.outcome import USUAL_FAILURES
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.request import Request
from proxy.policy.retrying import Retrying
from proxy.policy.routes import RouteTable
from proxy.policy.shared_rate import SharedRateLimiter
from proxy.policy.snapshot import (
    ConcurrencySpec,
    KeepSpec,
    LimitSpec,
    ListenerSpec,
    PaceSpec,
    RateSpec,
    RouteSpec,
    SharedRateSpec,
    Snapshot,
    UpstreamSpec,
)
from proxy.policy.stored_responses import StoredResponses

UNMATCHED = "unmatched"
"""The route name of requests that no route takes: they are forwarded."""

BUILD_STEP = 20
"""Routes built between two yields of `build`: well under a millisecond's work."""


class Rules:
    """A snapshot and what was built for it: replaced as a whole, never changed.

    `tables`, `guards` for each of their routes, and those for the `unmatched` are by way: see
    `way_to`.
    """

    __slots__ = (
        "adaptive",
        "gates",
        "guards",
        "limits",
        "listeners",
        "retrying",
        "routes",
        "shared",
        "snapshot",
        "stored",
        "tables",
        "unmatched",
    )

    def __init__(
        self, snapshot: Snapshot, gates: Gates, stored: StoredResponses | None = None
    ) -> None:
        self.snapshot = snapshot
        self.gates = gates
        self.stored = stored or StoredResponses(snapshot.stored)
        self.tables: dict[str, RouteTable] = {}
        self.listeners = {listener.name: listener for listener in snapshot.listeners}
        self.limits: dict[str, AnyLimit] = {}
        self.adaptive: dict[str, AdaptiveLimiter] = {}
        self.retrying: dict[str, Retrying] = {}
        self.shared: dict[str, SharedRateLimiter] = {}
        self.routes: dict[str, RouteCounters] = {}
        self.guards: dict[str, list[Guard]] = {}
        self.unmatched: dict[str, Guard] = {}

    def with_other_readings(self, guard: Guard, way: str, request: Request) -> Guard:
        """`guard` with what holds for `other_paths` of `request`; their parameters are added."""
        for path in request.other_paths:
            found = self.tables[way].find(request.method, request.host, path)
            if found is None:
                guard = guard.with_limits_of(self.unmatched[way])
            else:
                place, parameters = found
                guard = guard.with_limits_of(self.guards[way][place])
                request.parameters = {**parameters, **request.parameters}
        return guard


def build(snapshot: Snapshot, old: Rules, jitter: Callable[[], float]) -> Iterator[Rules]:
    """Makes `snapshot` ready, in steps: what they yield is complete after the last.

    A limit keeps the state that it has in `old` when its name, kind and `per` stay, and its
    limiter goes by the old spec until it is reconfigured. A route keeps its counters by name, and
    so do an upstream's limit and all gates what they have learnt. Stored responses stay as long as
    those rules do by which they are told apart. `jitter` returns a number in [0, 1).
    """
    rules = Rules(snapshot, Gates(jitter, old.gates), old.stored)
    for count, (name, spec) in enumerate(snapshot.limits.items()):
        live = old.limits.get(name)
        if live is None or not _keeps_state(live.limiter.spec, spec):
            live = _new_limit(spec)
        rules.limits[name] = live
        if count % BUILD_STEP == 0:
            yield rules
    for name, upstream in snapshot.upstreams.items():
        if (bounds := upstream.adaptive_concurrency) is not None:
            rules.adaptive[name] = old.adaptive.get(name) or AdaptiveLimiter(bounds, jitter)
        if (retry := upstream.retry) is not None:
            rules.retrying[name] = old.retrying.get(name) or Retrying(retry, jitter)
    names = (UNMATCHED, *(route.name for route in snapshot.routes))
    for count, name in enumerate(names):
        rules.routes[name] = old.routes.get(name) or RouteCounters()
        if count % BUILD_STEP == 0:
            yield rules
    yield from _ways(rules)
    yield rules


def _ways(rules: Rules) -> Iterator[Rules]:
    """Finds out what holds on each way, in steps."""
    snapshot = rules.snapshot
    unmatched = RouteSpec(UNMATCHED, "/**", answers=snapshot.answers)
    # Listeners on which the same routes hold share a table.
    tables: dict[tuple[int, ...], RouteTable] = {}
    for listener in snapshot.listeners:
        places = tuple(
            place
            for place, route in enumerate(snapshot.routes)
            if not route.listeners or listener.name in route.listeners
        )
        table = tables.get(places)
        if table is None:
            table = tables[places] = RouteTable()
            for count, place in enumerate(places):
                table.add(snapshot.routes[place])
                if count % BUILD_STEP == 0:
                    yield rules
        for upstream in dict.fromkeys((listener.upstream, *listener.hosts.values())):
            way = way_to(listener, upstream)
            rules.tables[way] = table
            guard = rules.unmatched[way] = _guard(rules, listener, upstream, unmatched)
            if guard.shared is not None:
                rules.shared[listener.name] = guard.shared
            guards = rules.guards[way] = []
            for count, place in enumerate(places if upstream else ()):
                guards.append(_guard(rules, listener, upstream, snapshot.routes[place]))
                if count % BUILD_STEP == 0:
                    yield rules


def way_to(listener: ListenerSpec, upstream: str) -> str:
    """What requests are known by that come in at `listener` and go to `upstream`: the listener's
    name, or, to another than its own upstream, no name that a listener could have.
    """
    return listener.name if upstream == listener.upstream else f"{listener.name}>{upstream}"


def _guard(rules: Rules, listener: ListenerSpec, upstream: str, route: RouteSpec) -> Guard:
    """What holds for `route` on `listener` to `upstream`; the listener's own limits come first.

    Where it has no upstream of its own, and `upstream` is empty, all are refused.
    """
    # What is shadow is read from the new rules: a limiter has its old spec until the swap.
    specs = rules.snapshot.limits
    target = rules.snapshot.upstreams.get(upstream)
    pool = () if target is None or target.pool is None else (target.pool.name,)
    enforced: list[AnyLimit] = []
    shadows: list[AnyLimit] = []
    for name in dict.fromkeys((*listener.limits, *route.limits, *pool)):
        (shadows if specs[name].shadow else enforced).append(rules.limits[name])
    return Guard(
        listener.name,
        route.name,
        enforced,
        shadows,
        rules.routes[route.name],
        route.answers,
        listener.max_body_bytes if route.max_body_bytes is None else route.max_body_bytes,
        route.priority,
        rules.adaptive.get(upstream),
        None
        if route.keep is None or target is None
        else _keeping(rules, listener.name, target, route.name, route.keep),
        () if target is None else rules.gates.before(target, route),
        route.failures or (USUAL_FAILURES if target is None else target.failures),
        retrying=rules.retrying.get(upstream),
        deadline_header=listener.deadline_header,
    )


def _keeping(
    rules: Rules, listener: str, upstream: UpstreamSpec, route: str, spec: KeepSpec
) -> Keeping:
    origin = (
        *(listener, route, upstream.name, str(upstream.tls is not None)),
        *(upstream.host, str(upstream.port), upstream.unix_path or ""),
    )
    return Keeping(spec, rules.stored, origin)


def _new_limit(spec: LimitSpec) -> AnyLimit:
    match spec:
        case SharedRateSpec():
            return LiveLimit[RateLimiter](SharedRateLimiter(spec))
        case RateSpec():
            return LiveLimit(RateLimiter(spec))
        case PaceSpec():
            return LiveLimit(PaceLimiter(spec))
        case ConcurrencySpec():
            return LiveLimit(ConcurrencyLimiter(spec))


def _keeps_state(old: LimitSpec, new: LimitSpec) -> bool:
    return type(old) is type(new) and old.per == new.per
