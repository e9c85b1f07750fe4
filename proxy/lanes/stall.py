"""Peers that take nothing of what they are sent."""

import asyncio
from collections.abc import Callable
from time import monotonic

from proxy.lanes.deadlines import Deadline, DeadlineWheel
from proxy.lanes.flow import untaken


class StallWatch:
    """Calls `stalled` when a peer takes not one byte for so long.

    To be told when a transport's buffer is full (`begin`), and when it has room again (`end`).
    `close` it at the connection's end.
    """

    __slots__ = ("_deadline", "_patience", "_stalled", "_transport", "_untaken", "_wheel")

    def __init__(self, wheel: DeadlineWheel, stalled: Callable[[], None]) -> None:
        self._wheel = wheel
        self._stalled = stalled
        self._transport: asyncio.Transport | None = None
        # Made with the first full buffer, which most connections never see.
        self._deadline: Deadline | None = None
        self._patience = 0.0
        self._untaken = 0

    def begin(self, transport: asyncio.Transport, patience: float) -> None:
        """The peer of `transport` has `patience` seconds for its next byte."""
        self._transport = transport
        if self._deadline is None:
            self._deadline = Deadline(self._wheel, self._look)
        self._patience = patience
        self._untaken = untaken(transport)
        self._deadline.set(monotonic() + patience)

    def end(self) -> None:
        """It has taken enough."""
        if self._deadline is not None:
            self._deadline.clear()

    def close(self) -> None:
        """The connection is lost, or somebody else's."""
        if self._deadline is not None:
            self._deadline.close()

    def _look(self, now: float) -> None:
        before, self._untaken = self._untaken, untaken(self._transport)
        if self._untaken >= before:
            self._stalled()
        elif self._deadline is not None:
            self._deadline.set(now + self._patience)
