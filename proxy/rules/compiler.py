"""A document without mistakes to a snapshot."""

from collections.abc import Mapping, Sequence
from math import floor
from pathlib import Path

from proxy.policy import snapshot as spec
from proxy.policy.keys import BY_CALLER, KeySource
from proxy.policy.log_spec import LogSpec
from proxy.policy.priority import Priority
from proxy.policy.snapshot import (
    AdaptiveSpec,
    AdminSpec,
    AdviceSpec,
    ConcurrencySpec,
    KeepSpec,
    LimitSpec,
    ListenerSpec,
    PaceSpec,
    RateSpec,
    RetrySpec,
    RouteSpec,
    ServerSpec,
    SharedRateSpec,
    Snapshot,
    StoreSpec,
    TlsSpec,
    UpstreamSpec,
)
from proxy.rules.answers import AnswerTable
from proxy.rules.endpoints import balance, place
from proxy.rules.gates import failures, gate_specs
from proxy.rules.outbound_schema import Pool
from proxy.rules.retry_schema import Retry
from proxy.rules.schema import (
    ConcurrencyLimit,
    InlineConcurrencyLimit,
    InlinePaceLimit,
    InlineRateLimit,
    Listener,
    PaceLimit,
    RateLimit,
    Route,
    Rules,
    Upstream,
)
from proxy.rules.templates import Template
from proxy.rules.thresholds import shedding
from proxy.rules.units import Rate

DEFAULT_MAX_KEYS = 65536

LEAST_SHARED_BURST = 20
"""Where 20 callers keep to their shares of 10 a second in all, one in 12 is refused with a burst of
5, and one in 150 with this."""

_Limit = RateLimit | PaceLimit | ConcurrencyLimit
_Inline = str | InlineRateLimit | InlinePaceLimit | InlineConcurrencyLimit


def compile_rules(
    rules: Rules,
    templates: Mapping[str, Template],
    folder: Path,
    files: tuple[str, ...],
    digests: Mapping[str, bytes],
    version: str,
) -> Snapshot:
    """The snapshot of `rules`. `templates` are its page files by the paths that it names, relative
    to `folder`; `files` and `version` are taken over as they are; `digests` stand for what the
    files that it names held, by absolute path.
    """
    limits: dict[str, LimitSpec] = {
        name: _limit(name, limit) for name, limit in rules.limits.items()
    }
    upstreams = {
        name: _upstream(name, each, folder, digests) for name, each in rules.upstreams.items()
    }
    table = AnswerTable(rules.pages, templates)
    listeners = tuple(
        _listener(
            listener,
            _advised(listener, limits)
            + _named(f"listener/{listener.name}", listener.limits, limits),
        )
        for listener in rules.listeners
    )
    routes = tuple(
        RouteSpec(
            name=route.name,
            path=route.match.path,
            methods=frozenset(route.match.methods),
            hosts=tuple(route.match.hosts),
            limits=_named(route.name, route.limits, limits),
            answers=table.by_reason(route.fallback, rules.fallback),
            max_body_bytes=route.max_body_size,
            priority=Priority[route.priority.upper()],
            keep=_keep(route),
            listeners=tuple(route.match.listeners),
            failures=None if route.failures is None else failures(route.failures),
            **gate_specs(route.name, route),
        )
        for route in rules.routes
    )
    pools = (each.pool for each in upstreams.values() if each.pool is not None)
    limits.update((each.name, each) for each in pools)
    return Snapshot(
        listeners=listeners,
        upstreams=upstreams,
        routes=routes,
        limits=limits,
        answers=table.by_reason(rules.fallback),
        server=ServerSpec(
            rules.server.max_connections, rules.server.drain_timeout, rules.server.express
        ),
        admin=AdminSpec(rules.admin.bind.host, rules.admin.bind.port, rules.admin.token or None),
        logs=LogSpec(
            rules.logs.format,
            rules.logs.level,
            rules.logs.access,
            rules.logs.sample_admitted,
            rules.logs.sample_refused,
        ),
        shedding=None if rules.shedding is None else shedding(rules.shedding),
        stored=StoreSpec(
            rules.snapshots.memory,
            rules.snapshots.largest,
            None if rules.snapshots.folder is None else str(folder / rules.snapshots.folder),
        ),
        files=files,
        version=version,
    )


def _keep(route: Route) -> KeepSpec | None:
    cache, key = route.cache, route.snapshot_key
    if cache is None and route.fallback.snapshot is None:
        return None
    return KeepSpec(
        last_good_for=route.fallback.snapshot,
        ttl=0.0 if cache is None else cache.ttl,
        coalesce=cache is not None and cache.coalesce,
        query=None if key.query is None else tuple(key.query),
        cookies=tuple(key.cookies),
        headers=tuple(each.lower() for each in key.headers),
        ignored_cookies=tuple(key.ignore_cookies),
    )


def _named(owner: str, listed: Sequence[_Inline], limits: dict[str, LimitSpec]) -> tuple[str, ...]:
    """The names of a list of limits; inline ones are added to `limits`.

    Live state is kept by name over a reload. So an inline limit's name depends on its owner, its
    kind and its key alone, and only a repeat of all three is told apart by its number.
    """
    names = []
    for limit in listed:
        if isinstance(limit, str):
            names.append(limit)
            continue
        name = limit.name or _free_name(f"{owner}/{limit.kind}{_suffix(limit.per)}", limits)
        limits[name] = _limit(name, limit)
        names.append(name)
    return tuple(names)


def _advised(listener: Listener, limits: dict[str, LimitSpec]) -> tuple[str, ...]:
    """The name of the rate that the listener's callers share, if they do; it is added too."""
    advise = listener.advise
    if advise is None:
        return ()
    rate = advise.rate
    name = f"listener/{listener.name}/shared"
    burst = advise.burst or max(LEAST_SHARED_BURST, _default_burst(rate))
    limits[name] = SharedRateSpec(
        name, rate.per_second, burst, rate.quota, rate.window, per=BY_CALLER
    )
    return (name,)


def _free_name(name: str, taken: Mapping[str, LimitSpec]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def _suffix(per: KeySource | None) -> str:
    if per is None:
        return ""
    return f":{per.kind}:{per.name}" if per.name else f":{per.kind}"


def _limit(name: str, limit: _Limit) -> LimitSpec:
    shadow = limit.mode == "shadow"
    if isinstance(limit, ConcurrencyLimit):
        return ConcurrencySpec(
            name=name,
            concurrency=limit.concurrency,
            queue=limit.queue,
            queue_timeout=limit.queue_timeout or 0.0,
            order=limit.queue_order,
            per=limit.per,
            shadow=shadow,
        )
    max_keys = limit.max_keys or DEFAULT_MAX_KEYS
    if isinstance(limit, PaceLimit):
        return PaceSpec(
            name=name,
            rate=limit.pace.per_second,
            quota=limit.pace.quota,
            window=limit.pace.window,
            max_wait=limit.max_wait,
            per=limit.per,
            warm_up=limit.warm_up,
            max_keys=max_keys,
            shadow=shadow,
        )
    return RateSpec(
        name=name,
        rate=limit.rate.per_second,
        burst=limit.burst or _default_burst(limit.rate),
        quota=limit.rate.quota,
        window=limit.rate.window,
        per=limit.per,
        warm_up=limit.warm_up,
        max_keys=max_keys,
        shadow=shadow,
    )


def _default_burst(rate: Rate) -> int:
    """A tenth of a second's worth: room for arrivals that are not quite even, and no more."""
    return max(1, floor(rate.quota / rate.window / 10))


def _listener(listener: Listener, limits: tuple[str, ...]) -> ListenerSpec:
    timeouts = listener.timeouts
    return ListenerSpec(
        name=listener.name,
        host=listener.bind.host,
        port=listener.bind.port,
        upstream=listener.upstream or "",
        trusted_proxies=tuple(listener.trusted_proxies),
        limits=limits,
        timeouts=spec.ListenerTimeouts(timeouts.head, timeouts.body, timeouts.idle, timeouts.send),
        max_head_bytes=listener.max_head_size,
        max_body_bytes=listener.max_body_size,
        min_body_bytes_per_second=listener.min_body_rate,
        outbound=listener.direction == "outbound",
        hosts=listener.hosts,
        deadline_header=listener.deadline_header,
        callers=() if listener.advise is None else tuple(listener.advise.callers),
    )


def _pool(name: str, pool: Pool) -> ConcurrencySpec:
    """A limit: an HTTP/1.1 connection carries one exchange at a time (RFC 9112 section 9.3)."""
    return ConcurrencySpec(name, pool.connections, pool.pending, pool.pending_timeout or 0.0)


def _upstream(
    name: str, upstream: Upstream, folder: Path, digests: Mapping[str, bytes]
) -> UpstreamSpec:
    url = upstream.url or upstream.endpoints[0]
    where, timeouts = place(url), upstream.timeouts
    tls = None
    if url.tls:
        tls = TlsSpec()
        if upstream.tls is not None:
            named = upstream.tls.ca_file
            ca_file = str(folder / named) if named is not None else None
            tls = TlsSpec(
                upstream.tls.verify,
                ca_file,
                upstream.tls.server_name,
                digests[ca_file].hex() if ca_file is not None else "",
            )
    bounds, pool = upstream.adaptive_concurrency, upstream.pool
    obey = upstream.obey_advice
    return UpstreamSpec(
        name=name,
        host=where.host,
        port=where.port,
        tls=tls,
        unix_path=where.unix_path,
        timeouts=spec.UpstreamTimeouts(
            timeouts.connect, timeouts.response, timeouts.body, timeouts.idle, timeouts.tunnel
        ),
        adaptive_concurrency=(
            None if bounds is None else AdaptiveSpec(f"{name}/adaptive", bounds.min, bounds.max)
        ),
        pool=None if pool is None else _pool(f"{name}/pool", pool),
        failures=failures(upstream.failures),
        balance=balance(upstream),
        retry=None if upstream.retry is None else _retry(upstream.retry),
        **gate_specs(name, upstream),
        advice=(
            None if obey is None else AdviceSpec(f"{name}/advice", obey.max_age, obey.tell_demand)
        ),
    )


def _retry(retry: Retry) -> RetrySpec:
    first, longest = retry.backoff
    return RetrySpec(
        attempts=retry.attempts,
        budget=retry.budget,
        least_per_second=retry.min_per_second,
        first_backoff=first,
        longest_backoff=longest,
        statuses=frozenset(retry.statuses),
        timeouts=retry.timeouts,
    )
