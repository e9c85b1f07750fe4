"""Open-loop load: requests leave at a constant rate, however slow the answers are.

    python -m tests.support.load URL [URL ...] --rate 2000 --seconds 10

Users of a flash sale do not wait for each other, so neither does this. A latency counts from
the moment when the request should have left (Tene, "How NOT to measure latency", 2015: a client
that waits for a stalled server leaves the worst moments out). Nothing is sent anywhere but to
the addresses given; nothing is retried; everything ends by itself.
"""

import argparse
import asyncio
import math
import signal
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.support.load_connection import Connection, Outcome, Sent

_TICK = 0.001
_CHECK_INTERVAL = 0.1


@dataclass(slots=True)
class Result:
    """What came back. Latencies are seconds; `statuses` and `failures` add up to `sent`.

    `failures` are by kind: `connect`, `closed`, `malformed`, `timeout`, and `not sent` for
    requests that found no free connection in time.
    """

    sent: int = 0
    elapsed: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    """Of the answered requests, in order of their answers, as `answered_with` is."""
    answered_with: "array[int]" = field(default_factory=lambda: array("H"))

    @property
    def answered(self) -> int:
        """How many got an answer, a refusal or not."""
        return len(self.latencies)

    @property
    def failed(self) -> int:
        """How many got none."""
        return self.failures.total()

    def latency(self, quantile: float, status: int | None = None, *, since: int = 0) -> float:
        """A quantile of the latencies, of one `status` alone, from the `since`th answer on.

        NaN when there is none.
        """
        chosen = sorted(
            latency
            for latency, code in zip(
                self.latencies[since:], self.answered_with[since:], strict=True
            )
            if status is None or code == status
        )
        if not chosen:
            return math.nan
        return chosen[min(len(chosen) - 1, math.ceil(quantile * len(chosen)) - 1)]

    def table(self) -> str:
        """The summary, a line for each status and failure."""
        lines = [
            f"{self.sent} requests in {self.elapsed:.1f} s ({self.sent / self.elapsed:.0f}/s)",
            f"{'':>10} {'count':>9} {'share':>7} {'per s':>8} {'p50':>10} {'p99':>10} {'max':>10}",
        ]
        for status, count in sorted(self.statuses.items()):
            quantiles = (self.latency(q, status) for q in (0.5, 0.99, 1.0))
            lines.append(
                f"{status:>10} {count:>9} {count / self.sent:>7.1%} {count / self.elapsed:>8.0f} "
                + " ".join(f"{1000 * value:>7.1f} ms" for value in quantiles)
            )
        for kind, count in sorted(self.failures.items()):
            lines.append(f"{kind:>10} {count:>9} {count / self.sent:>7.1%}")
        return "\n".join(lines)


class LoadGenerator:
    """Sends `requests` in turn, `rate` a second for `seconds`, over at most `connections`.

    `requests` are raw bytes; `{n}` in one is replaced by the request's number. A request that has
    no whole answer `timeout` seconds after it should have left has failed, and its connection is
    closed.
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
        on_second: Callable[[int, Result, int], None] | None = None,
    ) -> None:
        if not requests or rate <= 0 or seconds <= 0 or connections <= 0:
            raise ValueError("requests, rate, seconds and connections must be given")
        self.result = Result()
        self._address = (host, port)
        self._requests = [(request, b"{n}" in request) for request in requests]
        self._rate = rate
        self._total = round(rate * seconds)
        self._connections = connections
        self._timeout = timeout
        self._on_second = on_second
        self._stopped = False
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[Sent] = deque()

    async def run(self) -> Result:
        """Send everything and wait for the answers; returns `result`."""
        started = checked = time.perf_counter()
        second = 1
        last_answers_by = math.inf
        try:
            while True:
                now = time.perf_counter()
                self._send_due(now, started)
                if now - checked >= _CHECK_INTERVAL:
                    checked = now
                    self._fail_late(now)
                if self._on_second and now - started >= second:
                    self._on_second(second, self.result, self._in_flight)
                    second += 1
                if self._stopped or self.result.sent == self._total:
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
        """Send nothing more; a second call does not wait for answers either."""
        if self._stopped:
            self._timeout = 0.0
            self._fail_late(math.inf)
        self._stopped = True

    @property
    def _in_flight(self) -> int:
        return len(self._busy) + len(self._waiting)

    def _send_due(self, now: float, started: float) -> None:
        if self._stopped:
            return
        due = min(self._total, int((now - started) * self._rate) + 1)
        for number in range(self.result.sent, due):
            request, numbered = self._requests[number % len(self._requests)]
            if numbered:
                request = request.replace(b"{n}", b"%d" % number)
            sent = Sent(request, started + number / self._rate)
            if self._idle:
                self._send(self._idle.pop(), sent)
            else:
                self._wait(sent)
        self.result.sent = max(due, self.result.sent)

    def _send(self, connection: Connection, sent: Sent) -> None:
        self._busy.add(connection)
        connection.send(sent)

    def _wait(self, sent: Sent) -> None:
        self._waiting.append(sent)
        self._open_another()

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
        try:
            async with asyncio.timeout(self._timeout or None):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._finished), *self._address
                )
        except OSError:  # TimeoutError is one
            if self._waiting:
                self._waiting.popleft()
                self.result.failures["connect"] += 1
        else:
            self._free(connection)

    def _free(self, connection: Connection) -> None:
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._idle.append(connection)

    def _finished(self, connection: Connection, sent: Sent | None, outcome: Outcome) -> None:
        """A request has its outcome, or (None) a connection without one was lost."""
        if sent is None:
            if connection in self._idle:
                self._idle.remove(connection)
            return
        self._busy.discard(connection)
        if isinstance(outcome, int):
            self.result.statuses[outcome] += 1
            self.result.latencies.append(time.perf_counter() - sent.due)
            self.result.answered_with.append(outcome)
        else:
            self.result.failures[outcome] += 1
        if connection.reusable:
            self._free(connection)
        else:
            self._open_another()

    def _fail_late(self, now: float) -> None:
        """Fail what should have been answered by `now`."""
        horizon = now - self._timeout
        while self._waiting and self._waiting[0].due < horizon:
            self._waiting.popleft()
            self.result.failures["not sent"] += 1
        for connection in [each for each in self._busy if each.sent and each.sent.due < horizon]:
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
    """GET `targets` (`/` when none is given) of the server at `url`; see LoadGenerator."""
    host, port, _ = _split(url)
    requests = [get(host, port, target) for target in targets or ("/",)]
    return await LoadGenerator(
        host, port, requests, rate=rate, seconds=seconds, connections=connections
    ).run()


def get(host: str, port: int, target: str, *lines: str) -> bytes:
    """A GET request with further field `lines`."""
    authority = f"{host}:{port}"
    return "\r\n".join(
        [f"GET {target} HTTP/1.1", f"Host: {authority}", "Accept: text/html", *lines, "", ""]
    ).encode()


def _split(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise SystemExit(f"{url!r} is not an http:// URL")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname, parts.port or 80, target


def _print_second(printed: Result, second: int, result: Result, in_flight: int) -> None:
    since = printed.answered
    codes = result.statuses - printed.statuses
    failed = result.failed - printed.failed
    parts = [f"{code}: {count:>5}" for code, count in sorted(codes.items())]
    if failed:
        parts.append(f"failed: {failed:>5}")
    parts.append(f"in flight {in_flight:>5}")
    if result.answered > since:
        p50, p99 = (1000 * result.latency(q, since=since) for q in (0.5, 0.99))
        parts.append(f"p50 {p50:.1f} ms  p99 {p99:.1f} ms")
    sent = result.sent - printed.sent
    print(f"{second:>4} s  sent {sent:>6}  {'  '.join(parts)}", flush=True)
    printed.sent = result.sent
    printed.statuses = result.statuses.copy()
    printed.failures = result.failures.copy()
    printed.latencies = result.latencies[:]


async def _main(options: argparse.Namespace) -> int:
    splits = [_split(url) for url in options.urls]
    host, port, _ = splits[0]
    if any(split[:2] != (host, port) for split in splits):
        raise SystemExit("all URLs must be of one server")
    printed = Result()
    generator = LoadGenerator(
        host,
        port,
        [get(host, port, target, *options.header) for _, _, target in splits],
        rate=options.rate,
        seconds=options.seconds,
        connections=options.connections,
        timeout=options.timeout,
        on_second=lambda *news: _print_second(printed, *news),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, generator.stop)
    print(f"{options.rate:g} requests a second to {host}:{port} for {options.seconds:g} s")
    result = await generator.run()
    print()
    print(result.table())
    if not result.answered:
        print(f"Nothing answered at {host}:{port}. Is it running?", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="load", description="Open-loop load at a constant rate.")
    parser.add_argument("urls", nargs="+", metavar="URL", help="asked for in turn; of one server")
    parser.add_argument("--rate", type=float, default=2000, help="requests a second (2000)")
    parser.add_argument("--seconds", type=float, default=10, help="for how long (10)")
    parser.add_argument("--connections", type=int, default=500, help="at most (500)")
    parser.add_argument("--timeout", type=float, default=10, help="seconds for an answer (10)")
    parser.add_argument(
        "--header", action="append", default=[], help="a field line; {n} is the request's number"
    )
    options = parser.parse_args()
    import uvloop  # noqa: PLC0415  (tests use the generator on their own loop, without it)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main(options))


if __name__ == "__main__":
    sys.exit(main())
