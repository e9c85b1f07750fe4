"""The rules in force, made ready to be asked."""

from collections.abc import Callable, Iterator

from proxy.policy.adaptive import AdaptiveLimiter
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.counters import RouteCounters
from proxy.policy.gates import Gates
from proxy.policy.guard import AnyLimit, Guard, LiveLimit
from proxy.policy.keeping import Keeping
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.request import Request
from proxy.policy.routes import RouteTable
from proxy.policy.snapshot import (
    ConcurrencySpec,
    KeepSpec,
    LimitSpec,
    ListenerSpec,
    PaceSpec,
    RateSpec,
    RouteSpec,
    Snapshot,
)
from proxy.policy.stored_responses import StoredResponses

UNMATCHED = "unmatched"
"""The route name of requests that no route takes: they are forwarded."""

BUILD_STEP = 20
"""Routes built between two yields of `build`: well under a millisecond's work."""


class Rules:
    """A snapshot and what was built for it: replaced as a whole, never changed."""

    __slots__ = (
        "adaptive",
        "gates",
        "guards",
        "limits",
        "listeners",
        "routes",
        "snapshot",
        "stored",
        "table",
        "unmatched",
    )

    def __init__(
        self, snapshot: Snapshot, gates: Gates, stored: StoredResponses | None = None
    ) -> None:
        self.snapshot = snapshot
        self.gates = gates
        self.stored = stored or StoredResponses(snapshot.stored)
        self.table = RouteTable()
        self.listeners = {listener.name: listener for listener in snapshot.listeners}
        self.limits: dict[str, AnyLimit] = {}
        self.adaptive: dict[str, AdaptiveLimiter] = {}
        self.routes: dict[str, RouteCounters] = {}
        self.guards: dict[str, list[Guard]] = {}
        self.unmatched: dict[str, Guard] = {}

    def with_other_readings(self, guard: Guard, request: Request) -> Guard:
        """`guard` with what holds for `other_paths` of `request`; their parameters are added."""
        for path in request.other_paths:
            found = self.table.find(request.method, request.host, path)
            if found is None:
                guard = guard.with_limits_of(self.unmatched[guard.listener])
            else:
                place, parameters = found
                guard = guard.with_limits_of(self.guards[guard.listener][place])
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
    for count, route in enumerate(snapshot.routes):
        rules.table.add(route)
        if count % BUILD_STEP == 0:
            yield rules
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
    names = (UNMATCHED, *(route.name for route in snapshot.routes))
    for count, name in enumerate(names):
        rules.routes[name] = old.routes.get(name) or RouteCounters()
        if count % BUILD_STEP == 0:
            yield rules
    unmatched = RouteSpec(UNMATCHED, "/**", answers=snapshot.answers)
    for listener in snapshot.listeners:
        rules.unmatched[listener.name] = _guard(rules, listener, unmatched)
        guards = rules.guards[listener.name] = []
        for count, route in enumerate(snapshot.routes):
            guards.append(_guard(rules, listener, route))
            if count % BUILD_STEP == 0:
                yield rules
    yield rules


def _guard(rules: Rules, listener: ListenerSpec, route: RouteSpec) -> Guard:
    """What holds for `route` on `listener`, whose own limits come first."""
    # What is shadow is read from the new rules: a limiter has its old spec until the swap.
    specs = rules.snapshot.limits
    enforced: list[AnyLimit] = []
    shadows: list[AnyLimit] = []
    upstream = rules.snapshot.upstreams[listener.upstream]
    for name in dict.fromkeys((*listener.limits, *route.limits)):
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
        rules.adaptive.get(listener.upstream),
        None if route.keep is None else _keeping(rules, listener, route.name, route.keep),
        rules.gates.before(upstream, route),
        route.failures or upstream.failures,
    )


def _keeping(rules: Rules, listener: ListenerSpec, route: str, spec: KeepSpec) -> Keeping:
    upstream = rules.snapshot.upstreams[listener.upstream]
    origin = (
        *(listener.name, route, upstream.name, str(upstream.tls is not None)),
        *(upstream.host, str(upstream.port), upstream.unix_path or ""),
    )
    return Keeping(spec, rules.stored, origin)


def _new_limit(spec: LimitSpec) -> AnyLimit:
    match spec:
        case RateSpec():
            return LiveLimit(RateLimiter(spec))
        case PaceSpec():
            return LiveLimit(PaceLimiter(spec))
        case ConcurrencySpec():
            return LiveLimit(ConcurrencyLimiter(spec))


def _keeps_state(old: LimitSpec, new: LimitSpec) -> bool:
    return type(old) is type(new) and old.per == new.per
