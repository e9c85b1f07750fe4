"""The addresses that a name has, looked up again when their time is over."""

import asyncio
import logging
import socket
from collections.abc import Callable
from importlib import import_module
from ipaddress import ip_address
from typing import NamedTuple

from proxy.lanes.forbidden_addresses import is_forbidden
from proxy.policy.endpoint_spec import MOST_ENDPOINTS, Place, ResolveSpec

LOOK_UP_SECONDS = 5.0
"""How long a look-up may take."""

TTL_PATIENCE = 1.0
"""Seconds that the TTL is waited for where the addresses are known already."""

RETRY_SECONDS = 5.0
"""After how long a look-up that failed is tried again, if not sooner anyway."""

SHORTEST, LONGEST = 1.0, 86400.0
"""Between them lies the time until the next look-up, whatever the TTL says: 0 would be for ever
anew; a day is what resolvers keep things for at most (unbound's cache-max-ttl)."""

log = logging.getLogger(__name__)


class LookUpError(Exception):
    """The name has no address now, and why."""


class Found(NamedTuple):
    """Where a name leads, and after how many seconds it is to be looked up again. `forbidden` is an
    address that was left out, because no name may lead to it; empty if none was.
    """

    places: tuple[Place, ...]
    again_in: float
    forbidden: str = ""


async def look_up(host: str, port: int, spec: ResolveSpec) -> Found:
    """The addresses of `host`. Raises LookUpError.

    What the name means is what it means to every program on this machine (getaddrinfo: hosts file,
    search list, whatever else), and the DNS is asked besides only for how long that holds. With a
    nameserver of its own nothing else is asked. Of a name with addresses of both families one is
    used, or each server would be two: the family that the machine prefers (RFC 6724), or IPv4.
    """
    try:
        async with asyncio.timeout(LOOK_UP_SECONDS):
            if spec.nameserver is None:
                addresses, ttl = await _as_the_machine(host, port)
            else:
                addresses, ttl = await _ask(host, spec.nameserver)
    except TimeoutError:
        raise LookUpError("no answer") from None
    except OSError as error:
        raise LookUpError(error.strerror or str(error)) from None
    again_in = spec.every if ttl is None else ttl
    forbidden = next(filter(is_forbidden, addresses), "")
    places = tuple(Place(address, port) for address in _usable(addresses))
    if not places:
        raise LookUpError(f"it leads to {forbidden}, which only a URL may name")
    return Found(places, min(max(again_in, SHORTEST), LONGEST), forbidden)


def _usable(addresses: list[str]) -> list[str]:
    """Each once that a name may lead to, in an order that does not change, and no more than we can
    have.
    """
    allowed = {each for each in addresses if not is_forbidden(each)}
    return sorted(allowed, key=_in_order)[:MOST_ENDPOINTS]


def _in_order(address: str) -> bytes:
    return ip_address(address).packed


async def _as_the_machine(host: str, port: int) -> tuple[list[str], float | None]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family = found[0][0]
    addresses = [str(each[4][0]).partition("%")[0] for each in found if each[0] == family]
    kind = "AAAA" if family == socket.AF_INET6 else "A"
    try:
        _, ttl = await _records(host, kind, None, TTL_PATIENCE)
    except LookUpError:
        ttl = None
    return addresses, ttl


async def _ask(host: str, nameserver: tuple[str, int]) -> tuple[list[str], float | None]:
    for kind in ("A", "AAAA"):
        addresses, ttl = await _records(host, kind, nameserver, LOOK_UP_SECONDS)
        if addresses:
            return addresses, ttl
    raise LookUpError("it has no address")


async def _records(
    host: str, kind: str, nameserver: tuple[str, int] | None, patience: float
) -> tuple[list[str], float | None]:
    """Addresses in the DNS, none if the name has others only, and the TTL: the shortest on the
    way to them, CNAMEs among it. Raises LookUpError.
    """
    # Most upstreams need none of it, and it takes a tenth of a second: requests go on meanwhile.
    await asyncio.to_thread(import_module, "dns.asyncresolver")
    import dns.asyncresolver  # noqa: PLC0415

    try:
        resolver = dns.asyncresolver.Resolver(configure=nameserver is None)
        if nameserver is not None:
            resolver.nameservers, resolver.port = [nameserver[0]], nameserver[1]
        answer = await resolver.resolve(host, kind, lifetime=patience, search=nameserver is None)
        return [record.to_text() for record in answer], answer.chaining_result.minimum_ttl
    except dns.resolver.NoAnswer:
        return [], None
    except Exception as error:
        # Its own kinds of errors, those of sockets, and whatever bytes from elsewhere may lead to.
        raise LookUpError(str(error) or type(error).__name__) from error


class Resolution:
    """Keeps one upstream's endpoints up to date: `take` gets the places whenever they may have
    changed. A look-up that fails changes nothing: what was known last stays.
    """

    def __init__(
        self,
        who: str,
        name: tuple[str, int],
        spec: ResolveSpec,
        take: Callable[[tuple[Place, ...]], None],
    ) -> None:
        self.spec = spec
        self._who = who
        self._name = name
        self._take = take
        self._lost = False
        self._told = False

    async def run(self, again_in: float) -> None:
        """For ever, beginning in `again_in` seconds."""
        while True:
            await asyncio.sleep(again_in)
            try:
                again_in = await self.once()
            except Exception:
                log.exception("upstream %s could not be given its addresses", self._who)
                again_in = RETRY_SECONDS

    async def once(self) -> float:
        """Looks up now; after how many seconds it is time again."""
        host, port = self._name
        try:
            found = await look_up(host, port, self.spec)
        except LookUpError as error:
            if not self._lost:
                self._lost = True
                log.warning(
                    "upstream %s: %s can't be looked up, its last addresses stay: %s",
                    self._who,
                    host,
                    error,
                )
            return min(self.spec.every, RETRY_SECONDS)
        if self._lost:
            self._lost = False
            log.info("upstream %s: %s is looked up again", self._who, host)
        if found.forbidden and not self._told:
            log.warning(
                "upstream %s: %s leads to %s, which only a URL may name: left out",
                self._who,
                host,
                found.forbidden,
            )
        self._told = bool(found.forbidden)
        self._take(found.places)
        return found.again_in
