"""Strict HTTP/1.1 messages for tests, written apart from Plan B so that both can't err alike.

Everything is read from an `asyncio.StreamReader`; bytes stay as they came. RFC 9112.
"""

import asyncio
import re
from dataclasses import dataclass

Fields = list[tuple[bytes, bytes]]

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELD_LINE = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\x00\r\n]*?)[ \t]*")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[^\x00\r\n]*)?\r\n")
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([^ \r\n]+) (HTTP/1\.[01])")
_STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-9][0-9][0-9]) ([^\x00\r\n]*)")


class MalformedMessageError(AssertionError):
    """What came is not HTTP/1.1; in a test this is a failure, hence the base class."""


class PeerLeftError(ConnectionError):
    """The peer closed inside a message; `received` is what came of it."""

    def __init__(self, received: bytes) -> None:
        super().__init__(f"the peer closed after {received!r}")
        self.received = received


@dataclass(slots=True)
class Message:
    """What requests and responses share. `head` is raw, from its first byte to its empty line."""

    head: bytes
    fields: Fields
    body: bytes = b""
    trailers: Fields | None = None

    def values(self, name: str) -> list[str]:
        """All values of the field `name`, in order; case of `name` does not matter."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.fields if key.lower() == wanted]

    def header(self, name: str) -> str | None:
        """The only value of the field `name`, None when absent; fails when there are several."""
        values = self.values(name)
        if len(values) > 1:
            raise AssertionError(f"{len(values)} fields {name!r}: {values}")
        return values[0] if values else None


@dataclass(slots=True)
class Request(Message):
    """A request as an origin received it."""

    method: str = ""
    target: bytes = b""
    version: str = ""


@dataclass(slots=True)
class Response(Message):
    """A response as a client received it."""

    status: int = 0
    reason: str = ""
    version: str = ""


async def read_head(reader: asyncio.StreamReader) -> bytes:
    """A raw head with its empty line; empty when the peer closed before its first byte."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise PeerLeftError(error.partial) from error
        return b""


async def read_request_head(reader: asyncio.StreamReader) -> Request | None:
    """A request without its body; None when the peer closed before its first byte."""
    head = await read_head(reader)
    if not head:
        return None
    line, fields = _split(head)
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise MalformedMessageError(f"bad request line {line!r}")
    return Request(
        head, fields, method=match[1].decode(), target=match[2], version=match[3].decode()
    )


async def read_response_head(reader: asyncio.StreamReader) -> Response:
    """A response without its body; interim (1xx) responses are responses too."""
    head = await read_head(reader)
    if not head:
        raise PeerLeftError(b"")
    line, fields = _split(head)
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise MalformedMessageError(f"bad status line {line!r}")
    return Response(
        head,
        fields,
        status=int(match[2]),
        reason=match[3].decode("latin-1"),
        version=match[1].decode(),
    )


async def read_body(reader: asyncio.StreamReader, message: Message) -> None:
    """Read the body that `message`'s fields announce into it (RFC 9112 section 6.3).

    A response without a length is read until its sender closes. Whether a response has a body
    at all (HEAD, 1xx, 204, 304) is for the caller to know.
    """
    lengths = message.values("content-length")
    codings = message.values("transfer-encoding")
    if codings and lengths:
        raise MalformedMessageError("both Content-Length and Transfer-Encoding")
    if codings:
        if [coding.lower() for coding in codings] != ["chunked"]:
            raise MalformedMessageError(f"unknown Transfer-Encoding {codings}")
        message.body, message.trailers = await _read_chunked(reader)
    elif lengths:
        if len(lengths) != 1 or not re.fullmatch("[0-9]+", lengths[0]):
            raise MalformedMessageError(f"bad Content-Length {lengths}")
        message.body = await _exactly(reader, int(lengths[0]))
    elif isinstance(message, Response):
        message.body = await reader.read()


def _split(head: bytes) -> tuple[bytes, Fields]:
    line, *lines = head[:-4].split(b"\r\n")
    return line, [_field(each) for each in lines]


def _field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD_LINE.fullmatch(line)
    if match is None:
        raise MalformedMessageError(f"bad field line {line!r}")
    return match[1], match[2]


async def _read_chunked(reader: asyncio.StreamReader) -> tuple[bytes, Fields]:
    chunks: list[bytes] = []
    while True:
        line = await _line(reader)
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise MalformedMessageError(f"bad chunk line {line!r}")
        size = int(match[1], 16)
        if size == 0:
            break
        chunk = await _exactly(reader, size + 2)
        if not chunk.endswith(b"\r\n"):
            raise MalformedMessageError(f"a chunk of {size} bytes ends with {chunk[-2:]!r}")
        chunks.append(chunk[:-2])
    trailers: Fields = []
    while (line := await _line(reader)) != b"\r\n":
        trailers.append(_field(line.removesuffix(b"\r\n")))
    return b"".join(chunks), trailers


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n")
    except asyncio.IncompleteReadError as error:
        raise PeerLeftError(error.partial) from error


async def _exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise PeerLeftError(error.partial) from error
