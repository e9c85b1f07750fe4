"""An upstream that notes when each request arrived, and how many it had at once."""

import asyncio
import time
from collections import Counter
from types import TracebackType
from typing import Self, cast

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Arrivals:
    """Answers every GET with 200 after `delay` seconds: `async with Arrivals() as origin`.

    `times` are of `time.perf_counter`; `most_at_once` is the peak of requests without an answer.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.times: list[float] = []
        self.targets: Counter[str] = Counter()
        self.at_once = 0
        self.most_at_once = 0
        self._connections: set[_Connection] = set()

    def answer_all(self) -> None:
        """Answer everything now, and whatever comes at once."""
        self.delay = 0.0
        for connection in list(self._connections):
            connection.answer_now()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        """The upstream's URL."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def excess(self, rate: float) -> float:
        """The most that any window, of whatever offset and length, saw over `rate` x its length."""
        lowest = worst = 0.0
        for count, moment in enumerate(self.times):
            level = count - rate * (moment - self.times[0])
            lowest = min(lowest, level)
            worst = max(worst, level + 1 - lowest)
        return worst


class _Connection(asyncio.Protocol):
    def __init__(self, origin: Arrivals) -> None:
        self._origin = origin
        self._head = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._origin._connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._head += data
        if not self._head.endswith(b"\r\n\r\n"):
            return
        origin = self._origin
        origin.times.append(time.perf_counter())
        origin.targets[self._head.split(b" ", 2)[1].decode("latin-1")] += 1
        self._head = b""
        origin.at_once += 1
        origin.most_at_once = max(origin.most_at_once, origin.at_once)
        if origin.delay:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(origin.delay, self._answer)
        else:
            self._answer()

    def connection_lost(self, error: Exception | None) -> None:
        self._origin._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._origin.at_once -= 1

    def answer_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._answer()

    def abort(self) -> None:
        self._transport.abort()

    def _answer(self) -> None:
        self._timer = None
        self._origin.at_once -= 1
        self._transport.write(_ANSWER)
