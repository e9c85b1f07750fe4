"""Addresses that no name leads to: those of the machine's own link, and of clouds' metadata.

Whoever answers for an upstream's name could have Plan B ask the cloud for the machine's credentials
(CVE-2019-5418 and many more; the Capital One breach of 2019). An upstream whose URL names such an
address itself is meant.
"""

import logging
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import AddressFamily, gaierror

from aiohttp.abc import AbstractResolver, ResolveResult

FORBIDDEN = (
    # Link-local (RFC 3927; RFC 4291 section 2.5.6): 169.254.169.254 is the metadata of AWS, Azure,
    # Google Cloud and most others.
    IPv4Network("169.254.0.0/16"),
    IPv6Network("fe80::/10"),
    # AWS over IPv6: the metadata of EC2 (::254), credentials of EKS pods (::23), and more.
    IPv6Network("fd00:ec2::/32"),
    # Google Cloud over IPv6.
    IPv6Network("fd20:ce::254/128"),
    # Alibaba Cloud; Azure's WireServer; Oracle Cloud Classic.
    IPv4Network("100.100.100.200/32"),
    IPv4Network("168.63.129.16/32"),
    IPv4Network("192.0.0.192/32"),
)

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind a NAT64 (RFC 6052 section 2.1)."""

log = logging.getLogger(__name__)


def is_forbidden(address: str) -> bool:
    """Whether no name may lead to `address`, an IP address as the resolver writes it.

    IPv4 within IPv6 is looked at as IPv4. What is no address is not forbidden: it has to be
    resolved before anybody connects.
    """
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        elif parsed in _TRANSLATED:
            parsed = IPv4Address(int(parsed) & 0xFFFFFFFF)
    return any(parsed in network for network in FORBIDDEN)


class GuardedResolver(AbstractResolver):
    """Finds what `resolver` finds, but for forbidden addresses.

    Those are told in the log when they first come, and after they were gone for a time.
    """

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver
        self._told = False

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        """Of aiohttp's resolver. Raises OSError when nothing is left."""
        found = await self._resolver.resolve(host, port, family)
        allowed = [each for each in found if not is_forbidden(each["host"])]
        if len(allowed) == len(found):
            self._told = False
            return allowed
        forbidden = next(each["host"] for each in found if is_forbidden(each["host"]))
        why = f"{host} resolves to {forbidden}, which only a URL may name"
        if not self._told:
            self._told = True
            log.warning("not connected: %s", why)
        if not allowed:
            raise gaierror(None, why)
        return allowed

    async def close(self) -> None:
        """Of aiohttp's resolver."""
        await self._resolver.close()
