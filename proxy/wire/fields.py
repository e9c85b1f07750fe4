"""What an intermediary does to header fields: the heads that go on (RFC 9110 section 7.6)."""

import re

from proxy.wire.client import plain_address
from proxy.wire.grammar import OWS, TOKEN, Field, Fields
from proxy.wire.request_head import RequestHead
from proxy.wire.response_head import Framing, ResponseHead

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields for the next hop only (RFC 9110 section 7.6.1; RFC 7540 section 3.2.1).

Not `Proxy-Authorization` and `Proxy-Authenticate`: they are for the next proxy that asks for
them (RFC 9110 section 11.7), and Plan B does not ask. Not `Trailer`: trailers are passed on.
"""

_FORWARDED_PREFIX = b"x-forwarded"
_FORWARDED_NAMES = frozenset(
    {
        b"cf-connecting-ip",
        b"forwarded",
        b"forwarded-for",
        b"true-client-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
    }
)
"""What proxies say of a request's origin, and, to IIS and to what descends from Zend and old
Symfony, of its path: from a stranger a way around every rule for paths (CVE-2018-14773).
"""

_SUSPECT = b"xftc"
"""The first letters of all these."""

_UNSUSPECTED = frozenset({b"cache-control", b"content-length", b"content-type", b"cookie"})
"""The commonest fields that begin so: spared a closer look."""

_NOT_FORWARDED = HOP_BY_HOP | {b"proxy"}
"""`Proxy` becomes HTTP_PROXY to a CGI, which then calls others through it (CVE-2016-5385)."""

_END_TO_END = _FORWARDED_NAMES | frozenset(
    {
        b"accept",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expect",
        b"host",
        b"max-forwards",
        b"origin",
        b"range",
        b"set-cookie",
        b"trailer",
        b"via",
    }
)
"""Not removed though `Connection` names them, nor is `X-Forwarded*`.

RFC 9110 section 7.6.1 forbids senders to name such fields; who does so wants a proxy to strip
what it or the one before it vouches for ("Connection: X-Forwarded-For").
"""

_NOT_IN_TRAILERS = (
    _NOT_FORWARDED
    | _FORWARDED_NAMES
    | {
        # Framing, and how the content is to be read.
        *(b"content-length", b"content-encoding", b"content-type", b"content-range", b"trailer"),
        # Routing, and where the request came from.
        *(b"host", b"via", b"max-forwards"),
        # Requests' controls and conditions.
        *(b"cache-control", b"expect", b"pragma", b"range", b"if-match", b"if-none-match"),
        *(b"if-modified-since", b"if-unmodified-since", b"if-range"),
        # Who the user is.
        *(b"authorization", b"proxy-authorization", b"www-authenticate", b"proxy-authenticate"),
        *(b"authentication-info", b"proxy-authentication-info", b"cookie", b"set-cookie"),
        # Responses' control data.
        *(b"age", b"date", b"expires", b"location", b"retry-after", b"vary", b"warning"),
    }
)
"""RFC 9110 section 6.5.1, and the list of RFC 7230 section 4.1.2 that it generalises."""

_USUAL_CONNECTION_NAMES = HOP_BY_HOP | {b"close"}


_PROTOCOL = re.compile(rb"[" + TOKEN + rb"]++(?:/[" + TOKEN + rb"]++)?")

# How CGI sees a field name (RFC 3875 section 4.1.18), spelt with hyphens: all but letters and
# digits is one character to it, or to the Apache before it.
_AS_CGI = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else 0x2D for code in range(256)
)


def forward_request_head(
    head: RequestHead,
    *,
    peer: str,
    trusted: bool,
    host: bytes,
    scheme: bytes = b"http",
    pseudonym: bytes = b"planb",
) -> bytes:
    """The head to send upstream, its empty line included.

    Method and target byte for byte, HTTP/1.1, the fields in their order and case. Removed are
    hop-by-hop fields and `Proxy`, those that `Connection` names unless they are essential, and
    forwarding fields of which `peer` is not `trusted` to send any; spellings that CGI takes for
    one of them (`X_Forwarded_For`) always. Added are `Host` to an HTTP/1.0 request without one (the
    target's, else `host`), `X-Forwarded-For` with the trusted chain and `peer`,
    `X-Forwarded-Proto` (`scheme`) and `X-Forwarded-Host` unless a trusted peer gave them, `Via`
    (`pseudonym`), `Transfer-Encoding` when the request is chunked, and the upgrade when it may
    pass (`passable_upgrade`). Max-Forwards of OPTIONS and TRACE is one less: the caller answers
    those with 0 by itself (`max_forwards`).
    """
    removed = _NOT_FORWARDED
    if not head.connection_names <= _USUAL_CONNECTION_NAMES:
        removed = removed | _removable(head.connection_names)
    if head.version == (1, 0):
        # It means nothing from a 1.0 client (RFC 9110 section 10.1.1), but would from ours.
        removed = removed | {b"expect"}
    lines = [b"%b %b HTTP/1.1" % (head.method, head.target)]
    append = lines.append
    authority = head.host
    if head.version == (1, 0) and not any(name.lower() == b"host" for name, _ in head.fields):
        authority = authority or host
        append(b"Host: " + authority)
    chain: list[bytes] = []
    seen: set[bytes] = set()
    for name, value in _with_fewer_forwards(head):
        key = name.lower()
        if key in removed:
            continue
        if key[0] in _SUSPECT and key not in _UNSUSPECTED:
            kind = key.translate(_AS_CGI)
            if kind.startswith(_FORWARDED_PREFIX) or kind in _FORWARDED_NAMES:
                if not trusted or kind != key:
                    continue
                if key == b"x-forwarded-for":
                    chain.append(value)
                    continue
                seen.add(key)
        append(b"%b: %b" % (name, value))
    if peer:
        chain.append(plain_address(peer).encode("latin-1", "replace"))
    _append_forwarding(lines, chain, seen, scheme, authority)
    append(b"Via: 1.%d %b" % (head.version[1], pseudonym))
    if head.chunked:
        append(b"Transfer-Encoding: chunked")
    upgrade = passable_upgrade(head.upgrade)
    if upgrade is not None:
        append(b"Connection: Upgrade\r\nUpgrade: " + upgrade)
    append(b"\r\n")
    return b"\r\n".join(lines)


def forward_response_head(
    head: ResponseHead,
    *,
    to_version: tuple[int, int],
    chunked: bool,
    close: bool,
    date: bytes | None = None,
) -> bytes:
    """The head to send downstream, its empty line included.

    The status line in HTTP/1.1 with the reason phrase as sent, the fields in their order and
    case without hop-by-hop fields. `chunked` says that the body goes out in chunks (see
    `sent_chunked`), `close` that the connection ends with it; a client of `to_version` 1.0 is
    told when it does not. Where Transfer-Encoding may not stand (1xx, 204, to 1.0; RFC 9112 section
    6.1) it is left out. `date` is added to a final response that has none (RFC 9110 section
    6.6.1). `Upgrade` goes with 101 and 426 only; 1xx and 204 have no Content-Length (section
    8.6).
    """
    status = head.status
    removed = HOP_BY_HOP
    named = {
        name.strip(OWS).lower()
        for value in _connection_values(head.fields)
        for name in value.split(b",")
    }
    if not named <= _USUAL_CONNECTION_NAMES:
        removed = removed | _removable(frozenset(named))
    bodiless = status < 200 or status == 204
    if chunked or bodiless:
        removed = removed | {b"content-length"}
    lines = [b"HTTP/1.1 %d %b" % (status, head.reason)]
    append = lines.append
    for name, value in head.fields:
        key = name.lower()
        if key not in removed:
            append(b"%b: %b" % (name, value))
            if key == b"date":
                date = None
    if date is not None and status >= 200:
        append(b"Date: " + date)
    if chunked and not bodiless and to_version == (1, 1):
        append(b"Transfer-Encoding: chunked")
    options: list[bytes] = []
    if status >= 200:
        if close:
            options.append(b"close")
        elif to_version == (1, 0):
            options.append(b"keep-alive")
    upgrade = passable_upgrade(head.upgrade) if status in {101, 426} else None
    if upgrade is not None:
        options.append(b"Upgrade")
        append(b"Upgrade: " + upgrade)
    if options:
        append(b"Connection: " + b", ".join(options))
    append(b"\r\n")
    return b"\r\n".join(lines)


def sent_chunked(framing: Framing, to_version: tuple[int, int]) -> bool:
    """Whether a response's body goes to a client of that version in chunks.

    If not, a body that is chunked or ends with its connection must end with ours as well.
    """
    return to_version == (1, 1) and framing in {Framing.CHUNKED, Framing.UNTIL_CLOSE}


def trailer_fields(trailers: Fields) -> list[Field]:
    """Those trailer fields that may be passed on: nothing that would have been acted on before.

    Names are compared as CGI would see them, so that no spelling slips through.
    """
    kept: list[Field] = []
    for name, value in trailers:
        kind = name.translate(_AS_CGI)
        if kind not in _NOT_IN_TRAILERS and not kind.startswith(_FORWARDED_PREFIX):
            kept.append((name, value))
    return kept


def passable_upgrade(upgrade: bytes | None) -> bytes | None:
    """The protocols in an `Upgrade` value that may be tunnelled; None for none.

    Never HTTP itself (`h2c`, `HTTP/2.0`), nor TLS (RFC 2817), in which HTTP would follow:
    requests inside the tunnel would pass every rule by ("h2c smuggling"). Nor what is malformed
    (RFC 9110 section 7.8), in which another reader may find one of them.
    """
    if upgrade is None:
        return None
    protocols = [part.strip(OWS) for part in upgrade.split(b",")]
    passable = [
        protocol
        for protocol in protocols
        if _PROTOCOL.fullmatch(protocol)
        and protocol.lower().partition(b"/")[0] not in {b"h2", b"h2c", b"http", b"tls"}
    ]
    return b", ".join(passable) or None


def max_forwards(head: RequestHead) -> int | None:
    """How often an OPTIONS or TRACE request may still be forwarded; None when nothing limits it.

    At 0 the recipient answers it (RFC 9110 section 7.6.2).
    """
    if head.method not in {b"OPTIONS", b"TRACE"}:
        return None
    for name, value in head.fields:
        if name.lower() == b"max-forwards" and value.isdigit() and len(value) <= 9:
            return int(value)
    return None


def _append_forwarding(
    lines: list[bytes], chain: list[bytes], seen: set[bytes], scheme: bytes, authority: bytes
) -> None:
    addresses = b", ".join(filter(None, chain))
    if addresses:
        lines.append(b"X-Forwarded-For: " + addresses)
    if b"x-forwarded-proto" not in seen:
        lines.append(b"X-Forwarded-Proto: " + scheme)
    if authority and b"x-forwarded-host" not in seen:
        lines.append(b"X-Forwarded-Host: " + authority)


def _with_fewer_forwards(head: RequestHead) -> Fields:
    left = max_forwards(head)
    if left is None:
        return head.fields
    fewer = b"%d" % max(left - 1, 0)
    return [
        (name, fewer if name.lower() == b"max-forwards" else value) for name, value in head.fields
    ]


def _removable(names: frozenset[bytes]) -> frozenset[bytes]:
    return frozenset(
        name for name in names if name not in _END_TO_END and not name.startswith(_FORWARDED_PREFIX)
    )


def _connection_values(fields: Fields) -> list[bytes]:
    return [value for name, value in fields if name.lower() == b"connection"]
