"""HTTP/1.1 on one socket, read and written by one thread at a time."""

import re
import socket
import time
from email.utils import formatdate
from enum import Enum, auto
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO

from proxy.demo.messages import HttpError, Request, Response

MAX_HEAD_BYTES = 65536
MAX_BODY_BYTES = 1 << 20
IO_TIMEOUT = 20.0
"""Seconds that a thread waits for a client to send more of a body or take more of an answer."""
LINGER = 1.0
"""Seconds for which a refused client's bytes are read and dropped before the socket is closed."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")


class Next(Enum):
    """What is to be done with a connection now."""

    SERVE = auto()
    """The next request is here already."""
    WATCH = auto()
    """Wait until it can be read again."""
    FORGET = auto()
    """It is closed."""


class _Head(BaseHTTPRequestHandler):
    """The standard library's parser of request heads, without its socket handling."""

    protocol_version = "HTTP/1.1"

    def __init__(self, head: bytes) -> None:
        self.rfile = BytesIO(head)
        self.raw_requestline = self.rfile.readline(MAX_HEAD_BYTES + 1)
        self.expects_continue = False
        if not self.parse_request() or self.request_version == "HTTP/0.9":
            raise HttpError(HTTPStatus.BAD_REQUEST, "The request line could not be read.")

    def send_error(self, code: int, message: str | None = None, _: str | None = None) -> None:
        """Called by `parse_request`: raise what is wrong instead of sending it."""
        raise HttpError(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def handle_expect_100(self) -> bool:
        """Called by `parse_request`: `100 Continue` is sent when the body is about to be read."""
        self.expects_continue = True
        return True


class Connection:
    """One client's connection: `serve` answers one request of it.

    `idle_since` is when it was last active, in seconds of the monotonic clock.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.idle_since = time.monotonic()
        self._buffer = bytearray()
        sock.settimeout(IO_TIMEOUT)

    def __repr__(self) -> str:
        return f"<Connection {self.sock.fileno()} buffered={len(self._buffer)}>"

    def close(self) -> None:
        """Close the socket. Closing twice does nothing."""
        self.sock.close()

    def receive(self) -> Next:
        """Read what is there, without waiting if the socket is readable.

        A head that comes in pieces never holds a thread; a body that does, does: the weakness
        of every shop that works with one thread for one request.
        """
        self._drop_empty_lines()
        if b"\r\n\r\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                self.close()
                return Next.FORGET
            self._buffer += data
            self._drop_empty_lines()
        return self._after_reading()

    def read_request(self) -> tuple[Request, bool]:
        """The next request, and whether the connection is kept after it.

        Raises HttpError for a request that can't be read; the connection must then be refused.
        """
        end = self._buffer.find(b"\r\n\r\n") + 4
        if not 4 <= end <= MAX_HEAD_BYTES:
            raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The head is too large.")
        head_bytes = bytes(self._buffer[:end])
        del self._buffer[:end]
        if re.search(rb"(?<!\r)\n|\r(?!\n)", head_bytes):
            raise HttpError(HTTPStatus.BAD_REQUEST, "A line does not end with CRLF.")
        head = _Head(head_bytes)
        for name, value in head.headers.items():
            if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
                raise HttpError(HTTPStatus.BAD_REQUEST, "A header field could not be read.")
        if head.headers.defects:
            raise HttpError(HTTPStatus.BAD_REQUEST, "The header could not be read.")
        body = self._read_body(head)
        tokens = {token.strip().lower() for token in head.headers.get("Connection", "").split(",")}
        kept = "close" not in tokens and (
            head.request_version >= "HTTP/1.1" or "keep-alive" in tokens
        )
        return Request(head.command, head.path, head.headers, body), kept

    def send(self, response: Response, *, to_method: str, kept: bool) -> Next:
        """Send `response` in one write, then say what is next."""
        head = _rendered(response, kept=kept)
        self.sock.sendall(head if to_method == "HEAD" else head + response.body)
        self.idle_since = time.monotonic()
        if kept:
            return self._after_reading()
        self.close()
        return Next.FORGET

    def refuse(self, error: HttpError) -> Next:
        """Answer a request that could not be read, and close.

        Closing with unread bytes would reset the connection and could take the answer with it
        (RFC 9112 section 9.6), so some of them are read and dropped.
        """
        headers = (("Content-Type", "text/plain; charset=utf-8"),)
        answer = Response(error.status, f"{error.text}\n".encode(), headers)
        self.sock.settimeout(LINGER)
        deadline = time.monotonic() + LINGER
        try:
            self.sock.sendall(_rendered(answer, kept=False) + answer.body)
            self.sock.shutdown(socket.SHUT_WR)
            while time.monotonic() < deadline and self.sock.recv(65536):
                pass
        finally:
            self.close()
        return Next.FORGET

    def _after_reading(self) -> Next:
        too_large = len(self._buffer) > MAX_HEAD_BYTES
        return Next.SERVE if too_large or b"\r\n\r\n" in self._buffer else Next.WATCH

    def _drop_empty_lines(self) -> None:
        # RFC 9112 section 2.2: empty lines before a request line are to be ignored.
        while self._buffer.startswith(b"\r\n"):
            del self._buffer[:2]

    def _read_body(self, head: _Head) -> bytes:
        lengths = set(head.headers.get_all("Content-Length", []))
        codings = head.headers.get_all("Transfer-Encoding", [])
        if codings and (lengths or head.request_version < "HTTP/1.1"):
            raise HttpError(HTTPStatus.BAD_REQUEST, "The body has two lengths.")
        if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
            raise HttpError(HTTPStatus.NOT_IMPLEMENTED, "Only the coding chunked is understood.")
        if len(lengths) > 1 or not all(re.fullmatch("[0-9]{1,18}", each) for each in lengths):
            raise HttpError(HTTPStatus.BAD_REQUEST, "The body's length could not be read.")
        length = int(lengths.pop()) if lengths else 0
        if length > MAX_BODY_BYTES:
            raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
        if head.expects_continue and (length or codings):
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return self._read_chunks() if codings else self._read(length)

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            match = _CHUNK_SIZE.fullmatch(self._read_line())
            if not match:
                raise HttpError(HTTPStatus.BAD_REQUEST, "A chunk's size could not be read.")
            size = int(match[1], 16)
            if len(body) + size > MAX_BODY_BYTES:
                raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
            if not size:
                break
            body += self._read(size)
            if self._read(2) != b"\r\n":
                raise HttpError(HTTPStatus.BAD_REQUEST, "A chunk does not end with CRLF.")
        trailer_bytes = 0
        while (line := self._read_line()) != b"\r\n":
            trailer_bytes += len(line)
            if trailer_bytes > MAX_HEAD_BYTES:
                raise HttpError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "Too many trailers.")
        return bytes(body)

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\n") + 1) == 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise HttpError(HTTPStatus.BAD_REQUEST, "A line is too long.")
            self._receive_more()
        return self._read(end)

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive_more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _receive_more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionAbortedError("the client left in the middle of a request")
        self._buffer += data


def _rendered(response: Response, *, kept: bool) -> bytes:
    lines = [
        f"HTTP/1.1 {response.status.value} {response.status.phrase}",
        f"Date: {formatdate(usegmt=True)}",
        "Server: old-kiln",
        *(f"{name}: {value}" for name, value in response.headers),
        f"Content-Length: {len(response.body)}",
        f"Connection: {'keep-alive' if kept else 'close'}",
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
