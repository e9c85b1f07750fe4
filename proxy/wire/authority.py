"""Hosts with ports, as in `Host` and in absolute request targets."""

import re
from ipaddress import IPv6Address
from typing import Final

from proxy.wire.recent import Recent

_AUTHORITY = re.compile(
    rb"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)"
    rb"(?::(?P<port>[0-9]{0,5}))?"
)
_LONGEST_REMEMBERED = 255
"""Bytes of an authority that is remembered: a name in DNS has no more (RFC 1035 section 3.1)."""

_names: Final[Recent[bytes, str]] = Recent(512)

_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}


def is_authority(text: bytes) -> bool:
    """Whether `text` is `uri-host [":" port]` (RFC 9110 section 7.2); empty is.

    Not user information (RFC 9110 section 4.2.4), nor an IPvFuture or a zone, which no name of
    a shop contains.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return False
    if match["port"] and int(match["port"]) > 65535:
        return False
    if match["v6"] is not None:
        try:
            IPv6Address(match["v6"].decode("ascii"))
        except ValueError:
            return False
    return True


def same_authority(first: bytes, second: bytes, scheme: bytes) -> bool:
    """Whether two valid authorities are the same for `scheme` (`http` or `https`).

    Case does not matter, nor whether the default port is written (RFC 9110 section 4.2.3).
    """
    return _canonical(first, scheme) == _canonical(second, scheme)


def named(host: str, port: int, *, tls: bool) -> bytes:
    """The authority of an address that the rules name: without the default port, as browsers write
    it, an IPv6 address in brackets and without its zone, which means nothing to others (RFC 6874
    section 4).
    """
    text = host.partition("%")[0].encode("latin-1")
    if b":" in text:
        text = b"[%b]" % text
    return text if port == (443 if tls else 80) else b"%b:%d" % (text, port)


def host_name(authority: bytes) -> str:
    """The host of a valid authority as rules see it: lower case, without port, brackets, last dot.

    The dot of a fully qualified name goes, or `shop.example.` would slip past `shop.example`.
    """
    known = _names.latest.get(authority)
    if known is None:
        known = _names.find(authority)
        if known is None:
            host, _ = _split(authority.lower())
            known = host.decode("ascii").strip("[]").removesuffix(".")
            if len(authority) <= _LONGEST_REMEMBERED:
                _names.keep(authority, known)
    return known


def _split(authority: bytes) -> tuple[bytes, bytes]:
    if authority.endswith(b"]"):
        return authority, b""
    host, colon, port = authority.rpartition(b":")
    return (host, port) if colon else (authority, b"")


def _canonical(authority: bytes, scheme: bytes) -> tuple[bytes, bytes]:
    host, port = _split(authority.lower())
    return host, port.lstrip(b"0") or _DEFAULT_PORTS[scheme]
