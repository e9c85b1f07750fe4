"""The express lane between peers that a test plays itself: no socket, and no time passes."""

import asyncio
import contextlib
import gc
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

from proxy.lanes.deadlines import Deadline
from proxy.lanes.express import ExpressLane
from proxy.lanes.express_downstream import ExpressConnection
from proxy.lanes.express_upstream import UpstreamLink
from proxy.lanes.full_downstream import DownstreamConnection
from proxy.lanes.full_upstream import Upstream, UpstreamConnection
from proxy.lanes.services import Entry, Services, Upstreams
from proxy.policy.counters import RouteCounters
from proxy.policy.engine import Engine
from proxy.policy.request import Request
from proxy.policy.snapshot import UpstreamSpec
from proxy.policy.verdict import Completion, Kind
from proxy.rules.load import load
from tests.lanes.fake_transport import FakeTransport
from tests.scenarios.storefront import rules

ROUTES = """
routes:
  - name: closed
    match: {path: "/closed"}
    limits: [{name: none, rate: 1/h, burst: 1}]
  - name: one
    match: {path: "/one"}
    limits: [{name: one, concurrency: 1, queue: 10, queue_timeout: 60s}]
  - name: paced
    match: {path: "/paced"}
    limits: [{name: paced, pace: 1/m, max_wait: 10m}]
  - name: open
    match: {path: "/**"}
"""
"""All of `/closed` is refused, `/one` has one place, `/paced` a turn each minute."""


class Log:
    """Keeps what is written: all."""

    def __init__(self) -> None:
        self.kinds: list[Kind] = []
        self.entries: list[Entry] = []

    def wants(self, kind: Kind, now: float) -> bool:
        self.kinds.append(kind)
        return True

    def write(self, entry: Entry) -> None:
        self.entries.append(entry)


class Errors(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def take(self) -> list[str]:
        """The loggers that told of one since it was asked last."""
        names = [each.name for each in self.records]
        self.records.clear()
        return names


class Line(FakeTransport):
    """A transport whose peer takes everything at once, unless it is told to `fill`.

    `peer` is the other end of its socket: what is sent there has arrived and was not read.
    """

    def __init__(self, **extra: object) -> None:
        own, self.peer = socket.socketpair()
        own.setblocking(False)
        super().__init__(socket=own, **extra)
        self.own = own
        self.unsent = 0
        self.fills_at_once = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        if self.fills_at_once and not self.full:
            self.fill()

    def sent(self) -> bytes:
        """What was written since it was asked last."""
        data = bytes(self.written)
        self.written.clear()
        return data

    def end_with_socket(self) -> None:
        self.own.close()
        self.peer.close()


class FakeConnection:
    """A connection as `Upstream.connect` gives it: it is released once."""

    def __init__(self, upstream: "FakeUpstream", early: bytes) -> None:
        self.transport = Line()
        self.released = False
        self.transport.fills_at_once = upstream.takes_nothing
        self._upstream = upstream
        self._early = early

    def hand_over(self, protocol: UpstreamLink) -> bytes:
        self.transport.set_protocol(cast("asyncio.Protocol", protocol))
        return self._early

    def release(self, *, reusable: bool) -> None:
        assert not reusable, "a link rests by itself"
        assert not self.released, "released twice"
        self.released = True
        self._upstream.taken -= 1
        self.transport.abort()
        self._upstream.done()

    @property
    def link(self) -> UpstreamLink:
        link: object = self.transport.protocol
        assert isinstance(link, UpstreamLink)
        return link


class FakeUpstream(Upstream):
    """Connects when the test says so: `asked` are those who wait for it, `made` what they got.

    One that `takes_nothing` does so from the first byte.
    """

    def __init__(self, spec: UpstreamSpec, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(spec, loop)
        self.asked: list[asyncio.Future[bytes]] = []
        self.made: list[FakeConnection] = []
        self.takes_nothing = False

    async def connect_entered(self) -> UpstreamConnection:
        future = self._loop.create_future()
        self.asked.append(future)
        early = await future
        self.taken += 1
        self.connects += 1
        connection = FakeConnection(self, early)
        self.made.append(connection)
        return cast("UpstreamConnection", connection)

    @property
    def users(self) -> int:
        """Connections that are not closed, and those who wait for one."""
        return self._users


class FakeFull(asyncio.Protocol):
    """A connection of the full lane that was handed one: what it was told."""

    def __init__(self, services: Services) -> None:
        services.opened()
        self._services = services
        self.transport: FakeTransport | None = None
        self.refusals = 0
        self.received = b""
        self.head_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, FakeTransport)
        assert self.transport is None, "handed off twice"
        assert not transport.lost
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        assert data
        self.received += data

    def end_head(self) -> None:
        assert self.received
        self.head_ended = True

    def connection_lost(self, exc: BaseException | None) -> None:
        self._services.closed()


class Stage:
    """An express lane, its upstream and its clients."""

    def __init__(self, directory: Path, listener: str, upstream: str) -> None:
        file = directory / "planb.yaml"
        text = rules("http://127.0.0.1:1", listener=listener, upstream=upstream, more=ROUTES)
        file.write_text(f"version: 1\n{text}")
        snapshot = load(file, {})
        loop = asyncio.get_running_loop()
        self.upstreams = Upstreams(loop)
        self.upstream = FakeUpstream(snapshot.upstreams["shop"], loop)
        self.upstreams._by_name["shop"] = self.upstream
        self.engine = Engine(snapshot, time.monotonic(), lambda: 0.0)
        self.log = Log()
        self.services = Services(self.engine, self.upstreams, self.log)
        self.full: list[FakeFull] = []
        self.lane = ExpressLane(self.services, "storefront", self._make_full, loop)
        self.lines: list[Line] = []
        self.errors = Errors()
        for path in ("/closed", "/paced"):
            self._use_up(path)

    def _use_up(self, path: str) -> None:
        now = time.monotonic()
        request = Request("GET", "shop.test", path, b"", [], b"@")
        verdict = self.engine.decide("storefront", request, now, _never)
        self.engine.settle(verdict, Completion(200, 0.0, 0.0), now)

    def _make_full(self) -> DownstreamConnection:
        self.full.append(FakeFull(self.services))
        return cast("DownstreamConnection", self.full[-1])

    def client(self) -> Line:
        """A client's connection to the lane."""
        line = Line(peername=("192.0.2.1", 50000))
        self.lines.append(line)
        connection = self.lane()
        line.set_protocol(cast("asyncio.Protocol", connection))
        connection.connection_made(line)
        return line

    async def connect(self, early: bytes = b"") -> FakeConnection:
        """Gives the connection to who has waited longest for one."""
        await turn()
        self.upstream.asked.pop(0).set_result(early)
        await turn()
        return self.upstream.made[-1]

    def counters(self, route: str = "open") -> RouteCounters:
        return self.engine.rules.routes[route]

    @property
    def deadlines(self) -> int:
        """How many deadlines the wheel still knows."""
        return sum(len(slot) for slot in self.services.deadlines._slots.values())

    def is_at_rest(self, *, resting: int = 0) -> bool:
        """Nothing is held, but `resting` connections upstream."""
        limit = self.engine.rules.limits["one"].limiter
        in_flight = sum(each.in_flight for each in self.engine.rules.routes.values())
        held = (
            self.lane.open,
            self.services.connections,
            len(self.lane.unread),
            self.upstream.in_use,
            getattr(limit, "in_flight", None),
            getattr(limit, "waiting", None),
            in_flight,
        )
        assert held == (0,) * len(held)
        assert (len(self.upstream.resting), self.upstream.users) == (resting, resting)
        assert self.deadlines == resting
        return True

    async def close(self) -> None:
        for line in [*self.lines, *(each.transport for each in self.upstream.made)]:
            line.end_with_socket()
        await self.upstreams.close()


@contextlib.asynccontextmanager
async def stage(directory: Path, *, listener: str = "", upstream: str = "") -> AsyncIterator[Stage]:
    """An express lane before a shop that is not there; further keys of both as YAML flow.

    Fails at the end for an error in the log, or one that the event loop was left with, unless the
    test has taken it (`errors`).
    """
    made = Stage(directory, listener, upstream)
    logger = logging.getLogger()
    logger.addHandler(made.errors)
    try:
        yield made
        await turn()
        # A task that failed and was not asked tells of it when it goes.
        gc.collect(1)
    finally:
        logger.removeHandler(made.errors)
        await made.close()
    assert made.errors.take() == []


def protocol_of(line: FakeTransport) -> ExpressConnection:
    """The express connection that a client's transport belongs to."""
    connection: object = line.protocol
    assert isinstance(connection, ExpressConnection)
    return connection


def expire(deadline: Deadline) -> None:
    """Its moment has come."""
    assert deadline.at < float("inf"), "nothing is due"
    deadline.look(deadline.at)


def pending(stage: Stage) -> Iterator[Deadline]:
    """The deadlines that are set."""
    for slot in stage.services.deadlines._slots.values():
        yield from (each for each in slot if each.at < float("inf"))


def statuses(data: bytes) -> list[int]:
    """Of the responses that `data` holds the heads of."""
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]


async def turn() -> None:
    """Everything that is ready has run."""
    for _ in range(10):
        await asyncio.sleep(0)


def _never() -> None:
    raise AssertionError("woken unasked")
