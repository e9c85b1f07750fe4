"""Closing a client's connection so that it still gets to read the last answer."""

import asyncio
from collections.abc import Callable
from time import monotonic

from proxy.lanes.deadlines import Deadline, DeadlineWheel
from proxy.lanes.request_feed import LONGEST_DISCARD, MOST_DISCARDED_BYTES


class LingeringClose(asyncio.Protocol):
    """Takes a connection over to end it: sends the end of our side, and drops what comes.

    Closing with bytes unread, or before the last have come, would reset the connection, and the
    answer would be lost with it (RFC 9112 section 9.6). So the client has a while to close; then
    we do, and cut if it does not take the last bytes within `patience` seconds. `ended` is called
    when the connection is lost.
    """

    def __init__(
        self,
        wheel: DeadlineWheel,
        transport: asyncio.Transport,
        patience: float,
        ended: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._patience = patience
        self._ended = ended
        self._discarded = 0
        self._deadline = Deadline(wheel, self._late)
        transport.set_protocol(self)

    def begin(self) -> None:
        """Sends the end, unless the connection is about to be lost anyway."""
        if not self._transport.is_closing():
            self._transport.write_eof()
            self._transport.resume_reading()
            self._deadline.set(monotonic() + LONGEST_DISCARD)

    def close(self) -> None:
        """Closes without waiting for the client: nothing of it is under way."""
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._deadline.set(monotonic() + self._patience)

    def data_received(self, data: bytes) -> None:
        """Of asyncio's protocol."""
        self._discarded += len(data)
        if self._discarded > MOST_DISCARDED_BYTES:
            self.close()

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002 - asyncio's
        """Of asyncio's protocol."""
        self._deadline.close()
        self._ended()

    def _late(self, _now: float) -> None:
        if self._transport.is_closing():
            self._transport.abort()
        else:
            self.close()
