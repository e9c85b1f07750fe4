"""What a surge is pointed at, and whether it may be: a load generator is a weapon."""

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from proxy.surge.generator import get

CONNECT_TIMEOUT = 3.0
"""Seconds for the first connection."""

_NEAR = tuple(
    map(
        ipaddress.ip_network,
        (
            "127.0.0.0/8",  # loopback, RFC 1122 section 3.2.1.3
            "::1/128",
            "10.0.0.0/8",  # private, RFC 1918
            "172.16.0.0/12",
            "192.168.0.0/16",
            "fc00::/7",  # unique local, RFC 4193
        ),
    )
)


class TargetError(Exception):
    """It can't be done, or may not; the text says why and what to do, in one line."""


class AddressError(TargetError):
    """It is no address that a surge can be sent to."""


@dataclass(frozen=True)
class Target:
    """One server and what it is asked for in turn.

    `address` is numeric, and one that answered: nothing is looked up again, so that a name can't
    come to mean another host than the one that was allowed.
    """

    name: str
    """`http://host:port`, as it was given."""
    address: str
    port: int
    requests: tuple[bytes, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Addresses to open connections from.

        A client that leaves keeps its port for a minute, and one address has 28,000 of them:
        gone in seconds before a shop that does not answer. On Linux all of 127/8 is this
        machine.
        """
        if self.address != "127.0.0.1":
            return ()
        return tuple(f"127.0.0.{number}" for number in range(1, 17)) if _has_whole_net() else ()


def target(urls: Sequence[str], *, allow_public: bool) -> Target:
    """Where `urls`, all of one server, are served. Looks the name up and connects, once.

    Raises AddressError for what can't be asked for or may not, TargetError when nothing listens.
    """
    parts = [_split(url) for url in urls]
    host, port = parts[0].hostname or "", parts[0].port or 80
    if any((each.hostname, each.port or 80) != (host, port) for each in parts):
        raise AddressError("all URLs must be of one server")
    shown = f"[{host}]" if ":" in host else host
    name = f"http://{shown}:{port}"
    addresses = _look_up(host, port)
    if not allow_public and (public := [each for each in addresses if not is_near(each)]):
        at = "" if public[0] == host else f" is at {public[0]} and"
        raise AddressError(
            f"{host}{at} is neither this machine nor in a private network. A surge takes a weak "
            "server down. If it is yours, or you were asked to: --allow-public"
        )
    requests = tuple(
        get(host, port, _request_target(each), "User-Agent: planb-surge") for each in parts
    )
    return Target(name, _reached(addresses, port, name), port, requests)


def is_near(address: str) -> bool:
    """Whether a numeric address is loopback or private."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in network for network in _NEAR)


def _split(url: str) -> SplitResult:
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise AddressError(f"{url!r} has characters that a URL can't have: write them as %XX")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressError(f"{url} is no URL: {error}") from error
    if parts.scheme == "https":
        raise AddressError(f"{url}: a surge speaks no TLS; point it at an http:// address")
    if parts.scheme != "http" or not parts.hostname or port == 0:
        raise AddressError(f"{url} is not a URL like http://127.0.0.1:8080/items/1")
    if parts.username is not None:
        raise AddressError(f"{url}: a user name in a URL is not sent; leave it out")
    return parts


def _request_target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _look_up(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # a label of over 63 characters is a UnicodeError
        raise AddressError(f"unknown host {host}") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _reached(addresses: Sequence[str], port: int, name: str) -> str:
    """The first of `addresses` that takes a connection."""
    why = "no address"
    for address in addresses:
        try:
            with socket.create_connection((address, port), timeout=CONNECT_TIMEOUT):
                return address
        except TimeoutError:
            why = f"takes no connection within {CONNECT_TIMEOUT:.0f} s"
        except ConnectionRefusedError:
            why = "nothing listens there"
        except OSError as error:
            why = error.strerror or str(error)
    raise TargetError(f"{name}: {why}. Is it running? `make run` starts the demo")


def _has_whole_net() -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.2", 0))
        except OSError:
            return False
    return True
