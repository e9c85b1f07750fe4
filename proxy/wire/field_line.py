"""Field lines, classified: what each means to an intermediary (RFC 9110 section 7.6).

Most lines of most heads are the same again and again: they are read once and then known. Only
lines that repeat by nature and hold no secret are kept, by a list of names; all others are read
each time, which takes longer but is no different.
"""

from typing import Final

from proxy.wire.authority import is_authority
from proxy.wire.grammar import AS_TEXT, LARGEST_LENGTH, OWS, TOKEN_BYTES, Field
from proxy.wire.rate_limit import SHARE_MARK
from proxy.wire.recent import Recent

MOST_LINES: Final = 1024
"""Lines kept per generation (see `Recent`), of requests and of responses each."""

LONGEST_LINE: Final = 512
"""Bytes of a line that is kept. User agents and their hints take up to 250."""

LONGEST_NAME: Final = 64
"""Bytes of a name whose kind is kept."""

# The order counts: from HOST on a head's meaning depends on them, from FORWARDED on they do not
# go on from everybody, from STAYS on from nobody.
PLAIN: Final = 0
ACCEPT: Final = 1
ACCEPT_LANGUAGE: Final = 2
DATE: Final = 3
MAX_FORWARDS: Final = 4
HOST: Final = 5
CONTENT_LENGTH: Final = 6
# Whatever only the full reading of a head can judge, such as Expect and malformed lengths.
UNJUDGED: Final = 7
FORWARDED: Final = 8
FORWARDED_PROTO: Final = 9
FORWARDED_HOST: Final = 10
FORWARDED_FOR: Final = 11
STAYS: Final = 12
# `Connection` with just this option; with others; the same for Transfer-Encoding.
KEEP_ALIVE: Final = 13
CLOSE: Final = 14
CONNECTION: Final = 15
CHUNKED: Final = 16
TRANSFER_ENCODING: Final = 17
UPGRADE: Final = 18
# An upstream's report of its load (see `proxy.wire.load_report`): for us, and for nobody behind us.
LOAD_REPORT: Final = 19
# A limit that an upstream tells of: PLAIN, or STAYS if it is our share.
RATE_LIMIT: Final = 20
# Who calls (see `proxy.wire.caller`): for us, and for nobody behind us.
CALLER: Final = 21

# The names in `Connection`, where it is absent or of these kinds.
NO_NAMES: Final[frozenset[bytes]] = frozenset()
KEEP_ALIVE_ALONE: Final = frozenset({b"keep-alive"})
CLOSE_ALONE: Final = frozenset({b"close"})

HOP_BY_HOP: Final = frozenset(
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

FORWARDED_PREFIX: Final = b"x-forwarded"
FORWARDED_NAMES: Final = frozenset(
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

NOT_FORWARDED: Final = HOP_BY_HOP | {b"proxy"}
"""`Proxy` becomes HTTP_PROXY to a CGI, which then calls others through it (CVE-2016-5385)."""

AS_CGI: Final = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else 0x2D for code in range(256)
)
"""How CGI sees a field name (RFC 3875 section 4.1.18), spelt with hyphens: all but letters and
digits is one character to it, or to the Apache before it. A table for `bytes.translate`."""

_OF_BOTH: Final = {
    b"connection": CONNECTION,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"upgrade": UPGRADE,
}
_OF_REQUESTS: Final = _OF_BOTH | {
    b"accept": ACCEPT,
    b"accept-language": ACCEPT_LANGUAGE,
    b"expect": UNJUDGED,
    b"host": HOST,
    b"max-forwards": MAX_FORWARDS,
    b"planb-caller": CALLER,
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-host": FORWARDED_HOST,
    b"x-forwarded-proto": FORWARDED_PROTO,
}
_OF_RESPONSES: Final = _OF_BOTH | {
    b"date": DATE,
    b"endpoint-load-metrics": LOAD_REPORT,
    b"endpoint-load-metrics-bin": STAYS,
    b"ratelimit": RATE_LIMIT,
    b"ratelimit-policy": RATE_LIMIT,
}

_REPEATED: Final = frozenset(
    b"""
    accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-headers
    access-control-allow-methods access-control-allow-origin access-control-request-headers
    access-control-request-method age allow alt-svc cache-control connection content-encoding
    content-language content-length content-type
    cross-origin-opener-policy cross-origin-resource-policy date dnt host keep-alive origin
    permissions-policy pragma priority proxy-connection referrer-policy save-data sec-gpc server
    strict-transport-security te transfer-encoding upgrade-insecure-requests user-agent vary via
    x-content-type-options x-forwarded-host x-forwarded-port x-forwarded-proto x-forwarded-scheme
    x-frame-options x-powered-by x-requested-with x-scheme x-xss-protection
    """.split()
)
"""Names of lines that repeat and hold no secret. A `Date` does for its second. Not all `Sec-`:
`Sec-WebSocket-Protocol` carries Kubernetes' tokens."""

_REPEATED_PREFIXES: Final = (b"sec-ch-", b"sec-fetch-")


class FieldLine:
    """A valid field line: `text` is how it goes on, with one space and without its line end.

    `name` is as sent, `value` without the whitespace around it, `kind` one of this module's.
    """

    __slots__ = ("kind", "name", "text", "value")

    def __init__(self, text: bytes, name: bytes, value: bytes, kind: int) -> None:
        self.text = text
        self.name = name
        self.value = value
        self.kind = kind

    def __repr__(self) -> str:
        return f"FieldLine({self.text!r}, kind={self.kind})"


class LineReader:
    """Classifies field lines, of requests or of responses, and remembers those that repeat.

    Lines are taken as a split at LFs, the quickest, leaves them: each with its CR. `known` are such
    lines: asked before `read` is called.
    """

    __slots__ = ("_kinds", "_lines", "_names", "_of_requests")

    def __init__(self, *, of_requests: bool) -> None:
        self._of_requests = of_requests
        self._kinds = _OF_REQUESTS if of_requests else _OF_RESPONSES
        self._lines: Recent[bytes, FieldLine] = Recent(MOST_LINES)
        self._names: Recent[bytes, tuple[int, bool]] = Recent(MOST_LINES)

    @property
    def known(self) -> dict[bytes, FieldLine]:
        """Lines as they came, each with its CR; not all that are known."""
        return self._lines.latest

    def read(self, line: bytes) -> FieldLine | None:
        """The line, read strictly; None if it is none: no name, or a byte in it that is no token's,
        or one in the value that is no text's, or no CR at its end.
        """
        colon = line.find(b":")
        if colon < 0 or line[-1] != 0x0D:
            return None
        name, rest = line[:colon], line[colon + 1 : -1]
        named = self._names.latest.get(name) or self._name(name)
        if named is None or rest.translate(AS_TEXT) != rest:
            return None
        return self._line(line, name, rest, named[0], named[1])

    def kind(self, name: bytes) -> int:
        """The kind that lines of this name have, whatever their values; -1 if it is no name."""
        named = self._name(name)
        return -1 if named is None else named[0]

    def classify(self, fields: list[Field]) -> list[FieldLine]:
        """The lines of valid fields."""
        lines: list[FieldLine] = []
        for name, value in fields:
            named = self._name(name)
            assert named is not None  # noqa: S101 - it is valid
            line = b"%b: %b\r" % (name, value)
            lines.append(self._line(line, name, b" " + value, named[0], named[1]))
        return lines

    def _line(self, line: bytes, name: bytes, rest: bytes, kind: int, repeats: bool) -> FieldLine:
        """The line that consists of `name`, a colon, `rest` and a CR."""
        if repeats:
            known = self._lines.find(line)
            if known is not None:
                return known
        value = rest.strip(OWS)
        # As it goes on already, or nearly always: one space, and nothing after the value.
        as_sent = len(rest) == len(value) + 1 and rest[0] == 0x20
        text = line[:-1] if as_sent else b"%b: %b" % (name, value)
        if kind >= HOST:
            kind = _kind_by_value(kind, value)
        read = FieldLine(text, name, value, kind)
        if repeats and len(line) <= LONGEST_LINE:
            self._lines.keep(line, read)
        return read

    def _name(self, name: bytes) -> tuple[int, bool] | None:
        """The kind of a name, and whether its lines repeat; None if it is no name."""
        named = self._names.find(name)
        if named is None:
            if not name or name.translate(None, TOKEN_BYTES):
                return None
            key = name.lower()
            repeats = key in _REPEATED or key.startswith(_REPEATED_PREFIXES)
            named = (self._kind(key), repeats)
            if len(name) <= LONGEST_NAME:
                self._names.keep(name, named)
        return named

    def _kind(self, key: bytes) -> int:
        kind = self._kinds.get(key)
        if kind is not None:
            return kind
        if not self._of_requests:
            return STAYS if key in HOP_BY_HOP else PLAIN
        if key in NOT_FORWARDED:
            return STAYS
        spelling = key.translate(AS_CGI)
        if spelling.startswith(FORWARDED_PREFIX) or spelling in FORWARDED_NAMES:
            return FORWARDED if spelling == key else STAYS
        return PLAIN


def names_in_connection(values: list[bytes] | None) -> frozenset[bytes]:
    """The lower-case names in a head's `Connection` fields (RFC 9110 section 7.6.1)."""
    if values is None:
        return NO_NAMES
    listed = b",".join(values).lower()
    return frozenset(name for part in listed.split(b",") if (name := part.strip(OWS)))


def _kind_by_value(kind: int, value: bytes) -> int:
    """The kind of a line on which a head's meaning depends, by what it says."""
    if kind == HOST:
        return HOST if is_authority(value) else UNJUDGED
    if kind == CONTENT_LENGTH:
        # As RFC 9110 section 8.6 has it; other spellings mean something in responses only.
        plain = value.isdigit() and len(value) <= 19 and int(value) <= LARGEST_LENGTH
        return CONTENT_LENGTH if plain else UNJUDGED
    if kind == CONNECTION:
        option = value.lower()
        if option == b"keep-alive":
            return KEEP_ALIVE
        return CLOSE if option == b"close" else CONNECTION
    if kind == RATE_LIMIT:
        return STAYS if SHARE_MARK in value else PLAIN
    if kind == TRANSFER_ENCODING and value.lower() == b"chunked":
        return CHUNKED
    return kind


REQUEST_LINES: Final = LineReader(of_requests=True)
RESPONSE_LINES: Final = LineReader(of_requests=False)
