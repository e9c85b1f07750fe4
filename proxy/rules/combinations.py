"""Keys of one section that make no sense together, or not without each other.

Looks at the plain data, so that these mistakes are found whatever else is wrong.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network

from proxy.rules import addresses, units
from proxy.rules.document import Value, as_plain, entries, get, section
from proxy.rules.endpoints import endpoint_problems
from proxy.rules.gates import gate_problems
from proxy.rules.problems import Step, nearest
from proxy.rules.thresholds import threshold_problems

Found = Iterator[tuple[tuple[Step, ...], str]]

_HOLDING_BACK = ("breaker", "throttle")
_EMPTY = "holds nothing, so it is off: write {} for what holds by default"


def combination_problems(data: Value) -> Found:
    """Every problem with its path."""
    for name, limit in section(data, "limits").items():
        yield from _limit(("limits", name), limit)
    for owners in ("listeners", "routes"):
        for index, owner in enumerate(entries(data, owners)):
            for place, limit in enumerate(entries(owner, "limits")):
                yield from _limit((owners, index, "limits", place), limit)
    for index, listener in enumerate(entries(data, "listeners")):
        yield from _listener(("listeners", index), listener)
        yield from _callers(("listeners", index), listener)
    for name, upstream in section(data, "upstreams").items():
        yield from _upstream(("upstreams", name), upstream)
    yield from gate_problems(data)
    for name, page in section(data, "pages").items():
        yield from _page(("pages", name), page)
    yield from _empty((), data, "shedding")
    signals = section(get(data, "shedding"), "signals")
    for name in signals:
        yield from _empty(("shedding", "signals"), signals, name)
    yield from threshold_problems(data)
    for index, route in enumerate(entries(data, "routes")):
        for key in _HOLDING_BACK:
            yield from _empty(("routes", index), route, key)
        yield from _kept(("routes", index), route)
    yield from _snapshots(get(data, "snapshots"))
    yield from _admin(get(data, "admin"))


def _limit(steps: tuple[Step, ...], limit: Value) -> Found:
    if not isinstance(limit, dict):
        return
    if "concurrency" not in limit:
        if limit.get("max_keys") is not None and limit.get("per") is None:
            yield (*steps, "max_keys"), "has no effect without per"
    elif not as_plain(limit.get("queue")):
        for key in ("queue_timeout", "order"):
            if key in limit:
                yield (*steps, key), "has no effect without a queue"
    elif limit.get("queue_timeout") is None:
        yield (*steps, "queue"), "needs a queue_timeout"


def _listener(steps: tuple[Step, ...], listener: Value) -> Found:
    if not isinstance(listener, dict):
        return
    hosts = listener.get("hosts")
    if hosts and listener.get("direction") != "outbound":
        yield (*steps, "hosts"), "has no effect: only an outbound listener is a proxy for hosts"
        hosts = None
    # A misspelt key is told as such.
    others = listener.keys() - {"upstream", "hosts"}
    misspelt = any(nearest(str(key), ("upstream", "hosts")) for key in others)
    if not hosts and listener.get("upstream") is None and not misspelt:
        yield (*steps, "upstream"), "is missing"


def _callers(steps: tuple[Step, ...], listener: Value) -> Found:
    """A trusted proxy speaks for its clients, so it is never the caller itself."""
    if isinstance(listener, dict) and "advise" in listener and listener["advise"] is None:
        yield (*steps, "advise"), "holds nothing: it needs rate and callers"
    proxies = list(_networks(get(listener, "trusted_proxies")))
    for place, caller in _networks(get(get(listener, "advise"), "callers")):
        for _, proxy in proxies:
            if caller.version == proxy.version and caller.subnet_of(proxy):  # type: ignore[arg-type]
                message = "has no effect: a trusted proxy speaks for others"
                yield (*steps, "advise", "callers", place), message
                break


def _networks(listed: Value) -> Iterator[tuple[int, IPv4Network | IPv6Network]]:
    for place, text in enumerate(listed if isinstance(listed, list) else ()):
        with suppress(ValueError):
            yield place, addresses.network(text)


def _upstream(steps: tuple[Step, ...], upstream: Value) -> Found:
    yield from endpoint_problems(steps, upstream)
    tls, endpoints = get(upstream, "tls"), get(upstream, "endpoints")
    url = endpoints[0] if isinstance(endpoints, list) and endpoints else get(upstream, "url")
    if isinstance(url, str) and tls is not None and not url.startswith("https:"):
        yield (*steps, "tls"), "has no effect: the url is not https"
    bounds = get(upstream, "adaptive_concurrency")
    names = ("adaptive_concurrency", "resolve", "ejection", *_HOLDING_BACK, "retry", "obey_advice")
    for key in names:
        yield from _empty(steps, upstream, key)
    retry = get(upstream, "retry")
    if get(retry, "budget") == "0%" and as_plain(get(retry, "min_per_second")) == 0:
        yield (*steps, "retry", "budget"), "leaves no retries at all, with min_per_second: 0"
    # As the schema has it, where one is left out.
    least, most = (as_plain(get(bounds, key)) for key in ("min", "max"))
    if isinstance(least, int) and least > (most if isinstance(most, int) else 1000):
        yield (*steps, "adaptive_concurrency", "min"), "is more than max"
    pool = get(upstream, "pool")
    if isinstance(upstream, dict) and "pool" in upstream and pool is None:
        yield (*steps, "pool"), "holds nothing, so it is off: say how many connections"
    if as_plain(get(pool, "pending")) and get(pool, "pending_timeout") is None:
        yield (*steps, "pool", "pending"), "needs a pending_timeout"
    elif get(pool, "pending_timeout") is not None and not as_plain(get(pool, "pending")):
        yield (*steps, "pool", "pending_timeout"), "has no effect without pending"
    if get(tls, "ca_file") is not None and as_plain(get(tls, "verify")) is False:
        yield (*steps, "tls", "ca_file"), "has no effect while verify is false"


def _empty(steps: tuple[Step, ...], holder: Value, key: str) -> Found:
    """Who writes `shedding:` and no more takes it for on, which only a flood would disprove."""
    if isinstance(holder, dict) and key in holder and holder[key] is None:
        yield (*steps, key), _EMPTY


def _kept(steps: tuple[Step, ...], route: Value) -> Found:
    """What is kept of a route's answers, and why."""
    asked = [
        (steps_to, value)
        for steps_to, value in (
            (("cache",), get(route, "cache")),
            (("fallback", "snapshot"), get(get(route, "fallback"), "snapshot")),
        )
        if value is not None
    ]
    if not asked and get(route, "snapshot_key"):
        yield (*steps, "snapshot_key"), "has no effect without cache or fallback.snapshot"
    methods = get(get(route, "match"), "methods")
    if isinstance(methods, list) and methods and "GET" not in methods:
        for place, _ in asked:
            yield (*steps, *place), "has no effect: the route takes no GET"


def _snapshots(snapshots: Value) -> Found:
    try:
        memory = units.size(get(snapshots, "memory") or "64MiB")
        largest = units.size(get(snapshots, "largest") or "1MiB")
    except ValueError:
        return
    if 10 * largest > memory:
        key = "memory" if get(snapshots, "largest") is None else "largest"
        yield ("snapshots", key), "the largest (1MiB by default) is over a tenth of the memory"


def _page(steps: tuple[Step, ...], page: Value) -> Found:
    forms = [get(page, form) for form in ("html", "json", "text")]
    if get(page, "status") is not None and forms == [None, None, None]:
        yield (*steps, "status"), "a page with a status needs a form: html, json or text"


def _admin(admin: Value) -> Found:
    token = get(admin, "token")
    if isinstance(token, str) and not re.fullmatch(r"[!-~]*", token):
        yield ("admin", "token"), "must be printable ASCII without spaces"
    try:
        address = addresses.bind(get(admin, "bind"))
    except ValueError:
        return
    if not address.loopback and token in (None, ""):
        yield ("admin", "bind"), "others can reach this address: set a token"
