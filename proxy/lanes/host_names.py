"""Whether upstreams' hosts are known at all: asked at the start, and when the rules change."""

import asyncio
import logging
import socket
from collections.abc import Iterable

from proxy.lanes.resolving import LOOK_UP_SECONDS, Found, LookUpError, look_up
from proxy.policy.snapshot import UpstreamSpec

log = logging.getLogger(__name__)


def hosts_of(spec: UpstreamSpec) -> frozenset[str]:
    """The hosts of an upstream that are looked up whenever one is connected to."""
    if spec.balance is not None:
        return frozenset(each.host for each in spec.balance.endpoints if each.unix_path is None)
    return frozenset() if spec.unix_path is not None else frozenset({spec.host})


async def check_hosts(upstreams: Iterable[UpstreamSpec]) -> None:
    """Raises LookUpError when the host of one is not known. Of several endpoints' one must be: the
    others may be down.
    """
    for spec in upstreams:
        hosts = sorted(hosts_of(spec))
        unknown = list(filter(None, await asyncio.gather(*map(_unknown, hosts))))
        for each in unknown:
            if len(unknown) == len(hosts):
                raise LookUpError(f"upstream {spec.name}: {each}")
            log.warning("upstream %s: %s", spec.name, each)


async def _unknown(host: str) -> str:
    """Why it is; empty if it is known."""
    try:
        async with asyncio.timeout(LOOK_UP_SECONDS):
            await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "no answer"
        return f"unknown host {host!r}: {why}"
    return ""


async def find_places(upstreams: Iterable[UpstreamSpec]) -> dict[str, Found]:
    """Where those are that are balanced between a name's addresses, by the upstream's name.

    Raises LookUpError.
    """
    found: dict[str, Found] = {}
    for spec in upstreams:
        if spec.balance is not None and spec.balance.resolve is not None:
            try:
                found[spec.name] = await look_up(spec.host, spec.port, spec.balance.resolve)
            except LookUpError as error:
                message = f"upstream {spec.name}: unknown host {spec.host!r}: {error}"
                raise LookUpError(message) from None
    return found
