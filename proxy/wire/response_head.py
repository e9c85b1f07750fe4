"""The head of a response."""

import re
from dataclasses import dataclass
from enum import Enum

from proxy.wire.errors import BadResponse
from proxy.wire.field_section import tolerant_fields
from proxy.wire.grammar import LARGEST_LENGTH, OWS, Field

SECTION_END = re.compile(rb"\n\r?\n")
"""Where a tolerantly read section ends: an empty line, whatever ends the lines."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r?\n")
_START = b"HTTP/1."
_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding", b"upgrade"})


class Framing(Enum):
    """How a response's body ends (RFC 9112 section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


@dataclass(slots=True)
class ResponseHead:
    """A response's head, of one meaning only.

    `reason` is the reason phrase as sent, `fields` the field lines, names as sent and values
    trimmed; equal Content-Lengths are collapsed to one there, and gone beside chunked. `length`
    is the Content-Length, None without one. `keep_alive`: the upstream connection may be used
    again, once the body has ended by itself. `upgrade`: the protocols that it changes to (101)
    or asks for (426), when `Connection` names the field.
    """

    status: int
    reason: bytes
    version: tuple[int, int]
    fields: list[Field]
    length: int | None
    chunked: bool
    keep_alive: bool
    upgrade: bytes | None


class ResponseHeadReader:
    """Reads one response head of at most `max_bytes`, its empty line included.

    `started` tells whether any byte has come; `rest` holds the bytes after the head. 1xx heads
    are heads like others: read the final one with a new reader from `rest`.
    """

    __slots__ = ("_buffer", "_max_bytes", "rest", "started")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self.started = False
        self.rest = b""

    def feed(self, data: bytes) -> ResponseHead | None:
        """The head once it is complete, until then None. Not to be called after that.

        Raises BadResponse: at once for what does not begin as a response, else when the head is
        complete or too large.
        """
        if data:
            self.started = True
        # An empty line may have begun with the last two bytes before this data.
        searched = max(0, len(self._buffer) - 2)
        self._buffer += data
        buffer = self._buffer
        if not buffer.startswith(_START[: len(buffer)]):
            raise BadResponse("not an HTTP/1 response")
        match = SECTION_END.search(buffer, searched, self._max_bytes)
        if match is None:
            if len(buffer) >= self._max_bytes:
                raise BadResponse(f"head reaches {self._max_bytes} bytes")
            return None
        end = match.end()
        self.rest = bytes(buffer[end:])
        # Without the empty line, but with the line end before it.
        return _response_head(bytes(buffer[: match.start() + 1]))


def body_framing(head: ResponseHead, request_method: bytes) -> Framing:
    """How the body of the response to a request of that method ends (RFC 9112 section 6.3).

    Not for CONNECT: a tunnel has no body.
    """
    if request_method == b"HEAD" or head.status in {204, 304} or head.status < 200:
        return Framing.NONE
    if head.chunked:
        return Framing.CHUNKED
    return Framing.UNTIL_CLOSE if head.length is None else Framing.LENGTH


def _response_head(head: bytes) -> ResponseHead:
    line = _STATUS_LINE.match(head)
    if line is None:
        raise BadResponse("malformed status line")
    status = int(line[2])
    version = (1, 1) if line[1] == b"1" else (1, 0)
    section = head[line.end() :]
    fields = tolerant_fields(section) if section else []
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        key = name.lower()
        if key in _FRAMING:
            found.setdefault(key, []).append(value)
    connection = b",".join(found.get(b"connection", ())).lower()
    names = {name.strip(OWS) for name in connection.split(b",")}
    keep_alive = b"close" not in names and (version == (1, 1) or b"keep-alive" in names)
    length = _length(found.get(b"content-length"))
    chunked = _chunked(found.get(b"transfer-encoding"))
    if chunked and (length is not None or version == (1, 0)):
        # RFC 9112 sections 6.1 and 6.3: framing by two rules, or by one that 1.0 does not have,
        # may be an attempt to split a response; nothing after the body is to be believed.
        length = None
        keep_alive = False
    if (status < 200 or status == 204) and (chunked or length):
        # A body follows that must not: it would be taken for the next response.
        keep_alive = False
    return ResponseHead(
        status,
        line[3] or b"",
        version,
        _with_length(fields, length) if b"content-length" in found else fields,
        length,
        chunked,
        keep_alive,
        b", ".join(found[b"upgrade"]) if b"upgrade" in found and b"upgrade" in names else None,
    )


def _length(values: list[bytes] | None) -> int | None:
    """RFC 9112 section 6.3: a list of equal numbers is taken for one of them."""
    if values is None:
        return None
    lengths = {part.strip(OWS) for value in values for part in value.split(b",")}
    digits = lengths.pop()
    if lengths:
        raise BadResponse("differing Content-Lengths")
    if not digits.isdigit() or len(digits) > 19 or int(digits) > LARGEST_LENGTH:
        raise BadResponse("Content-Length is not a number below 2^63")
    return int(digits)


def _chunked(values: list[bytes] | None) -> bool:
    if values is None:
        return False
    if len(values) > 1 or values[0].lower() != b"chunked":
        raise BadResponse("Transfer-Encoding other than chunked")
    return True


def _with_length(fields: list[Field], length: int | None) -> list[Field]:
    """The fields with `length` in place of the first Content-Length, and no other."""
    value = None if length is None else b"%d" % length
    kept: list[Field] = []
    for name, content in fields:
        if name.lower() != b"content-length":
            kept.append((name, content))
        elif value is not None:
            kept.append((name, value))
            value = None
    return kept
