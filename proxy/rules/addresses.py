"""Addresses, as the rules write them. Every function raises `ValueError` with a sentence."""

# ruff: noqa: TRY004 - the schema library reports a ValueError, and lets a TypeError through

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from proxy.rules.problems import shown
from proxy.wire.outbound import host_and_port

_BIND = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<host>[A-Za-z0-9_.-]{1,253})):(?P<port>\d{1,5})")
_NAMED = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::(\d{1,5}))?")
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


@dataclass(frozen=True, slots=True)
class Address:
    """A host, without brackets, and a port."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def clashes(self, other: "Address") -> bool:
        """Whether both can't be bound at once. Port 0 is free to choose, so it never clashes."""
        if not self.port or self.port != other.port:
            return False
        mine, theirs = self._hosts(), other._hosts()
        return bool(mine & theirs) or _covers(mine, theirs) or _covers(theirs, mine)

    def reaches(self, bound: "Address") -> bool:
        """Whether a connection to this address surely arrives at `bound`."""
        if not bound.port or self.port != bound.port:
            return False
        mine, theirs = self._hosts(), bound._hosts()
        return bool(mine & theirs) or (self.loopback and _covers(theirs, mine))

    def _hosts(self) -> frozenset[str]:
        host = self.host.lower()
        if host == "localhost":
            return frozenset({"127.0.0.1", "::1"})
        try:
            return frozenset({str(ip_address(host))})
        except ValueError:
            return frozenset({host})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream is: an address, over TLS or not, or a Unix socket's path."""

    address: Address | None
    tls: bool = False
    unix_path: str | None = None


def bind(value: object) -> Address:
    """An address to listen on: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`."""
    match = _BIND.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{shown(value)} is not an address such as 127.0.0.1:8080 or [::1]:8080")
    if int(match["port"]) > 65535:
        raise ValueError("a port is at most 65535")
    host = match["host"] or match["six"]
    if match["six"] or re.fullmatch(r"[\d.]+", host):
        try:
            address = ip_address(host)
        except ValueError:
            raise ValueError(f"{shown(host)} is not an IP address") from None
        if match["six"] and not isinstance(address, IPv6Address):
            raise ValueError("only an IPv6 address stands in brackets")
    return Address(host, int(match["port"]))


def origin(value: object) -> Origin:
    """Where an upstream is: `http://127.0.0.1:8000`, `https://shop.example`, `unix:/run/shop`."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not an address such as http://127.0.0.1:8000")
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path.startswith("/") or "\0" in path:
            raise ValueError("a Unix socket is written unix:/path, from the root")
        return Origin(None, unix_path=path)
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{shown(value)} is not an address: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{shown(value)} does not start with http://, https:// or unix:/")
    if not host or not re.fullmatch(r"[a-z0-9_.-]{1,253}|[0-9a-f:.]+(%\w+)?", host):
        raise ValueError(f"{shown(value)} holds no host name or IP address")
    if port == 0:
        raise ValueError("port 0 can't be connected to")
    if parts.username is not None or parts.password is not None:
        raise ValueError("user names and passwords are not sent to upstreams")
    if parts.path not in ("", "/") or "?" in value or "#" in value:
        raise ValueError("no path here: a request's target reaches the upstream as it came")
    tls = parts.scheme == "https"
    return Origin(Address(host, port or (443 if tls else 80)), tls)


def network(value: object) -> IPv4Network | IPv6Network:
    """A network or a single address: `10.0.0.0/8`, `::1`."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a network such as 10.0.0.0/8")
    try:
        found = ip_network(value, strict=False)
    except ValueError:
        raise ValueError(f"{shown(value)} is not a network such as 10.0.0.0/8") from None
    if "/" in value and str(found.network_address) != str(ip_address(value.partition("/")[0])):
        raise ValueError(f"{shown(value)} has bits set after its prefix; did you mean {found}?")
    return found


def host_pattern(value: object) -> str:
    """A host to match, in lower case, without port: `shop.example`, `*.shop.example`, `[::1]`."""
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a host name")
    text = value.lower()
    if not text.isascii():
        raise ValueError("write the name in its ASCII form (xn--...), as clients send it")
    if re.fullmatch(r"\[[0-9a-f:.]+\]", text) or (_HOST.fullmatch(text) and len(text) <= 253):
        return text
    if _HOST.fullmatch(text.rpartition(":")[0]):
        raise ValueError("a host is matched without its port")
    raise ValueError(f"{shown(value)} is not a host such as shop.example or *.shop.example")


def named_host(value: object) -> str:
    """A host to call: `coupons.example`, `pay.example:8443`, `[::1]:8001`; as snapshots name it,
    with its port, which is 80 where none is said.
    """
    match = _NAMED.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{shown(value)} is not a host such as coupons.example or [::1]:8001")
    host, port = match[1].lower().removesuffix("."), int(match[2] or 80)
    if host.startswith("*."):
        raise ValueError("each host is named here: '*' would let the app call whatever it is told")
    if not 0 < port < 65536:
        raise ValueError("a port is 1 to 65535")
    host_pattern(host)
    try:
        return host_and_port(host.strip("[]"), port)
    except ValueError:
        raise ValueError(f"{shown(host)} is not an IPv6 address") from None


def _covers(hosts: frozenset[str], others: frozenset[str]) -> bool:
    """Whether one of `hosts` stands for all addresses of a family that `others` has one of."""
    families = {
        ip_address(host).version
        for host in hosts
        if host in ("0.0.0.0", "::")  # noqa: S104
    }
    return any(_version(host) in families for host in others)


def _version(host: str) -> int:
    try:
        return ip_address(host).version
    except ValueError:
        return 0
