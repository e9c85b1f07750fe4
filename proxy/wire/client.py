"""Who the client is, behind however many proxies of ours."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from proxy.wire.grammar import Fields

Networks = Sequence[IPv4Network | IPv6Network]

MAX_HOPS = 32
"""The most entries of X-Forwarded-For that are walked: parsing an address costs microseconds."""

LONGEST_ADDRESS = 64
"""Characters; an IPv6 address with zone, brackets and port has fewer. Longer entries are not even
remembered: thousands of them, of 64 KiB each, would fill the memory."""


def is_trusted(peer: str, trusted: Networks) -> bool:
    """Whether the forwarding fields that `peer` sends are believed."""
    address = _parse(peer)
    return address is not None and _within(address, trusted)


def client_address(peer: str, fields: Fields, trusted: Networks) -> str:
    """The client's address: the last one on the way here that is not one of ours.

    `X-Forwarded-For` is read from the right, as long as whoever wrote an entry is trusted: what
    stands further left may be invented. An entry that is no address stops the walk; ports and
    brackets are left out; an IPv4-mapped IPv6 address is the IPv4 address (RFC 4291 section
    2.5.5.2). A peer without an address (a unix socket) is nobody's proxy and returned as it is.
    """
    return client_behind(
        peer, [value for name, value in fields if name.lower() == b"x-forwarded-for"], trusted
    )


def client_behind(peer: str, forwarded_for: list[bytes], trusted: Networks) -> str:
    """The same, from the values of the `X-Forwarded-For` fields."""
    address = _parse(peer)
    if address is None:
        return peer
    last = peer
    if forwarded_for and trusted and _within(address, trusted):
        entries = b",".join(forwarded_for).decode("latin-1").rsplit(",", MAX_HOPS)[-MAX_HOPS:]
        for entry in reversed(entries):
            text = entry.strip(" \t")
            if not text:
                continue
            address = _parse(text)
            if address is None:
                break
            last = text
            if not _within(address, trusted):
                break
    return plain_address(last)


def client_key(address: str) -> bytes:
    """What a client is counted by: its IPv4 address, or the /64 network of its IPv6 address.

    A /64 is the least that an IPv6 subscriber gets (RFC 6177), so one host has 2^64 addresses.
    Anything else is taken as it is. Before it stands `@`, as before no other key of a limit.
    """
    if ":" in address and len(address) <= LONGEST_ADDRESS:
        address = _network(address)
    return b"@" + address.encode()


def plain_address(peer: str) -> str:
    """`peer` without zone and port, IPv4-mapped as IPv4; as it is when it is no address."""
    return _plain(peer) if len(peer) <= LONGEST_ADDRESS else peer


@lru_cache(maxsize=4096)
def _plain(peer: str) -> str:
    address = _parse(peer)
    return peer if address is None else str(address)


@lru_cache(maxsize=4096)
def _network(address: str) -> str:
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return address if parsed is None else str(parsed)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    return _parse_short(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(maxsize=4096)
def _parse_short(text: str) -> IPv4Address | IPv6Address | None:
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or (port and not _is_port(port[1:], port[0])):
            return None
    elif text.count(":") == 1:
        text, colon, port = text.partition(":")
        if not _is_port(port, colon):
            return None
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_port(digits: str, separator: str) -> bool:
    return separator == ":" and digits.isascii() and digits.isdigit()


def _within(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    for network in networks:  # noqa: SIM110 - half the time of a generator
        if address in network:
            return True
    return False
