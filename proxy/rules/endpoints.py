"""Upstreams with several endpoints: what their keys mean together, and mistakes in them."""

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

from proxy.policy.endpoint_spec import (
    BalanceSpec,
    EjectionSpec,
    Place,
    ResolveSpec,
    most_ejected,
)
from proxy.rules import addresses, units
from proxy.rules.addresses import Origin
from proxy.rules.document import Value, as_plain, get
from proxy.rules.problems import Step, nearest

if TYPE_CHECKING:
    from proxy.rules.schema import Upstream

Found = Iterator[tuple[tuple[Step, ...], str]]

_SCHEMES = ("http:", "https:", "unix:")


def place(origin: Origin) -> Place:
    """Where it is, as the lanes know it."""
    address = origin.address
    if address is None:
        return Place("localhost", 80, origin.unix_path)
    return Place(address.host, address.port)


def balance(upstream: "Upstream") -> BalanceSpec | None:
    """Between which endpoints its requests go; None for one without a choice."""
    resolve, ejection = upstream.resolve, upstream.ejection
    if not upstream.endpoints and resolve is None:
        return None
    return BalanceSpec(
        tuple(place(origin) for origin in upstream.endpoints),
        None if resolve is None else ResolveSpec(resolve.nameserver, resolve.every),
        EjectionSpec()
        if ejection is None
        else EjectionSpec(
            consecutive_failures=ejection.consecutive_failures,
            error_ratio=ejection.error_ratio,
            min_requests=ejection.min_requests,
            window=ejection.window,
            duration=ejection.time,
            longest=ejection.max_time,
            most_ratio=ejection.max_ejected,
        ),
    )


def endpoint_problems(steps: tuple[Step, ...], upstream: Value) -> Found:
    """Every problem of one upstream with its path."""
    if not isinstance(upstream, dict):
        return
    there = [key for key in ("url", "endpoints") if upstream.get(key) is not None]
    # A misspelt key is not missing as well.
    others = upstream.keys() - {"url", "endpoints"}
    if not there and not (nearest("url", others) or nearest("endpoints", others)):
        yield (*steps, "url"), "is missing; or else endpoints, which are several"
    elif len(there) > 1:
        yield (*steps, "endpoints"), "there is a url already: either that or these"
    endpoints = upstream.get("endpoints")
    if endpoints == []:
        yield (*steps, "endpoints"), "must not be empty"
    urls = endpoints if isinstance(endpoints, list) else []
    yield from _list(steps, urls)
    yield from _resolve(steps, upstream)
    yield from _ejection(steps, upstream, urls)


def _list(steps: tuple[Step, ...], urls: list[Value]) -> Found:
    first: dict[Place, int] = {}
    for index, url in enumerate(urls):
        try:
            where = place(addresses.origin(url))
        except ValueError:
            continue
        if where in first:
            yield (*steps, "endpoints", index), f"is endpoints[{first[where]}] again"
        first.setdefault(where, index)
        if _scheme(url) != _scheme(urls[0]):
            yield (*steps, "endpoints", index), "is not of the first one's scheme"


def _resolve(steps: tuple[Step, ...], upstream: dict[str, Value]) -> Found:
    if "resolve" not in upstream:
        return
    if "url" not in upstream:
        yield (*steps, "resolve"), "has no effect without a url, whose name it looks up"
        return
    try:
        origin = addresses.origin(upstream["url"])
        if origin.address is not None:
            ip_address(origin.address.host.partition("%")[0])
    except ValueError:
        return  # a name, or nothing that a look-up could be wrong about
    yield (*steps, "resolve"), "has no effect: the url holds no name"


def _ejection(steps: tuple[Step, ...], upstream: dict[str, Value], urls: list[Value]) -> Found:
    if "ejection" not in upstream:
        return
    if "endpoints" not in upstream and "resolve" not in upstream:
        yield (*steps, "ejection"), "has no effect without endpoints or resolve"
        return
    ejection = upstream["ejection"]
    try:
        ratio = units.ratio(as_plain(get(ejection, "max_ejected") or "50%"))
        shortest = units.duration(as_plain(get(ejection, "time") or "10s"))
        longest = units.duration(as_plain(get(ejection, "max_time") or "5m"))
    except ValueError:
        return
    if shortest > longest:
        if get(ejection, "max_time") is None:
            yield (*steps, "ejection", "time"), "is longer than max_time, which is 5m by default"
        elif get(ejection, "time") is None:
            yield (*steps, "ejection", "max_time"), "is shorter than time, which is 10s by default"
        else:
            yield (*steps, "ejection", "time"), "is longer than max_time"
    if len(urls) > 1 and ratio and not most_ejected(len(urls), ratio):
        key = (*steps, "ejection", "max_ejected")
        yield key, f"of {len(urls)} endpoints that is none; write 0% if it is meant"


def _scheme(url: Value) -> str:
    text = url if isinstance(url, str) else ""
    return next((scheme for scheme in _SCHEMES if text.startswith(scheme)), "")
