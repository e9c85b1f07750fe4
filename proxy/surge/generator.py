"""Open-loop load: requests leave at a constant rate, however slow the answers are.

Users of a flash sale do not wait for each other, so neither does this: a client that waits for a
stalled server leaves the worst moments out (Tene, "How NOT to measure latency", 2015). A latency
counts from the moment when the generator came to the request, so waiting for a connection is part
of it. How much later than planned that was is not the server's doing, and is kept beside it
(`Result.lateness`). Everything ends by itself.
"""

import asyncio
import errno
import math
import time
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from proxy.surge.connection import Attempt, Connection, Outcome
from proxy.surge.result import Result

_TICK = 0.001
_CHECK_INTERVAL = 0.05
_OWN_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL})
"""Of descriptors, memory or ports: not the server's doing."""


class LoadGenerator:
    """Sends `requests` in turn, `rate` a second for `seconds`, over at most `connections`.

    `requests` are raw bytes; `{n}` in one is replaced by the request's number. A client whose
    whole answer is not there after `timeout` seconds leaves: its connection is closed. Who left,
    or could not be answered, tries again at once, up to `retries` times, while requests are
    sent; an answer of any status is an answer. Connections are opened from the addresses
    `sources` in turn, if there are any.
    """

    def __init__(
        self,
        host: str,
        port: int,
        requests: Sequence[bytes],
        *,
        rate: float,
        seconds: float,
        connections: int = 256,
        timeout: float = 10.0,
        retries: int = 0,
        sources: Sequence[str] = (),
    ) -> None:
        if not requests or rate <= 0 or seconds <= 0 or connections <= 0:
            raise ValueError("requests, rate, seconds and connections must be given")
        self.result = Result()
        self._address = (host, port)
        self._requests = [(request, b"{n}" in request) for request in requests]
        self._rate = rate
        self._seconds = seconds
        self._total = round(rate * seconds)
        self._begun = 0
        """How many of them had their first attempt."""
        self._connections = connections
        self._timeout = timeout
        self._retries = retries
        self._sources = sources
        self._opened = 0
        self._started = time.perf_counter()
        self._sending = True
        self._idle: dict[Connection, None] = {}
        """The one that was used last is the last."""
        self._busy: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[Attempt] = deque()

    async def run(self) -> Result:
        """Send everything and wait for the answers; returns `result`."""
        started = checked = self._started = time.perf_counter()
        last_answers_by = math.inf
        try:
            while True:
                now = time.perf_counter()
                if self._sending:
                    self._begin_due(now - started)
                    if now - started >= self._seconds:
                        self._end_sending()
                if now - checked >= _CHECK_INTERVAL:
                    checked = now
                    self._fail_late(now)
                if not self._sending:
                    last_answers_by = min(last_answers_by, now + self._timeout)
                    if not self._in_flight or now >= last_answers_by:
                        break
                await asyncio.sleep(_TICK)
            self._fail_late(math.inf)
            self.result.elapsed = time.perf_counter() - started
        finally:
            await self._close()
        return self.result

    def stop(self) -> None:
        """Send nothing more; when that is so already, do not wait for answers either."""
        if self._sending:
            self._end_sending()
        else:
            self._timeout = 0.0
            self._fail_late(math.inf)

    def _end_sending(self) -> None:
        self._sending = False
        self.result.sending = time.perf_counter() - self._started

    @property
    def _in_flight(self) -> int:
        return len(self._busy) + len(self._waiting)

    def _begin_due(self, elapsed: float) -> None:
        due = min(self._total, int(elapsed * self._rate) + 1)
        for number in range(self._begun, due):
            request, numbered = self._requests[number % len(self._requests)]
            if numbered:
                request = request.replace(b"{n}", b"%d" % number)
            at = time.perf_counter()
            self.result.lateness.append(at - self._started - number / self._rate)
            self._attempt(Attempt(request, at, self._retries))
        self._begun = max(due, self._begun)

    def _attempt(self, attempt: Attempt) -> None:
        self.result.sent += 1
        if self._idle:
            connection, _ = self._idle.popitem()
            self._send(connection, attempt)
        else:
            self._waiting.append(attempt)
            self._open_another()

    def _send(self, connection: Connection, attempt: Attempt) -> None:
        self._busy.add(connection)
        connection.send(attempt)

    def _open_another(self) -> None:
        """Open a connection for who waits, if no other is on its way and there is room."""
        count = len(self._busy) + len(self._connecting)
        if count < self._connections and len(self._connecting) < len(self._waiting):
            task = asyncio.create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting.discard(task)
        self._open_another()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        source = None
        if self._sources:
            source = (self._sources[self._opened % len(self._sources)], 0)
            self._opened += 1
        try:
            async with asyncio.timeout(self._timeout or None):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._finished), *self._address, local_addr=source
                )
        except TimeoutError:
            pass  # who waited for it has left by now, or will in a moment
        except OSError as error:
            if self._waiting:
                kind = "not sent" if error.errno in _OWN_SHORTAGES else "connect"
                self._fail(self._waiting.popleft(), kind)
        else:
            self._free(connection)

    def _free(self, connection: Connection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle[connection] = None

    def _finished(self, connection: Connection, attempt: Attempt | None, outcome: Outcome) -> None:
        """An attempt has its outcome, or (None) a connection without one was lost."""
        if attempt is None:
            self._idle.pop(connection, None)
            return
        self._busy.discard(connection)
        if connection.reusable:
            self._free(connection)
        else:
            self._open_another()
        if isinstance(outcome, int):
            self.result.answer(outcome, time.perf_counter() - attempt.at)
        else:
            self._fail(attempt, outcome)

    def _fail(self, attempt: Attempt, kind: str) -> None:
        self.result.failures[kind] += 1
        if attempt.retries_left and self._sending:
            self.result.retried += 1
            again = Attempt(attempt.data, time.perf_counter(), attempt.retries_left - 1)
            self._attempt(again)

    def _fail_late(self, now: float) -> None:
        """Fail what should have been answered by `now`."""
        horizon = now - self._timeout
        full = len(self._busy) >= self._connections
        while self._waiting and self._waiting[0].at < horizon:
            self._fail(self._waiting.popleft(), "not sent" if full else "timeout")
        for connection in list(self._busy):
            attempt = connection.attempt
            if attempt and attempt.at < horizon:
                connection.give_up("timeout")

    async def _close(self) -> None:
        self._waiting.clear()
        connecting = list(self._connecting)
        for task in connecting:
            task.cancel()
        await asyncio.gather(*connecting, return_exceptions=True)
        for connection in [*self._idle, *self._busy]:
            connection.abort()
        await asyncio.sleep(0)


async def load(
    url: str, *targets: str, rate: float, seconds: float, connections: int = 256
) -> Result:
    """GET `targets` (`/` when none is given) of the http server at `url`; see LoadGenerator."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    requests = [get(host, port, target) for target in targets or ("/",)]
    return await LoadGenerator(
        host, port, requests, rate=rate, seconds=seconds, connections=connections
    ).run()


def get(host: str, port: int, target: str, *lines: str) -> bytes:
    """A GET request with further field `lines`."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return "\r\n".join(
        [f"GET {target} HTTP/1.1", f"Host: {authority}", "Accept: text/html", *lines, "", ""]
    ).encode()
