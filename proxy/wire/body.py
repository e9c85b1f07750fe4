"""Message bodies: where they end, and their content without framing (RFC 9112 sections 6 and 7)."""

import re
from collections.abc import Iterable
from typing import Protocol

from proxy.wire.errors import BadMessage, BadRequest, BadResponse, IncompleteMessage
from proxy.wire.field_section import FieldSectionReader, tolerant_fields
from proxy.wire.grammar import LARGEST_LENGTH, TEXT, TOKEN, Field
from proxy.wire.response_head import SECTION_END

MAX_TRAILER_BYTES = 16384
"""The longest trailer section."""

MAX_SIZE_LINE_BYTES = 512
"""The longest line of a chunk's size and extensions. A signature (AWS SigV4) takes 85."""

MAX_EXCESS_BYTES = 16384
"""How far a body's framing may outgrow what its content pays for; see `ChunkedDecoder`."""

_QUOTABLE = rb"[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]*+"
_EXTENSION = (
    rb"[ \t]*+;[ \t]*+[" + TOKEN + rb"]++"
    rb"(?:[ \t]*+=[ \t]*+(?:[" + TOKEN + rb"]++"
    rb'|"' + _QUOTABLE + rb"(?:\\[" + TEXT + rb"]" + _QUOTABLE + rb')*"))?'
)
_STRICT_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:" + _EXTENSION + rb")*\r\n")
_LENIENT_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*+(?:;[" + TEXT + rb"]*+)?\r?\n")
_SIZE_PART = re.compile(rb"(?:[0-9A-Fa-f]{1,16}+[ \t]*+(?:;[" + TEXT + rb"]*+)?\r?)?")
_STRICT_END = re.compile(rb"\r\n")
_LENIENT_END = re.compile(rb"\r?\n")


class BodyDecoder(Protocol):
    """Takes a body's bytes as they come, gives its content.

    `done`: the body has ended; `rest` then holds the bytes after it. `trailers` are the fields
    after a chunked body.
    """

    done: bool
    rest: bytes
    trailers: list[Field]

    def feed(self, data: bytes) -> bytes:
        """The content in `data`, possibly none. Not to be called once `done`."""

    def feed_eof(self) -> None:
        """The peer has closed. Raises IncompleteMessage if the body has not ended with that."""


class LengthDecoder:
    """A body of `length` bytes: a `BodyDecoder`. Without any, it is done from the start."""

    __slots__ = ("done", "remaining", "rest", "trailers")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.done = length == 0
        self.rest = b""
        self.trailers: list[Field] = []

    def feed(self, data: bytes) -> bytes:
        """See `BodyDecoder`. Copies nothing but where the body ends within `data`."""
        size = len(data)
        if size < self.remaining:
            self.remaining -= size
            return data
        content = data[: self.remaining]
        self.rest = data[self.remaining :]
        self.remaining = 0
        self.done = True
        return content

    def feed_eof(self) -> None:
        """See `BodyDecoder`."""
        if not self.done:
            raise IncompleteMessage(f"closed {self.remaining} bytes before the body's end")


class UntilCloseDecoder:
    """A response's body that ends with the connection: a `BodyDecoder`."""

    __slots__ = ("done", "rest", "trailers")

    def __init__(self) -> None:
        self.done = False
        self.rest = b""
        self.trailers: list[Field] = []

    def feed(self, data: bytes) -> bytes:
        """See `BodyDecoder`."""
        return data

    def feed_eof(self) -> None:
        """See `BodyDecoder`."""
        self.done = True


class ChunkedDecoder:
    """A body in chunks (RFC 9112 section 7.1): a `BodyDecoder`.

    Strict, for requests: as the grammar has it, to the byte; raises BadRequest, or HeadTooLarge
    for the trailers. Otherwise, for responses: bare LF is a line's end, whitespace may follow a
    size, anything printable is an extension; raises BadResponse. Bare LF ends a chunk only if it
    ended the size's line too: otherwise the chunk is shorter than its size says.

    Extensions are dropped (RFC 9112 section 7.1.1). What they may cost is bounded as in Go's
    net/http since CVE-2023-39326: each chunk's framing counts, its content pays for 16 bytes
    and two more for each of its own, and the balance must stay below `MAX_EXCESS_BYTES`.
    """

    __slots__ = (
        "_end",
        "_error",
        "_excess",
        "_held",
        "_remaining",
        "_section",
        "_size",
        "_trailer",
        "done",
        "rest",
        "trailers",
    )

    def __init__(self, *, strict: bool) -> None:
        self._error: type[BadMessage] = BadRequest if strict else BadResponse
        self._size = _STRICT_SIZE if strict else _LENIENT_SIZE
        self._end = _STRICT_END
        self._section = FieldSectionReader(MAX_TRAILER_BYTES) if strict else None
        # The line end of the last size line, so that an empty section ends like any other.
        self._trailer = bytearray(b"\n")
        self._held = b""
        # Bytes of the current chunk still to come; None between chunks; -1 in the trailers.
        self._remaining: int | None = None
        self._excess = 0
        self.done = False
        self.rest = b""
        self.trailers: list[Field] = []

    def feed(self, data: bytes) -> bytes:
        """See `BodyDecoder`. A piece within one chunk is not copied."""
        if self._held:
            data = self._held + data
            self._held = b""
        size = len(data)
        position = 0
        pieces: list[bytes] = []
        while position < size and not self.done:
            if self._remaining is None:
                position = self._take_size(data, position)
            elif self._remaining > 0:
                # A slice of all is the same object, but a copy where this is compiled.
                whole = position == 0 and size <= self._remaining
                piece = data if whole else data[position : position + self._remaining]
                pieces.append(piece)
                position += len(piece)
                self._remaining -= len(piece)
            elif self._remaining == 0:
                position = self._take_chunk_end(data, position)
            else:
                position = self._take_trailers(data, position)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def feed_eof(self) -> None:
        """See `BodyDecoder`."""
        if not self.done:
            raise IncompleteMessage("closed before the last chunk's end")

    def _take_size(self, data: bytes, start: int) -> int:
        line = self._size.match(data, start, start + MAX_SIZE_LINE_BYTES)
        if line is None:
            part = data[start : start + MAX_SIZE_LINE_BYTES]
            if len(part) == MAX_SIZE_LINE_BYTES or not _SIZE_PART.fullmatch(part):
                raise self._error("malformed chunk size or extension")
            self._held = part
            return len(data)
        chunk = int(line[1], 16)
        if chunk > LARGEST_LENGTH:
            raise self._error("chunk size of 2^63 or more")
        framing = line.end() - start + 2
        self._excess = max(0, self._excess + framing - 16 - 2 * chunk)
        if self._excess > MAX_EXCESS_BYTES:
            raise self._error("more chunk extensions than content")
        self._remaining = chunk or -1
        self._end = _STRICT_END if line[0].endswith(b"\r\n") else _LENIENT_END
        return line.end()

    def _take_chunk_end(self, data: bytes, start: int) -> int:
        end = self._end.match(data, start)
        if end is None:
            if data[start:] != b"\r":
                raise self._error("no line end after a chunk")
            self._held = b"\r"
            return len(data)
        self._remaining = None
        return end.end()

    def _take_trailers(self, data: bytes, start: int) -> int:
        if self._section is not None:
            stop = self._section.feed(data, start)
            if stop is None:
                return len(data)
            self.trailers = self._section.fields
            self.rest = data[stop:]
        else:
            before = len(self._trailer)
            self._trailer += data[start:]
            end = SECTION_END.search(self._trailer, max(0, before - 2), MAX_TRAILER_BYTES)
            if end is None:
                if len(self._trailer) >= MAX_TRAILER_BYTES:
                    raise self._error(f"trailers reach {MAX_TRAILER_BYTES} bytes")
                return len(data)
            section = bytes(self._trailer[1 : end.start() + 1])
            self.trailers = tolerant_fields(section) if section else []
            self.rest = bytes(self._trailer[end.end() :])
        self.done = True
        return len(data)


def encode_chunk(data: bytes) -> bytes:
    """`data` as one chunk; nothing for no data, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def last_chunk(trailers: Iterable[Field] = ()) -> bytes:
    """The end of a chunked body, with its trailer fields."""
    return b"0\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in trailers)
