"""What a decision is made on."""

import re
from collections.abc import Sequence

from proxy.policy.percent import percent_decode

Fields = Sequence[tuple[bytes, bytes]]
"""Header fields as they came: (name, value) pairs, in order, case kept, values trimmed."""

MOST_PAIRS = 256
"""So many query parameters or cookies are looked at. Who sends more is counted by address, as who
says two things is: reading tens of thousands would take longer than all the rest.
"""

# What a value may begin with: a string as RFC 2109 quotes it, or what RFC 6265 section 4.1.1 lets
# stand unquoted, more or less.
_COOKIE_VALUE = re.compile(rb'"((?:[^"\\]|\\.)*+)"|([^ \t,]*+)')
_BACKSLASHED = re.compile(rb"\\([0-3][0-7][0-7]|.)")

# `str.strip` takes these off, and so do Django and `http.cookies`; the last two are how Latin-1's
# come out of `surrogateescape`.
_SPACES = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\udc85\udca0"


class Request:
    """One request, as far as rules can see it: no body.

    `method`, `host` (lower case, without port; empty when absent) and `path` (normalised, see
    `proxy.wire.target`; it starts with `/`) are text; `query` is the raw query without its `?`.
    `client` is the key form of the client's address: the IPv4 address, or the /64 network of an
    IPv6 address. `length` is the body's length in bytes, None when it is not known beforehand.
    `other_paths` are those that the upstream may read instead of `path`
    (`proxy.wire.target.other_readings`). `parameters` is filled in by the routes that match.
    """

    __slots__ = (
        "client",
        "fields",
        "host",
        "length",
        "method",
        "other_paths",
        "parameters",
        "path",
        "query",
    )

    def __init__(
        self,
        method: str,
        host: str,
        path: str,
        query: bytes,
        fields: Fields,
        client: str,
        length: int | None = 0,
        *,
        other_paths: tuple[str, ...] = (),
    ) -> None:
        self.method = method
        self.host = host
        self.path = path
        self.query = query
        self.fields = fields
        self.client = client
        self.length = length
        self.other_paths = other_paths
        self.parameters: dict[str, str] = {}

    def header(self, name: bytes) -> bytes | None:
        """The value of the field `name` (lower case); None when absent or ambiguous."""
        return _agreed([value for field, value in self.fields if field.lower() == name])

    def cookie(self, name: bytes) -> bytes | None:
        """The value of the cookie `name` (RFC 6265 section 4.2), to be counted by; None when
        absent or ambiguous.

        Spellings that any server takes for one value are one: see `_cookie_value`.
        """
        found: list[bytes] = []
        left = MOST_PAIRS
        for field, value in self.fields:
            if field.lower() == b"cookie":
                pairs = value.split(b";", left)
                left -= len(pairs)
                if left < 0:
                    return None
                for pair in pairs:
                    key, separator, content = pair.strip().partition(b"=")
                    if separator and (key == name or percent_decode(_trimmed(key)) == name):
                        found.append(_cookie_value(content))
        return _agreed(found)

    def query_parameter(self, name: bytes) -> bytes | None:
        """The value of the query parameter `name`, percent-decoded; None when absent or
        ambiguous.
        """
        if not self.query:
            return None
        pairs = self.query.split(b"&", MOST_PAIRS)
        if len(pairs) > MOST_PAIRS:
            return None
        found: list[bytes] = []
        for pair in pairs:
            key, _, content = pair.partition(b"=")
            if percent_decode(key.replace(b"+", b" ")) == name:
                found.append(percent_decode(content.replace(b"+", b" ")))
        return _agreed(found)


def _cookie_value(content: bytes) -> bytes:
    """What the most willing server makes of a cookie's value.

    Space around it goes, and what follows a space or a comma (`http.cookies`, old Rack and
    Jetty). Quotes go, and escapes in them (`http.cookies`, Django); percent-encoding is decoded
    (PHP, Rack, Express), and `+` is a space (Rack). To count two values as one harms nobody:
    session identifiers are made of none of these.
    """
    match = _COOKIE_VALUE.match(_trimmed(content))
    assert match is not None  # noqa: S101 - it matches nothing as well
    quoted, plain = match.groups()
    value = plain if quoted is None else _BACKSLASHED.sub(_without_backslash, quoted)
    return percent_decode(value).replace(b"+", b" ")


def _without_backslash(match: re.Match[bytes]) -> bytes:
    escaped = match[1]
    return bytes([int(escaped, 8)]) if len(escaped) == 3 else escaped


def _trimmed(text: bytes) -> bytes:
    """`text` without the white space around it, Unicode's included."""
    if text.isascii():
        return text.strip()
    decoded = text.decode("utf-8", "surrogateescape")
    return decoded.strip(_SPACES).encode("utf-8", "surrogateescape")


def _agreed(values: list[bytes]) -> bytes | None:
    """The value that all are; None when they differ, for one upstream takes the first and
    another the last.
    """
    return values[0] if values and values.count(values[0]) == len(values) else None
