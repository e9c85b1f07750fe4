"""Bytes on their way from a transport to a coroutine, under flow control."""

import asyncio
from collections import deque
from typing import Final

HIGH_WATER_BYTES: Final = 65536
"""Reading pauses while more than this is queued: what one slow exchange may hold, one read aside.

aiohttp and asyncio use the same mark for their buffers.
"""


class ByteQueue:
    """A single-consumer queue that pauses `transport` while it is full.

    aiohttp's request handler takes it for a request's payload, hence `is_eof` and
    `set_exception`.
    """

    __slots__ = (
        "_chunks",
        "_eof",
        "_exception",
        "_loop",
        "_paused",
        "_size",
        "_waiter",
        "transport",
    )

    def __init__(
        self, transport: asyncio.Transport | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.transport = transport
        self._loop = loop
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._eof = False
        self._exception: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._paused = False

    def __repr__(self) -> str:
        return f"<ByteQueue {self._size} bytes{' eof' if self._eof else ''}>"

    def feed(self, data: bytes) -> None:
        """Queues `data`; a full queue pauses the transport."""
        if not data:
            return
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER_BYTES and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()
        self.wake()

    def put_back(self, data: bytes) -> None:
        """Queues what was read before, to be read again first."""
        if data:
            self._chunks.appendleft(data)
            self._size += len(data)

    def feed_eof(self) -> None:
        """Nothing more will come, and nothing is missing."""
        self._eof = True
        self.wake()

    def set_exception(self, exc: BaseException, _cause: BaseException | None = None) -> None:
        """`read` raises `exc` once what is queued has been read; too late after the end."""
        if not self._eof and self._exception is None:
            self._exception = exc
            self.wake()

    def exception(self) -> BaseException | None:
        """What `read` will raise, if it is known already."""
        return self._exception

    def is_eof(self) -> bool:
        """Whether everything has come: what is queued is the rest."""
        return self._eof

    async def wait(self, seconds: float | None = None) -> None:
        """Waits for bytes, the end, an exception or `wake`; at most `seconds`, if given."""
        if self._chunks or self._eof or self._exception is not None:
            return
        self._waiter = self._loop.create_future()
        timer = None if seconds is None else self._loop.call_later(seconds, self.wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()

    def read_nowait(self) -> bytes:
        """All that is queued; b"" when nothing is."""
        if not self._chunks:
            return b""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()
        return data

    async def read(self) -> bytes:
        """Waits for bytes and returns all that are queued; b"" at the end, and only then."""
        while not self._chunks:
            if self._exception is not None:
                raise self._exception
            if self._eof:
                return b""
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.read_nowait()

    def wake(self) -> None:
        """Ends a `wait`."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
