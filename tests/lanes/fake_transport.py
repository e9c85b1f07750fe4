"""A transport that records, and fails on what a real one must not be asked."""

import asyncio
from typing import cast

_TOLD = ("data_received", "eof_received", "connection_lost", "pause_writing", "resume_writing")


class FakeTransport(asyncio.Transport):
    """Reads until it is paused; `written` holds what was sent. `extra` is its extra info.

    What was written counts as unsent, unless `unsent` says how much is. Once closed it ends when
    the test says so (`lose`). For the protocol of `set_protocol` it plays the event loop besides:
    `receive`, `end`, `fill` and `drain`.
    """

    def __init__(self, **extra: object) -> None:
        super().__init__(extra)
        self.protocol: asyncio.Protocol | None = None
        self.reading = True
        self.closing = False
        self.aborted = False
        self.lost = False
        self.half_closed = False
        self.full = False
        self.unsent: int | None = None
        self.written = bytearray()
        self._taken_over = False

    # ------------------------------------------------------------ of a transport

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        # A compiled class can't have asyncio's for its base, but must know all that it knows.
        for name in _TOLD:
            assert callable(getattr(protocol, name)), name
        assert not self.lost
        # Who takes over can't know whether reading is paused.
        self._taken_over = self.protocol is not None
        self.protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self.protocol is not None
        return self.protocol

    def pause_reading(self) -> None:
        assert not self.closing
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.closing
        assert self._taken_over or not self.reading, "resumed without a pause"
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading and not self.closing

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closing
        assert not self.half_closed
        self.written += data

    def write_eof(self) -> None:
        assert not self.closing
        self.half_closed = True

    def get_write_buffer_size(self) -> int:
        return len(self.written) if self.unsent is None else self.unsent

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    # ----------------------------------------------------------- of the event loop

    def receive(self, data: bytes) -> None:
        """The peer sends `data`, which is read now."""
        assert self.protocol is not None
        assert self.is_reading(), "received though it does not read"
        self.protocol.data_received(data)

    def end(self) -> None:
        """The peer closes its side, which is read now; what is unsent is still to go."""
        assert self.protocol is not None
        assert self.is_reading()
        if not self.protocol.eof_received():
            self.close()

    def lose(self, error: Exception | None = None) -> None:
        """The connection is gone: by `error`, or because it was closed."""
        assert self.protocol is not None
        assert self.closing or error is not None, "lost without a reason"
        assert not self.lost, "lost twice"
        self.closing = self.lost = True
        self.protocol.connection_lost(error)

    def fill(self) -> None:
        """Its buffer is full: the peer takes nothing."""
        assert self.protocol is not None
        assert not self.full
        self.full = True
        self.unsent = 1 << 17
        self.protocol.pause_writing()

    def drain(self) -> None:
        """The peer has taken all."""
        assert self.protocol is not None
        assert self.full
        self.full = False
        self.unsent = 0
        self.protocol.resume_writing()
