"""Requests of the shop to others: whom they ask for, and the heads that go on.

The shop, or whatever else calls through an outbound listener, is the one we serve: what it says of
where its request came from is its own business, and nothing is added to that.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address

from proxy.wire.authority import host_name
from proxy.wire.field_line import HOST, MAX_FORWARDS, STAYS
from proxy.wire.fields import max_forwards, passable_upgrade, removed_fields, without_conditions
from proxy.wire.request_head import RequestHead

_ABSOLUTE = re.compile(rb"(https?)://([^/?]+)(.*)", re.IGNORECASE)
_PORT = re.compile(rb":([0-9]*)\Z")
_DEFAULT_PORTS = {b"http": 80, b"https": 443}


def upstream_asked_for(target: bytes, upstream: str, hosts: Mapping[str, str]) -> str:
    """The upstream that a request with a valid `target` goes to; empty if there is none for it.

    One in absolute form is for a proxy (RFC 9112 section 3.2.2): only `hosts` name where it may go.
    All others are for `upstream`, whatever their Host.
    """
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return upstream
    scheme, authority = absolute[1].lower(), absolute[2]
    port = _PORT.search(authority)
    number = int(port[1]) if port is not None and port[1] else _DEFAULT_PORTS[scheme]
    return hosts.get(host_and_port(host_name(authority), number), "")


def host_and_port(host: str, port: int) -> str:
    """How `ListenerSpec.hosts` names an authority; `host` as `host_name` returns it."""
    return f"[{IPv6Address(host)}]:{port}" if ":" in host else f"{host}:{port}"


def outbound_request_head(
    head: RequestHead,
    *,
    host: bytes,
    whole: bool = False,
    without: bytes = b"",
    extra: bytes = b"",
    pseudonym: bytes = b"planb",
) -> bytes:
    """The head to send to an upstream that the shop calls, its empty line included.

    As `forward_request_head`, but: the target is in origin form, and `Host` what an absolute
    target asked for (RFC 9112 section 3.2.2), else `host`: the shop was told our address instead of
    the upstream's. `X-Forwarded-*` and the like pass as they came; but spellings that CGI takes for
    one of them do not. `Proxy-Authorization` was for us (RFC 9110 section 11.7.2), whom the shop
    took for its proxy: it does not go on.
    """
    absolute = _ABSOLUTE.fullmatch(head.target)
    target = head.target
    if absolute is not None:
        host, target = absolute[2], absolute[3]
        if not target:
            # RFC 9112 section 3.2.4.
            target = b"*" if head.method == b"OPTIONS" else b"/"
        elif not target.startswith(b"/"):
            target = b"/" + target
    lines = [head.method + b" " + target + b" HTTP/1.1"]
    append = lines.append
    if head.value(HOST) is None:
        append(b"Host: " + host)
    removed = removed_fields(head)
    left = max_forwards(head)
    for line in without_conditions(head.lines) if whole else head.lines:
        kind = line.kind
        if kind >= STAYS:
            continue
        name = line.name.lower()
        if name == b"proxy-authorization" or name in removed or name == without:
            continue
        if kind == HOST:
            append(line.name + b": " + host)
        elif kind == MAX_FORWARDS and left is not None:
            append(b"%b: %d" % (line.name, max(left - 1, 0)))
        else:
            append(line.text)
    append(b"Via: 1.%d %b" % (head.version[1], pseudonym))
    if extra:
        append(extra)
    if head.chunked:
        append(b"Transfer-Encoding: chunked")
    upgrade = passable_upgrade(head.upgrade)
    if upgrade is not None:
        append(b"Connection: Upgrade\r\nUpgrade: " + upgrade)
    append(b"\r\n")
    return b"\r\n".join(lines)
