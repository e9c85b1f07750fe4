"""A transport that records, and fails on what a real one must not be asked."""

import asyncio


class FakeTransport(asyncio.Transport):
    """Reads until it is paused; `written` holds what was sent. `extra` is its extra info."""

    def __init__(self, **extra: object) -> None:
        super().__init__(extra)
        self.reading = True
        self.closing = False
        self.half_closed = False
        self.written = bytearray()

    def pause_reading(self) -> None:
        assert not self.closing
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.closing
        assert not self.reading, "resumed without a pause"
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

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
        return len(self.written)
