"""What a response says about being kept (RFC 9111)."""

import re
from calendar import timegm
from math import inf
from typing import Final

from proxy.policy.stored_response import StoredResponse
from proxy.wire.field_line import CONTENT_LENGTH
from proxy.wire.fields import forward_response_head
from proxy.wire.grammar import OWS, TOKEN_BYTES
from proxy.wire.response_head import ResponseHead

MOST_VARY_NAMES: Final = 16
"""Of a response that depends on more, hardly two requests would get the same."""

_MOST_SECONDS: Final = 2**31
"""RFC 9111 section 1.2.2: what a larger number stands for."""

_DATE = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ([0-9]{2}) "
    rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ([1-9][0-9]{3}) "
    rb"([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)
_MONTHS = tuple(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())

# A directive: a token, and perhaps a value, which may be quoted and hold commas (section 5.2).
_DIRECTIVE = re.compile(
    rb'([!#$%&\'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*("[^"\\]*+(?:\\.[^"\\]*+)*"|[^,"\s]*))?'
)

# What the shop is told by us, not by the client whose request the key is made of.
_OURS = frozenset({b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"})

_NEVER = frozenset({b"no-store", b"private"})
_READ = frozenset(
    {
        *(b"age", b"cache-control", b"content-encoding", b"content-range", b"date", b"etag"),
        *(b"expires", b"last-modified", b"set-cookie", b"set-cookie2", b"vary"),
    }
)


def directives(value: bytes) -> dict[bytes, bytes]:
    """The directives of a Cache-Control value, in lower case; of one that comes twice the first
    (RFC 9111 section 4.2.1 leaves that open).
    """
    found: dict[bytes, bytes] = {}
    for match in _DIRECTIVE.finditer(value):
        found.setdefault(match[1].lower(), (match[2] or b"").strip(b'"'))
    return found


def http_time(value: bytes) -> int | None:
    """The Unix time of an IMF-fixdate (RFC 9110 section 5.6.7). None for anything else: the two
    obsolete forms are as good as no date, which only makes a response older than it is.
    """
    match = _DATE.fullmatch(value)
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    return timegm(
        (int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    )


class Terms:
    """On what terms a response may be kept: `age` at its arrival (corrected_initial_age), seconds
    that it is `fresh_for` from then on, names in `vary`, validators.
    """

    __slots__ = ("age", "etag", "fresh_for", "modified", "vary")

    def __init__(
        self,
        age: float,
        fresh_for: float,
        vary: tuple[bytes, ...],
        etag: bytes | None,
        modified: int | None,
    ) -> None:
        self.age = age
        self.fresh_for = fresh_for
        self.vary = vary
        self.etag = etag
        self.modified = modified


def terms(head: ResponseHead, *, delay: float, wall: float) -> Terms | None:
    """The terms of `head`, of a response whose end is told by itself; None: not to be kept.

    `delay` are the seconds that it took to come after the request was sent, `wall` is the Unix
    time now. Only a 200 is kept: it is what people come for, and an error must not last longer
    than its cause. RFC 9111 section 3: neither `no-store` nor `private`, whatever fields that
    names; and nothing with a `Set-Cookie`, which is somebody's, though the RFC would allow it
    (section 7.3).
    """
    if head.status != 200:
        return None
    found: dict[bytes, bytes] = {}
    for field in head.lines:
        name = field.name.lower()
        if name in _READ:
            value = field.value
            found[name] = b"%b, %b" % (found[name], value) if name in found else value
    if b"set-cookie" in found or b"set-cookie2" in found or b"content-range" in found:
        return None
    said = directives(found.get(b"cache-control", b""))
    vary = _vary(found)
    if vary is None or not _NEVER.isdisjoint(said):
        return None
    date = http_time(found.get(b"date", b""))
    # Section 4.2.3, with the names there.
    apparent_age = 0.0 if date is None else max(0.0, wall - date)
    # Of several the first counts (section 5.1).
    said_age = found.get(b"age", b"0").partition(b",")[0].strip(OWS)
    age = max(apparent_age, _seconds(said_age, otherwise=0.0) + delay)
    modified = found.get(b"last-modified")
    return Terms(
        age,
        _lifetime(said, found, wall if date is None else float(date)) - age,
        vary,
        found.get(b"etag"),
        None if modified is None else http_time(modified),
    )


def stored_head(head: ResponseHead, size: int, date: bytes) -> bytes:
    """What of `head` goes with a stored response whose body has `size` bytes: as
    `StoredResponse.head`. `date` is the date of its arrival, if it has none.
    """
    sent = forward_response_head(head, to_version=(1, 1), chunked=False, close=False, date=date)
    lines = [line for line in sent.split(b"\r\n") if line[:4].lower() != b"age:"]
    if all(line.kind != CONTENT_LENGTH for line in head.lines):
        lines.insert(-2, b"Content-Length: %d" % size)
    return b"\r\n".join(lines[:-1])


def response_of(
    head: ResponseHead, body: bytes, agreed: Terms, *, arrived_at: float, date: bytes
) -> StoredResponse:
    """`head` and `body` as they are kept, on the terms that were `agreed`."""
    return StoredResponse(
        head.status,
        stored_head(head, len(body), date),
        body,
        arrived_at=arrived_at,
        age=agreed.age,
        fresh_for=agreed.fresh_for,
        vary=agreed.vary,
        etag=agreed.etag,
        modified=agreed.modified,
    )


def _lifetime(said: dict[bytes, bytes], found: dict[bytes, bytes], date: float) -> float:
    """Section 4.2.1: the first that is there of s-maxage, max-age, Expires; else it is for the
    rules to say. What can't be read has expired (section 5.3).
    """
    if b"no-cache" in said:
        return 0.0
    for name in (b"s-maxage", b"max-age"):
        if name in said:
            return _seconds(said[name], otherwise=0.0)
    if b"expires" in found:
        expires = http_time(found[b"expires"])
        return 0.0 if expires is None else max(0.0, expires - date)
    return inf


def _seconds(value: bytes, *, otherwise: float) -> float:
    """Section 1.2.2."""
    if not value.isdigit():
        return otherwise
    return float(min(int(value), _MOST_SECONDS)) if len(value) < 20 else float(_MOST_SECONDS)


def _vary(found: dict[bytes, bytes]) -> tuple[bytes, ...] | None:
    """The lower-case names in `Vary`, in order; None if no other request can be sure to match.

    A response that is encoded varies with what encodings are accepted, whether it says so or not.
    """
    listed = found.get(b"vary", b"").lower()
    names = {name for part in listed.split(b",") if (name := part.strip(OWS))}
    if b"content-encoding" in found:
        names.add(b"accept-encoding")
    if len(names) > MOST_VARY_NAMES or b"*" in names or not _OURS.isdisjoint(names):
        return None
    return None if b"".join(names).translate(None, TOKEN_BYTES) else tuple(sorted(names))
