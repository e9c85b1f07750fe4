"""The head of a response."""

import re
from enum import Enum
from typing import Final

from proxy.wire.errors import BadResponse
from proxy.wire.field_line import (
    CHUNKED,
    CLOSE,
    CLOSE_ALONE,
    CONTENT_LENGTH,
    HOST,
    KEEP_ALIVE,
    KEEP_ALIVE_ALONE,
    LOAD_REPORT,
    NO_NAMES,
    RESPONSE_LINES,
    STAYS,
    FieldLine,
    names_in_connection,
)
from proxy.wire.field_section import MAX_FIELDS, tolerant_fields
from proxy.wire.grammar import LARGEST_LENGTH, OWS, Field
from proxy.wire.load_report import LONGEST_REPORT
from proxy.wire.recent import Recent

SECTION_END = re.compile(rb"\n\r?\n")
"""Where a tolerantly read section ends: an empty line, whatever ends the lines."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?\r?\n")
_START = b"HTTP/1."

_LONGEST_STATUS_LINE: Final = 64
"""Bytes of a status line that is kept."""

_status_lines: Final[Recent[bytes, tuple[int, bytes]]] = Recent(64)

MOST_HEADS: Final = 512
LONGEST_HEAD: Final = 1024
"""Bytes of a head that is kept whole, and how many are, in each of two generations."""

_heads: Final["Recent[bytes, ResponseHead]"] = Recent(MOST_HEADS)
_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding", b"upgrade"})


class Framing(Enum):
    """How a response's body ends (RFC 9112 section 6.3)."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


class ResponseHead:
    """A response's head, of one meaning only.

    `reason` is the reason phrase as sent, `fields` the field lines, names as sent and values
    trimmed; equal Content-Lengths are collapsed to one there, and gone beside chunked. `lines`
    are the same, classified. `length` is the Content-Length, None without one. `keep_alive`: the
    upstream connection may be used again, once the body has ended by itself. `upgrade`: the
    protocols that it changes to (101) or asks for (426), when `Connection` names the field.
    `connection_names`: the lower-case names in `Connection`. `load_report`: what the upstream says
    of its load, None if it says nothing, or more than is ever read.

    A head whose lines all repeat may be that of many responses: nothing in it changes but
    `forwarded`, what has been made of it (see `proxy.wire.fields`); None for others.
    """

    __slots__ = (
        "_fields",
        "chunked",
        "connection_names",
        "forwarded",
        "keep_alive",
        "length",
        "lines",
        "load_report",
        "reason",
        "status",
        "upgrade",
        "version",
    )

    def __init__(
        self,
        status: int,
        reason: bytes,
        version: tuple[int, int],
        lines: list[FieldLine],
        length: int | None,
        chunked: bool,
        keep_alive: bool,
        upgrade: bytes | None,
        connection_names: frozenset[bytes],
    ) -> None:
        self.status = status
        self.reason = reason
        self.version = version
        self.lines = lines
        self.length = length
        self.chunked = chunked
        self.keep_alive = keep_alive
        self.upgrade = upgrade
        self.connection_names = connection_names
        self.forwarded: dict[tuple[bool, bool], bytes] | None = None
        self.load_report: bytes | None = None
        self._fields: list[Field] | None = None

    @property
    def fields(self) -> list[Field]:
        """The lines as pairs, made when first asked for."""
        if self._fields is None:
            self._fields = [(line.name, line.value) for line in self.lines]
        return self._fields

    def __repr__(self) -> str:
        return (
            f"ResponseHead({self.status}, {self.reason!r}, {self.version}, {self.lines}, "
            f"{self.length}, {self.chunked}, {self.keep_alive}, {self.upgrade!r}, "
            f"{sorted(self.connection_names)})"
        )


def whole_response_head(data: bytes, max_bytes: int) -> tuple[ResponseHead, int] | None:
    """The head that `data` begins with, and where it ends, if it is a usual one of `max_bytes` at
    most and there is nothing the matter with it.

    Else None: it may be incomplete, malformed, or merely unusual, which `ResponseHeadReader`
    tells. What this one reads, that one reads alike: HTTP/1.1 with CRLFs, one plain length or
    chunks or neither, and nothing in `Connection` but `keep-alive` or `close`.
    """
    end = data.find(b"\r\n\r\n", 0, max_bytes)
    if end < 0:
        return None
    section = data[:end]
    kept = _heads.find(section)
    if kept is not None:
        return kept, end + 4
    pieces = data[: end + 1].split(b"\n")
    start = pieces.pop(0)
    known = _status_lines.find(start) or _status(start)
    if known is None or len(pieces) > MAX_FIELDS:
        return None
    head = _usual_head(known[0], known[1], pieces)
    if head is None:
        return None
    if head.forwarded is not None and end <= LONGEST_HEAD:
        _heads.keep(section, head)
    return head, end + 4


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
        if not self.started:
            whole = whole_response_head(data, self._max_bytes)
            if whole is not None:
                self.started = True
                head, end_of_head = whole
                self.rest = data[end_of_head:]
                return head
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


def _status(line: bytes) -> tuple[int, bytes] | None:
    """Status and reason in a status line with its CR; None for what is not plain HTTP/1.1."""
    match = _STATUS_LINE.fullmatch(line + b"\n")
    if match is None or match[1] != b"1" or not line.endswith(b"\r"):
        return None
    known = (int(match[2]), match[3] or b"")
    if len(line) <= _LONGEST_STATUS_LINE:
        _status_lines.keep(line, known)
    return known


def _usual_head(status: int, reason: bytes, pieces: list[bytes]) -> ResponseHead | None:
    lines: list[FieldLine] = []
    length: int | None = None
    chunked = False
    names = NO_NAMES
    load_report: bytes | None = None
    all_known = True
    known = RESPONSE_LINES.known
    for piece in pieces:
        line = known.get(piece)
        if line is None:
            all_known = False
            line = RESPONSE_LINES.read(piece)
            if line is None:
                return None
        lines.append(line)
        kind = line.kind
        if kind < HOST or kind == STAYS:
            continue
        if kind == CONTENT_LENGTH and length is None and not chunked:
            length = int(line.value)
            if len(line.value) > 1 and line.value[0] == 0x30:
                return None
        elif kind == CHUNKED and length is None and not chunked:
            chunked = True
        elif kind == KEEP_ALIVE and names is NO_NAMES:
            names = KEEP_ALIVE_ALONE
        elif kind == CLOSE and names is NO_NAMES:
            names = CLOSE_ALONE
        elif kind == LOAD_REPORT and load_report is None:
            load_report = line.value
        else:
            return None
    if (status < 200 or status == 204) and (chunked or length):
        return None
    keep_alive = names is not CLOSE_ALONE
    head = ResponseHead(status, reason, (1, 1), lines, length, chunked, keep_alive, None, names)
    if load_report is not None and len(load_report) <= LONGEST_REPORT:
        head.load_report = load_report
    if all_known:
        head.forwarded = {}
    return head


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
    names = names_in_connection(found.get(b"connection"))
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
    lines = RESPONSE_LINES.classify(
        _with_length(fields, length) if b"content-length" in found else fields
    )
    whole = ResponseHead(
        status,
        line[3] or b"",
        version,
        lines,
        length,
        chunked,
        keep_alive,
        b", ".join(found[b"upgrade"]) if b"upgrade" in found and b"upgrade" in names else None,
        names,
    )
    # Of several none is believed.
    reports = [each.value for each in lines if each.kind == LOAD_REPORT]
    if len(reports) == 1 and len(reports[0]) <= LONGEST_REPORT:
        whole.load_report = reports[0]
    return whole


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
