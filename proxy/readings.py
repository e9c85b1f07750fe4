"""What the running process shows of itself: lanes and engine, in the words of ops."""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from proxy.lanes.balanced_upstream import BalancedUpstream
from proxy.lanes.listener import Listener
from proxy.lanes.services import Entry, Services
from proxy.ops.access_log import AccessLog, AccessRecord
from proxy.ops.stats import (
    BreakerReading,
    CallerReading,
    EndpointReading,
    LimitReading,
    ListenerReading,
    Phase,
    RetriesReading,
    SnapshotsReading,
    ThrottleReading,
    UpstreamReading,
)
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.counters import RouteCounters, UpstreamCounters
from proxy.policy.endpoint_health import EJECTED, RETURNING
from proxy.policy.engine import Engine
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.retrying import Retrying
from proxy.policy.shared_rate import SharedRateLimiter
from proxy.policy.shedder import Shedder
from proxy.policy.verdict import Kind

MOST_CALLERS = 20
"""Callers that are shown by name: the busiest."""


class EngineReadings:
    """What an engine shows of itself, whoever carries out what it decides."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.phase: Phase = "starting"

    def routes(self) -> Iterator[tuple[str, RouteCounters]]:
        """See `Stats`."""
        yield from self._engine.rules.routes.items()

    def limits(self) -> Iterator[LimitReading]:
        """See `Stats`."""
        now = monotonic()
        for name, live in self._engine.rules.limits.items():
            limiter = live.limiter
            keyed = limiter.spec.per is not None
            shadow = limiter.spec.shadow
            match limiter:
                case SharedRateLimiter():
                    yield LimitReading(
                        name,
                        "rate",
                        live.counters,
                        capacity=limiter.spec.burst,
                        keys=limiter.keys,
                        share=limiter.share,
                        callers=[
                            CallerReading(key.decode("latin-1"), asks, wants)
                            for key, asks, wants in limiter.busiest(now, MOST_CALLERS)
                        ],
                    )
                case RateLimiter():
                    yield LimitReading(
                        name,
                        "rate",
                        live.counters,
                        shadow,
                        capacity=limiter.spec.burst,
                        keys=limiter.keys if keyed else None,
                        tokens=None if keyed else limiter.remaining(b"", now),
                    )
                case PaceLimiter():
                    yield LimitReading(
                        name, "pace", live.counters, shadow, keys=limiter.keys if keyed else None
                    )
                case ConcurrencyLimiter():
                    yield LimitReading(
                        name,
                        "concurrency",
                        live.counters,
                        shadow,
                        capacity=limiter.spec.concurrency,
                        in_flight=limiter.in_flight,
                        waiting=limiter.waiting,
                    )

        for adaptive in self._engine.rules.adaptive.values():
            yield LimitReading(
                adaptive.spec.name,
                "adaptive",
                adaptive.counters,
                capacity=adaptive.algorithm.places,
                in_flight=adaptive.in_flight_at(now),
                waiting=adaptive.queue.waiting,
            )

    def shedding(self) -> Shedder | None:
        """See `Stats`."""
        shedder = self._engine.shedder
        return None if shedder.spec is None else shedder

    def queueing(self) -> dict[str, float]:
        """See `Traffic`."""
        rules = self._engine.rules
        worst = dict.fromkeys(rules.snapshot.upstreams, 0.0)
        before = [
            (listener.upstream, name)
            for listener in rules.listeners.values()
            if not listener.outbound
            for name in listener.limits
        ]
        upstreams = rules.snapshot.upstreams.values()
        before += [(each.name, each.pool.name) for each in upstreams if each.pool is not None]
        for upstream, name in before:
            limiter = rules.limits[name].limiter
            if isinstance(limiter, ConcurrencyLimiter) and limiter.spec.per is None:
                waiting = limiter.waiting / limiter.spec.concurrency
                worst[upstream] = max(worst[upstream], waiting)
        for upstream, adaptive in rules.adaptive.items():
            waiting = adaptive.queue.waiting / adaptive.algorithm.places
            worst[upstream] = max(worst[upstream], waiting)
        return worst

    def breakers(self) -> Iterator[BreakerReading]:
        """See `Stats`."""
        now = monotonic()
        for (upstream, route), breaker in self._engine.rules.gates.breakers.items():
            since = breaker.since_at(now)
            yield BreakerReading(
                upstream,
                route,
                breaker.state_at(now).value,
                breaker.share_at(now),
                breaker.opened,
                breaker.cause,
                age=now - since if since else None,
                next_probe=breaker.opens_for(now),
                probes=breaker.probes_in_flight,
            )

    def throttles(self) -> Iterator[ThrottleReading]:
        """See `Stats`."""
        now = monotonic()
        for (upstream, route), throttle in self._engine.rules.gates.throttles.items():
            requests, accepts = throttle.counts_at(now)
            probability = throttle.probability_at(now)
            yield ThrottleReading(upstream, route, probability, requests, accepts)


class Readings(EngineReadings):
    """The process's `Stats`."""

    def __init__(self, services: Services, listeners: Sequence[Listener]) -> None:
        super().__init__(services.engine)
        self._services = services
        self._listeners = listeners

    def upstream_counters(self) -> dict[str, UpstreamCounters]:
        """See `Traffic`."""
        return {each.spec.name: each.counters for each in self._services.upstreams}

    def listeners(self) -> Iterator[ListenerReading]:
        """See `Stats`."""
        for each in self._listeners:
            yield ListenerReading(each.name, each.address, each.connections, each.accepted)

    def upstreams(self) -> Iterator[UpstreamReading]:
        """See `Stats`."""
        now = monotonic()
        for each in self._services.upstreams:
            spec = each.spec
            endpoints = _endpoints(each) if isinstance(each, BalancedUpstream) else ()
            listed = spec.balance is not None and spec.balance.resolve is None
            address = spec.unix_path or f"{spec.host}:{spec.port}"
            adaptive = self._engine.rules.adaptive.get(spec.name)
            retrying = self._engine.rules.retrying.get(spec.name)
            advice = self._engine.rules.gates.advice.get(spec.name)
            yield UpstreamReading(
                spec.name,
                f"{len(endpoints)} endpoints" if listed else address,
                each.in_use,
                each.idle,
                each.connects,
                each.failures,
                latency=(adaptive and adaptive.algorithm.latency) or None,
                baseline=(adaptive and adaptive.algorithm.baseline) or None,
                endpoints=endpoints,
                retries=None if retrying is None else _retries(retrying),
                advised=None if advice is None else advice.rate(now),
            )

    def snapshots(self) -> SnapshotsReading:
        """See `Stats`."""
        stored, shelf = self._engine.rules.stored, self._services.shelf
        return SnapshotsReading(
            len(stored.table),
            stored.table.bytes,
            stored.spec.memory_bytes,
            0 if shelf is None else shelf.errors,
        )


class Recorder:
    """Writes exchanges of the lanes to the access log."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log
        # Asked about every request: one call, not two.
        self.wants: Callable[[Kind, float], bool] = log.wants

    def write(self, entry: Entry) -> None:
        """See `ExchangeLog`."""
        verdict, completion, head = entry.verdict, entry.completion, entry.head
        reason = completion.reason or verdict.reason
        served = None if verdict.lookup is None else verdict.lookup.served
        if verdict.reason is not None:
            word = "refused"
        elif completion.reason is not None:
            word = "failed"
        elif served is not None and completion.status:
            word = "stored"
        else:
            word = "forwarded" if completion.status else "abandoned"
        self._log.write(
            AccessRecord(
                listener=verdict.guard.listener,
                route=verdict.guard.route,
                client=entry.client,
                method="" if head is None else head.method.decode("latin-1"),
                target="" if head is None else head.target.decode("latin-1"),
                host="" if head is None else head.host.decode("latin-1"),
                user_agent="" if head is None else _user_agent(head.fields),
                status=completion.status,
                verdict=word,
                reason=reason,
                limit=verdict.limit.name if verdict.limit else "",
                duration=completion.duration,
                own=completion.own,
                waited=verdict.waited,
                upstream=entry.upstream_wait,
                bytes_in=entry.bytes_in,
                bytes_out=entry.bytes_out,
                detail=entry.detail,
                attempts=verdict.attempts,
                served_from="" if served is None or not completion.status else "stored",
            )
        )


def _endpoints(upstream: BalancedUpstream) -> tuple[EndpointReading, ...]:
    now = monotonic()
    rows = []
    for each in upstream.endpoints.all:
        health, standing = each.health, each.health.standing
        if standing is EJECTED and health.until <= now:
            # That it may return is found out with the next request.
            standing = RETURNING
        rows.append(
            EndpointReading(
                str(each.place),
                each.in_flight,
                health.failures,
                health.ejections,
                standing.value,
                health.until - now if standing is EJECTED else 0.0,
                each.why,
                health.in_a_row,
            )
        )
    return tuple(rows)


def _retries(retrying: Retrying) -> RetriesReading:
    return RetriesReading(
        {
            "answered": retrying.answered,
            "failed": retrying.failed,
            "held_back": retrying.held_back,
            "over_budget": retrying.over_budget,
        },
        retrying.budget.left(monotonic()),
    )


def _user_agent(fields: Sequence[tuple[bytes, bytes]]) -> str:
    for name, value in fields:
        if name.lower() == b"user-agent":
            return value.decode("latin-1")
    return ""
