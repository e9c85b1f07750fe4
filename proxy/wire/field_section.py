"""Field lines up to the empty line that ends them: of a head, or of a chunked body's trailers."""

import re

from proxy.wire.errors import BadRequest, BadResponse, HeadTooLarge
from proxy.wire.grammar import OWS, TEXT, TOKEN, Field, unexpected

MAX_FIELDS = 200
"""The most field lines of one section. Browsers send some 20."""

# Possessive quantifiers: a line that does not match is given up without trying shorter pieces.
_LINES = re.compile(rb"(?:[" + TOKEN + rb"]++:[" + TEXT + rb"]*+\r\n)*")
_SPLIT = re.compile(rb"([^:]++):[ \t]*+([^\r]*+)\r\n")
_NAME_PART = re.compile(rb"[" + TOKEN + rb"]*+")
_VALUE_PART = re.compile(rb"[" + TEXT + rb"]*+")

_TOLERANT_LINE = re.compile(rb"([" + TOKEN + rb"]++)[ \t]*+:([^\x00\r\n]*+)")
_FOLD = re.compile(rb"\n[ \t]+")


class FieldSectionReader:
    """Reads a request's field section strictly: RFC 9112 section 5, without what it merely allows.

    No whitespace before a colon, no folded line, CRLF and nothing else as a line's end. Complete
    lines are taken in bulk; an unfinished one is checked byte by byte as it comes, each byte
    once, so that whatever is malformed is refused with its first wrong byte.

    A reader reads one section. `consumed` counts its bytes so far.
    """

    __slots__ = ("_colon", "_line", "_max_bytes", "_scanned", "consumed", "fields")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._line = bytearray()
        self._scanned = 0
        self._colon = -1
        self.consumed = 0
        self.fields: list[Field] = []

    def feed(self, data: bytes, start: int = 0) -> int | None:
        """Where in `data` the section ends; None when it goes on.

        Raises BadRequest, or HeadTooLarge when `max_bytes` or `MAX_FIELDS` would be exceeded.
        """
        end = min(len(data), start + self._max_bytes - self.consumed)
        position = start
        while position < end:
            if not self._line:
                position = self._take_lines(data, position, end)
                if position == end:
                    break
            newline = data.find(b"\n", position, end)
            piece_end = newline + 1 if newline >= 0 else end
            self._line += data[position:piece_end]
            position = piece_end
            self._scan()
            if newline >= 0 and self._close_line():
                self.consumed += position - start
                return position
        self.consumed += position - start
        if self.consumed >= self._max_bytes:
            raise HeadTooLarge(f"field section reaches {self._max_bytes} bytes")
        return None

    def _take_lines(self, data: bytes, start: int, end: int) -> int:
        lines = _LINES.match(data, start, end)
        assert lines is not None  # noqa: S101 - it matches the empty string as well
        stop = lines.end()
        fields: list[Field] = _SPLIT.findall(data, start, stop)
        if data.find(b" \r", start, stop) >= 0 or data.find(b"\t\r", start, stop) >= 0:
            fields = [(name, value.rstrip(OWS)) for name, value in fields]
        self.fields += fields
        if len(self.fields) > MAX_FIELDS:
            raise HeadTooLarge(f"more than {MAX_FIELDS} fields")
        return stop

    def _scan(self) -> None:
        """Check what is new in the unfinished line; it may have become complete."""
        line = self._line
        if line[0] == 0x0D:
            if bytes(line[1:2]) not in {b"", b"\n"}:
                raise BadRequest("bare CR at a line's start")
            return
        if self._colon < 0:
            end = self._run(_NAME_PART)
            if end == len(line):
                return
            if line[end] != 0x3A or end == 0:
                raise BadRequest(_name_fault(line[end], end))
            self._colon = end
            self._scanned = end + 1
        end = self._run(_VALUE_PART)
        if bytes(line[end : end + 3]) not in {b"", b"\r", b"\r\n"}:
            raise BadRequest(unexpected(line[end], "a field value"))

    def _run(self, allowed: re.Pattern[bytes]) -> int:
        run = allowed.match(self._line, self._scanned)
        assert run is not None  # noqa: S101 - it matches the empty string as well
        self._scanned = run.end()
        return self._scanned

    def _close_line(self) -> bool:
        """Take the line, which is complete and clean; whether it was the empty one."""
        if self._colon < 0:
            return True
        name = bytes(self._line[: self._colon])
        self.fields.append((name, bytes(self._line[self._colon + 1 : -2]).strip(OWS)))
        if len(self.fields) > MAX_FIELDS:
            raise HeadTooLarge(f"more than {MAX_FIELDS} fields")
        self._line.clear()
        self._scanned = 0
        self._colon = -1
        return False


def _name_fault(byte: int, index: int) -> str:
    if byte in OWS:
        return "whitespace before a colon" if index else "folded line or leading whitespace"
    return "field line without a name" if byte == 0x3A else unexpected(byte, "a field name")


def tolerant_fields(section: bytes) -> list[Field]:
    """The fields of a response's complete section: each line with its end, no empty line.

    Taken as RFC 9112 lets a recipient take them: bare LF ends a line (section 2.2), whitespace
    before a colon is removed (5.1), a folded line is unfolded with a space (5.2). Raises
    BadResponse for NUL, for CR that is not a line's end, and for names that are none.
    """
    lines = _LINES.match(section)
    if lines is not None and lines.end() == len(section):
        found: list[Field] = [(name, value.rstrip(OWS)) for name, value in _SPLIT.findall(section)]
    else:
        found = []
        unfolded = _FOLD.sub(b" ", section.replace(b"\r\n", b"\n").removesuffix(b"\n"))
        for line in unfolded.split(b"\n"):
            match = _TOLERANT_LINE.fullmatch(line)
            if match is None:
                raise BadResponse("malformed field line")
            found.append((match[1], match[2].strip(OWS)))
    if len(found) > MAX_FIELDS:
        raise BadResponse(f"more than {MAX_FIELDS} fields")
    return found
