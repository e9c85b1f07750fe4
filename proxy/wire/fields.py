"""What an intermediary does to header fields: the heads that go on (RFC 9110 section 7.6)."""

import re
from typing import Final

from proxy.wire.client import plain_address
from proxy.wire.field_line import (
    AS_CGI,
    CONTENT_LENGTH,
    DATE,
    FORWARDED,
    FORWARDED_FOR,
    FORWARDED_HOST,
    FORWARDED_NAMES,
    FORWARDED_PREFIX,
    FORWARDED_PROTO,
    HOP_BY_HOP,
    HOST,
    MAX_FORWARDS,
    NO_NAMES,
    NOT_FORWARDED,
    STAYS,
    FieldLine,
)
from proxy.wire.grammar import OWS, TOKEN, Field, Fields
from proxy.wire.recent import Recent
from proxy.wire.request_head import RequestHead
from proxy.wire.response_head import Framing, ResponseHead

_END_TO_END = FORWARDED_NAMES | frozenset(
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
    NOT_FORWARDED
    | FORWARDED_NAMES
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
        # For who stands before the upstream, and nobody behind (`proxy.wire.load_report`).
        *(b"endpoint-load-metrics", b"endpoint-load-metrics-bin"),
    }
)
"""RFC 9110 section 6.5.1, and the list of RFC 7230 section 4.1.2 that it generalises."""

_USUAL_CONNECTION_NAMES: Final = HOP_BY_HOP | {b"close"}

_REVALIDATION = frozenset({b"if-none-match", b"if-modified-since"})

_WITH_MAX_FORWARDS: Final = frozenset({b"OPTIONS", b"TRACE"})


_PROTOCOL = re.compile(rb"[" + TOKEN + rb"]++(?:/[" + TOKEN + rb"]++)?")

# `X-Forwarded-*` and `Via` of our own are remembered for hosts and peers up to this size.
_LONGEST_REMEMBERED: Final = 255
_introductions: Final[Recent[tuple[str, bytes, bytes, bytes], bytes]] = Recent(1024)


def forward_request_head(
    head: RequestHead,
    *,
    peer: str,
    trusted: bool,
    host: bytes,
    scheme: bytes = b"http",
    pseudonym: bytes = b"planb",
    whole: bool = False,
    without: bytes = b"",
    extra: bytes = b"",
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
    those with 0 by itself (`max_forwards`). `whole` leaves out by what conditions a client asks
    only for what has changed, `without` the field of that name (lower case); `extra` are lines of
    our own to add, without the last one's end.
    """
    authority = head.host
    if not (trusted or whole or without) and (ready := head.passed_on()) is not None:
        ready += _introduction(peer, scheme, authority, pseudonym)
        return b"%b\r\n%b\r\n\r\n" % (ready, extra) if extra else ready + b"\r\n\r\n"
    lines = [head.method + b" " + head.target + b" HTTP/1.1"]
    if head.version == (1, 0) and head.value(HOST) is None:
        authority = authority or host
        lines.append(b"Host: " + authority)
    fields = without_conditions(head.lines) if whole else head.lines
    if without:
        fields = [line for line in fields if line.name.lower() != without]
    if not trusted and _is_usual(head):
        lines += [line.text for line in fields if line.kind < FORWARDED]
        lines.append(_introduction(peer, scheme, authority, pseudonym))
    else:
        _append_fields(
            lines, head, fields, peer=peer, trusted=trusted, scheme=scheme, authority=authority
        )
        lines.append(b"Via: 1.%d %b" % (head.version[1], pseudonym))
    if extra:
        lines.append(extra)
    if head.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    if head.upgrade is not None:
        upgrade = passable_upgrade(head.upgrade)
        if upgrade is not None:
            lines.append(b"Connection: Upgrade\r\nUpgrade: " + upgrade)
    lines.append(b"\r\n")
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
    kept = head.forwarded if to_version == (1, 1) else None
    if kept is not None and (known := kept.get((chunked, close))) is not None:
        return known
    status = head.status
    bodiless = status < 200 or status == 204
    without_length = chunked or bodiless
    names = head.connection_names
    removed = _removable(names) if names else NO_NAMES
    lines = [b"HTTP/1.1 %d %b" % (status, head.reason)]
    append = lines.append
    dated = False
    for line in head.lines:
        kind = line.kind
        if kind >= STAYS or (kind == CONTENT_LENGTH and without_length):
            continue
        if removed and line.name.lower() in removed:
            continue
        append(line.text)
        if kind == DATE:
            date, dated = None, True
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
    data = b"\r\n".join(lines)
    if kept is not None and dated:
        # One without a date gets that of the moment, each time.
        kept[chunked, close] = data
    return data


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
        kind = name.translate(AS_CGI)
        if kind not in _NOT_IN_TRAILERS and not kind.startswith(FORWARDED_PREFIX):
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
    if head.method not in _WITH_MAX_FORWARDS:
        return None
    for line in head.lines:
        if line.kind == MAX_FORWARDS and line.value.isdigit() and len(line.value) <= 9:
            return int(line.value)
    return None


def _is_usual(head: RequestHead) -> bool:
    """Whether each line's kind alone tells if it goes on, as it is."""
    return (
        head.version == (1, 1)
        and head.method not in _WITH_MAX_FORWARDS
        and head.connection_names <= _USUAL_CONNECTION_NAMES
    )


def _append_fields(
    lines: list[bytes],
    head: RequestHead,
    fields: list[FieldLine],
    *,
    peer: str,
    trusted: bool,
    scheme: bytes,
    authority: bytes,
) -> None:
    """Those of the client's `fields` that go on, and what the proxy says of their origin."""
    removed = removed_fields(head)
    left = max_forwards(head)
    append = lines.append
    chain: list[bytes] = []
    add_scheme, add_authority = True, bool(authority)
    for line in fields:
        kind = line.kind
        if kind < FORWARDED:
            if removed and line.name.lower() in removed:
                continue
            if kind == MAX_FORWARDS and left is not None:
                append(b"%b: %d" % (line.name, max(left - 1, 0)))
            else:
                append(line.text)
        elif not trusted or kind >= STAYS:
            continue
        elif kind == FORWARDED_FOR:
            if line.value:
                chain.append(line.value)
        else:
            append(line.text)
            if kind == FORWARDED_PROTO:
                add_scheme = False
            elif kind == FORWARDED_HOST:
                add_authority = False
    if peer:
        chain.append(_address(peer))
    if chain:
        append(b"X-Forwarded-For: " + b", ".join(chain))
    if add_scheme:
        append(b"X-Forwarded-Proto: " + scheme)
    if add_authority:
        append(b"X-Forwarded-Host: " + authority)


def _introduction(peer: str, scheme: bytes, authority: bytes, pseudonym: bytes) -> bytes:
    """What is said of the request of a client that is not trusted to say anything itself."""
    key = (peer, scheme, authority, pseudonym)
    known = _introductions.latest.get(key) or _introductions.find(key)
    if known is not None:
        return known
    lines = [b"X-Forwarded-For: " + _address(peer)] if peer else []
    lines.append(b"X-Forwarded-Proto: " + scheme)
    if authority:
        lines.append(b"X-Forwarded-Host: " + authority)
    lines.append(b"Via: 1.1 " + pseudonym)
    introduction = b"\r\n".join(lines)
    if len(authority) + len(peer) <= _LONGEST_REMEMBERED:
        _introductions.keep(key, introduction)
    return introduction


def _address(peer: str) -> bytes:
    return plain_address(peer).encode("latin-1", "replace")


def without_conditions(lines: list[FieldLine]) -> list[FieldLine]:
    """Those of `lines` that don't ask only for what has changed."""
    return [line for line in lines if line.name.lower() not in _REVALIDATION]


def removed_fields(head: RequestHead) -> frozenset[bytes]:
    """Fields that do not go on though others of their kind do."""
    removed = _removable(head.connection_names)
    if head.version == (1, 0):
        # It means nothing from a 1.0 client (RFC 9110 section 10.1.1), but would from ours.
        removed |= {b"expect"}
    return removed


def _removable(names: frozenset[bytes]) -> frozenset[bytes]:
    """The fields that `Connection` may remove by naming them, if it names any but the usual."""
    if names <= _USUAL_CONNECTION_NAMES:
        return NO_NAMES
    return frozenset(
        name for name in names if name not in _END_TO_END and not name.startswith(FORWARDED_PREFIX)
    )
