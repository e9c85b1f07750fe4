"""One connection of the load generator: the least HTTP/1.1 that counts answers rightly."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked[ \t]*\r", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]*\r\n")
_LONGEST_HEAD_BYTES = 65536

Outcome = int | str
"""A status, or a kind of failure: `closed`, `malformed`, `timeout`."""


@dataclass(slots=True)
class Attempt:
    """A request, since when it waits (`time.perf_counter`), and how often it may be repeated."""

    data: bytes
    at: float
    retries_left: int = 0


class Connection(asyncio.Protocol):
    """Sends one request at a time and tells `finished` its outcome.

    `finished` is called once for each request; `reusable` then says whether another may be sent.
    It is also called, with None for the request, when the connection is lost between two.
    """

    def __init__(self, finished: Callable[["Connection", Attempt | None, Outcome], None]) -> None:
        self.attempt: Attempt | None = None
        """The request under way."""
        self.reusable = False
        self._finished = finished
        self._status = 0
        self._buffer = bytearray()
        self._left: int | None = None
        """What is missing of the body: None in the head and in a body without a length."""
        self._chunked = False
        self._keep_alive = False
        self._closed = False
        self._to_head = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop: connected."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self, attempt: Attempt) -> None:
        """Send a request; the one before must have its answer."""
        self.attempt = attempt
        self.reusable = False
        self._status = 0
        self._left = None
        self._chunked = False
        self._to_head = attempt.data.startswith(b"HEAD ")
        self._buffer.clear()
        if self._closed:
            self._finish("closed")
        else:
            self._transport.write(attempt.data)

    def data_received(self, data: bytes) -> None:
        """Called by the loop: more of an answer."""
        if self.attempt is None:
            self.abort()  # an answer that nobody asked for
        elif self._left is not None:
            self._take(self._left, len(data))
        else:
            self._buffer += data
            if self._status or self._read_head():
                self._read_body()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop: it is over, which can be how an answer ends."""
        self._closed = True
        self.reusable = False
        ended_well = self._status and self._left is None and not self._chunked and not error
        self._finish(self._status if ended_well else "closed")

    def give_up(self, kind: str) -> None:
        """Fail the request under way and close."""
        self.abort()
        self._finish(kind)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _read_head(self) -> bool:
        """Take a whole final head off the buffer; False when more is needed or all is over."""
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > _LONGEST_HEAD_BYTES:
                    self.give_up("malformed")
                return False
            match = _STATUS.match(self._buffer)
            if match is None:
                self.give_up("malformed")
                return False
            status = int(match[2])
            if status >= 200:
                break
            del self._buffer[: end + 4]
        head = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        self._status = status
        self._keep_alive = head[7:8] == b"1" and _CLOSE.search(head) is None
        length = _LENGTH.search(head)
        if status in (204, 304) or self._to_head:
            self._left = 0
        elif _CHUNKED.search(head) is not None:
            self._chunked = True
        elif length is not None:
            self._left = int(length[1])
        return True

    def _read_body(self) -> None:
        if self._chunked:
            self._read_chunks()
        elif self._left is not None:
            self._take(self._left, len(self._buffer))
        else:
            self._buffer.clear()  # until the close: only its end counts

    def _take(self, left: int, size: int) -> None:
        self._left = left - size
        if size > left:
            self.give_up("malformed")
        elif size == left:
            self._complete()

    def _read_chunks(self) -> None:
        start = 0
        while True:
            match = _CHUNK.match(self._buffer, start)
            if match is None:
                if len(self._buffer) - start > _LONGEST_HEAD_BYTES:
                    self.give_up("malformed")
                break
            size = int(match[1], 16)
            if size == 0:
                self._read_trailers(match.end())
                break
            if len(self._buffer) < match.end() + size + 2:
                break
            start = match.end() + size + 2
        del self._buffer[:start]

    def _read_trailers(self, start: int) -> None:
        """The last chunk's line ends at `start`; what follows ends with an empty line."""
        end = self._buffer.find(b"\r\n\r\n", start - 2)
        if end >= 0:
            self._complete()

    def _complete(self) -> None:
        self.reusable = self._keep_alive and not self._closed
        if not self.reusable:
            self._transport.close()
        self._finish(self._status)

    def _finish(self, outcome: Outcome) -> None:
        attempt, self.attempt = self.attempt, None
        self._finished(self, attempt, outcome)
