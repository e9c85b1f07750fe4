"""What one part of the document says about another: names, addresses, order.

Looks at the plain data and not at the schema's models, so that these mistakes are found whatever
else is wrong: what is not as it should be is passed over here.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TypeVar

from proxy.policy.routes import Pattern, parse_pattern
from proxy.rules import addresses, paths
from proxy.rules.document import Value, entries, get, section
from proxy.rules.problems import Step, nearest, shown, suggestion

Steps = tuple[Step, ...]
Found = Iterator[tuple[Steps, str]]
T = TypeVar("T")

_Earlier = tuple[int, frozenset[str], frozenset[str], frozenset[str]]
_ANY = ""

BUNDLED_PAGES = ("busy", "trouble", "bad-request")
MOST_CANDIDATES = 100
"""So many earlier routes of like paths are looked at for one that leaves nothing."""
RESERVED_ROUTE = "unmatched"
"""What requests without a route are counted as."""


def reference_problems(data: Value) -> Found:
    """Every problem with its path."""
    yield from _names(data)
    yield from _upstreams(data)
    yield from _listeners(data)
    yield from _limits(data)
    yield from _pages(data)
    yield from _bindings(data)
    yield from _dead_routes(data)


def _names(data: Value) -> Found:
    for owners in ("listeners", "routes"):
        first: dict[str, int] = {}
        for index, entry in enumerate(entries(data, owners)):
            name = get(entry, "name")
            if not isinstance(name, str):
                continue
            if owners == "routes" and name == RESERVED_ROUTE:
                yield (owners, index, "name"), "means the requests that no route takes"
            if name in first:
                message = f"{owners}[{first[name]}] has this name already"
                yield (owners, index, "name"), message
            first.setdefault(name, index)
    named: dict[str, str] = {name: f"limits.{name}" for name in section(data, "limits")}
    for steps, limit in _inline_limits(data):
        name = get(limit, "name")
        if not isinstance(name, str):
            continue
        if name in named:
            yield (*steps, "name"), f"{named[name]} has this name already"
        named.setdefault(name, f"{steps[0]}[{steps[1]}].limits[{steps[3]}]")


def _upstreams(data: Value) -> Found:
    known = get(data, "upstreams")
    if not isinstance(known, dict):
        return
    for index, listener in enumerate(entries(data, "listeners")):
        place: Steps = ("listeners", index)
        hosts = section(listener, "hosts")
        named = [((*place, "hosts", host), name) for host, name in hosts.items()]
        for steps, name in [((*place, "upstream"), get(listener, "upstream")), *named]:
            if isinstance(name, str) and name not in known:
                yield steps, f"no upstream {shown(name)}{suggestion(name, known)}"
        first: dict[str, str] = {}
        for host in hosts:
            canonical = _parsed(addresses.named_host, host)
            if canonical is not None and first.setdefault(canonical, host) != host:
                yield (*place, "hosts", host), f"is the same as {shown(first[canonical])}"


def _listeners(data: Value) -> Found:
    """The listeners that routes name."""
    known = [str(get(listener, "name")) for listener in entries(data, "listeners")]
    for index, route in enumerate(entries(data, "routes")):
        for place, name in enumerate(entries(get(route, "match"), "listeners")):
            if isinstance(name, str) and name not in known:
                message = f"no listener {shown(name)}{suggestion(name, known)}"
                yield ("routes", index, "match", "listeners", place), message


def _limits(data: Value) -> Found:
    named = section(data, "limits")
    known = isinstance(get(data, "limits"), dict | None)
    for owners in ("listeners", "routes"):
        for index, entry in enumerate(entries(data, owners)):
            path = get(get(entry, "match"), "path") if owners == "routes" else None
            seen: set[str] = set()
            for place, limit in enumerate(entries(entry, "limits")):
                steps: Steps = (owners, index, "limits", place)
                if isinstance(limit, str):
                    if limit not in named and known:
                        yield steps, f"no limit {shown(limit)}{suggestion(limit, named)}"
                    if limit in seen:
                        yield steps, "stands in this list already"
                    seen.add(limit)
                    yield from _path_parameter(steps, named.get(limit), path, owners)
                else:
                    yield from _path_parameter((*steps, "per"), limit, path, owners)


def _path_parameter(steps: Steps, limit: Value, path: Value, owners: str) -> Found:
    """A limit that counts by a path parameter needs it in the pattern."""
    per = get(limit, "per")
    if not isinstance(per, str) or not per.startswith("path:"):
        return
    name = per.removeprefix("path:")
    if owners == "listeners":
        yield steps, f"counts by the path parameter {shown(name)}, and a listener has no path"
    elif path is None or (isinstance(path, str) and name not in _parameters(path)):
        pattern = "/**" if path is None else path
        yield steps, f"counts by the path parameter {shown(name)}, which {pattern} does not have"


def _parameters(path: str) -> set[str]:
    # A pattern that is wrong is reported as such; its parameters are not missing then.
    try:
        return {name for name, _ in parse_pattern(path).parameters}
    except ValueError:
        return set(re.findall(r"\w+", path))


def _pages(data: Value) -> Found:
    pages = get(data, "pages")
    if not isinstance(pages, dict | None):
        return
    known = [*BUNDLED_PAGES, *(pages or ())]
    fallbacks: list[tuple[Steps, Value]] = [(("fallback",), get(data, "fallback"))]
    for index, route in enumerate(entries(data, "routes")):
        fallbacks.append((("routes", index, "fallback"), get(route, "fallback")))
    for steps, fallback in fallbacks:
        named: list[tuple[Steps, Value]] = [((*steps, "page"), get(fallback, "page"))]
        for reason, page in section(fallback, "by_reason").items():
            named.append(((*steps, "by_reason", reason), page))
        for place, name in named:
            if isinstance(name, str) and name not in known:
                yield place, f"no page {shown(name)}{suggestion(name, known)}"


def _bindings(data: Value) -> Found:
    """Addresses that can't be bound together, and upstreams that lead back to ourselves."""
    bound: list[tuple[str, addresses.Address]] = []
    ours: list[tuple[Steps, Value]] = [
        (("listeners", index, "bind"), get(listener, "bind"))
        for index, listener in enumerate(entries(data, "listeners"))
    ]
    admin = get(get(data, "admin"), "bind")
    ours.append((("admin", "bind"), "127.0.0.1:9901" if admin is None else admin))
    for steps, text in ours:
        address = _parsed(addresses.bind, text)
        if address is None:
            continue
        who = "admin" if steps[0] == "admin" else f"listeners[{steps[1]}]"
        for other, taken in bound:
            if address.clashes(taken):
                yield steps, f"{other} listens there already"
                break
        bound.append((who, address))
    for name, upstream in section(data, "upstreams").items():
        urls: list[tuple[Steps, Value]] = [(("url",), get(upstream, "url"))]
        endpoints = get(upstream, "endpoints")
        if isinstance(endpoints, list):
            urls += [(("endpoints", index), url) for index, url in enumerate(endpoints)]
        for place, url in urls:
            origin = _parsed(addresses.origin, url)
            for who, address in bound:
                if origin and origin.address and origin.address.reaches(address):
                    yield ("upstreams", name, *place), f"a loop: {who} listens there"


def _dead_routes(data: Value) -> Found:
    """Routes that an earlier one leaves nothing to; only where that is sure."""
    # By one of the hosts that a route takes, so that a thousand hosts are no thousand candidates.
    trees: dict[str, paths.PatternTree[_Earlier]] = defaultdict(paths.PatternTree)
    for index, route in enumerate(entries(data, "routes")):
        taken = _taken(route)
        if taken is None:
            continue
        pattern, methods, hosts, listeners = taken
        candidates = chain.from_iterable(
            trees[host].covering(pattern)
            for host in _wider(min(hosts, default=_ANY))
            if host in trees
        )
        earlier = [
            first
            for first, first_methods, first_hosts, held in islice(candidates, MOST_CANDIDATES)
            if (not first_methods or (methods and methods <= first_methods))
            and (not held or (listeners and listeners <= held))
            and (
                not first_hosts or (hosts and all(first_hosts & {*_wider(host)} for host in hosts))
            )
        ]
        if earlier:
            message = f"never matches: routes[{min(earlier)}] takes everything before it"
            yield ("routes", index), message
        else:
            for host in hosts or {_ANY}:
                trees[host].add(pattern, (index, methods, hosts, listeners))


def _taken(
    route: Value,
) -> tuple[Pattern, frozenset[str], frozenset[str], frozenset[str]] | None:
    """What a route takes: paths, methods, hosts and listeners; None where that is not sure."""
    match = get(route, "match")
    if not isinstance(route, dict) or not isinstance(match, dict | None):
        return None
    # A misspelt key does not mean that the route takes everything.
    if (match or {}).keys() - {"path", "methods", "hosts", "listeners"} or (
        "match" not in route and nearest("match", route)
    ):
        return None
    path = _parsed(paths.pattern, get(match, "path") or "/**")
    methods, hosts = _texts(match, "methods"), _texts(match, "hosts")
    listeners = _texts(match, "listeners", as_written=True)
    if path is None or methods is None or hosts is None or listeners is None:
        return None
    if any(len(host) > 253 for host in hosts):
        return None
    if "get" in methods:
        methods |= {"head"}
    return parse_pattern(path), methods, hosts, listeners


def _wider(host: str) -> Iterator[str]:
    """The hosts of a route that surely takes `host`: any, itself, and what stands above it."""
    yield _ANY
    if host != _ANY:
        yield host
        for dot in re.finditer(r"\.", host.removeprefix("*.")):
            yield "*" + host.removeprefix("*.")[dot.start() :]


def _inline_limits(data: Value) -> Iterator[tuple[Steps, Value]]:
    for owners in ("listeners", "routes"):
        for index, entry in enumerate(entries(data, owners)):
            for place, limit in enumerate(entries(entry, "limits")):
                if isinstance(limit, dict):
                    yield (owners, index, "limits", place), limit


def _texts(value: Value, key: str, *, as_written: bool = False) -> frozenset[str] | None:
    """A list of texts, in lower case unless `as_written`; None when it is something else."""
    inner = get(value, key)
    if inner is None:
        return frozenset()
    if not isinstance(inner, list) or not all(isinstance(each, str) for each in inner):
        return None
    return frozenset(str(each) if as_written else str(each).lower() for each in inner)


def _parsed(parse: Callable[[object], T], value: Value) -> T | None:
    try:
        return parse(value)
    except ValueError:
        return None
