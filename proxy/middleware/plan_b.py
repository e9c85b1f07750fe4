"""The rules of a file, in force inside a Python program."""

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from aiohttp import ClientMiddlewareType, web

from proxy.middleware.client import client_middleware
from proxy.middleware.server import note_head, server_middleware
from proxy.middleware.turn import Turns
from proxy.ops.gate_notice import GateNotice
from proxy.ops.metrics import Metrics
from proxy.ops.reload import ApplyError, Reloader
from proxy.ops.shed_notice import ShedNotice
from proxy.ops.signals import Sampler
from proxy.ops.stats import ListenerReading, SnapshotsReading, UpstreamReading
from proxy.policy.counters import UpstreamCounters
from proxy.policy.engine import Engine
from proxy.policy.signals import Signals
from proxy.policy.snapshot import Snapshot
from proxy.readings import EngineReadings
from proxy.rules.apart import load_apart
from proxy.rules.load import load
from proxy.rules.problems import Problem, RulesError, shown, suggestion
from proxy.version import version_text

__all__ = ["PlanB", "RulesError"]

log = logging.getLogger("planb")


class PlanB:
    """Guards aiohttp applications and sessions by the listeners of a rules file, without a sidecar.

    What listeners and upstreams say of sockets (addresses, timeouts, sizes of heads) is for the
    sidecar: here the program has its own. It belongs to one event loop, and to one process:
    programs with several have as many times each limit.

    The rules are those of the file, and load is shed, as long as it runs: as an asynchronous
    context manager, or as long as an application does that was `setup`.
    """

    def __init__(
        self, path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ
    ) -> None:
        """The rules in the file `path`, with values from `environ`.

        Raises RulesError, which says all that `planb check` would, by line.
        """
        path = Path(path)
        began = time.time()
        snapshot = load(path, environ)
        self._path = path
        self._engine = Engine(snapshot, time.monotonic(), random.random)
        self._turns = Turns(self._engine)
        # Those that the program uses, and whether it calls others through them.
        self._used: dict[str, bool] = {}
        self._readings = _Readings(self._engine, self._turns.counters)
        self._notice = ShedNotice(self._engine.shedder)
        self._gate_notice = GateNotice(self._readings)
        self._reloader = Reloader(
            path, environ, snapshot, began, load=load_apart, apply=self._apply
        )
        self._metrics = Metrics(
            self._readings, self._reloader.state, version_text(), dropped_lines=lambda: 0
        )
        self._users = 0
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def setup(self, app: web.Application, listener: str) -> None:
        """Guards `app` as `listener` would, before its other middlewares, and runs with it.

        Raises ValueError when the rules have no such inbound listener, and RulesError when they
        ask on it for what only a sidecar can do.
        """
        self._use(listener, outbound=False)
        app.middlewares.insert(0, server_middleware(self._turns, listener, self.metrics))
        app.on_response_prepare.append(note_head)
        app.cleanup_ctx.append(self._run)

    def client(self, listener: str) -> ClientMiddlewareType:
        """The middleware that guards whatever a session sends as `listener` would.

        Raises as `setup`, but for outbound listeners.
        """
        self._use(listener, outbound=True)
        return client_middleware(self._turns, listener)

    async def metrics(self, request: web.Request) -> web.Response:
        """A handler that shows Prometheus what the sidecar's `/metrics` would. Of an application
        that was `setup` it is never refused: it is most wanted when all else is.
        """
        body, content_type = await self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def __aenter__(self) -> Self:
        self._users += 1
        if self._users == 1:
            self._readings.phase = "ready"
            loop = asyncio.get_running_loop()
            self._tasks = (
                loop.create_task(self._follow_file()),
                loop.create_task(self._sample_load(Sampler(self._readings, loop))),
                loop.create_task(self._gate_notice.run()),
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if not self._users:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, _: web.Application) -> AsyncIterator[None]:
        async with self:
            yield

    def _use(self, listener: str, *, outbound: bool) -> None:
        known = self._engine.rules.listeners
        if listener not in known:
            hint = suggestion(listener, known)
            raise ValueError(f"no listener {shown(listener)} in {self._path}{hint}")
        used = {**self._used, listener: outbound}
        problems = [
            Problem(str(self._path), 1, 1, *each)
            for each in _out_of_reach(self._engine.rules.snapshot, used)
        ]
        if problems:
            raise RulesError(problems)
        self._used = used

    async def _follow_file(self) -> None:
        try:
            await self._reloader.watch()
        except Exception:
            log.exception("changes of %s go unnoticed from now on", self._path)

    async def _sample_load(self, sampler: Sampler) -> None:
        def take(signals: Signals) -> None:
            self._engine.shedder.update(signals)
            self._notice.tell()

        try:
            await sampler.run(lambda: self._engine.rules.snapshot.shedding, take)
        finally:
            sampler.rest()

    async def _apply(self, snapshot: Snapshot) -> None:
        for key, why in _out_of_reach(snapshot, self._used):
            raise ApplyError(f"{key}: {why}")
        for rules in self._engine.build(snapshot):  # noqa: B007 - complete after the last step
            await asyncio.sleep(0)
        self._engine.swap(rules, time.monotonic())
        self._notice.tell()


def _out_of_reach(snapshot: Snapshot, used: Mapping[str, bool]) -> Iterator[tuple[str, str]]:
    """What the rules ask for and a program that uses these listeners can't do: the key, and why."""
    places = {each.name: place for place, each in enumerate(snapshot.listeners)}
    for name, outbound in used.items():
        if name not in places:
            yield "listeners", f"the program uses {shown(name)}, which is gone"
            continue
        place, listener = places[name], snapshot.listeners[places[name]]
        if listener.outbound is not outbound:
            direction = "outbound" if outbound else "inbound"
            yield f"listeners[{place}].direction", f"the program uses it as {direction}"
        if listener.deadline_header is not None:
            yield f"listeners[{place}].deadline_header", "only a sidecar passes deadlines on"
        if outbound:
            for upstream in filter(None, (listener.upstream, *listener.hosts.values())):
                spec = snapshot.upstreams[upstream]
                if spec.retry is not None:
                    yield f"upstreams.{upstream}.retry", "only a sidecar sends again"
                if spec.balance is not None:
                    yield f"upstreams.{upstream}", "only a sidecar chooses among endpoints"
    for index, route in enumerate(snapshot.routes):
        holds = not route.listeners or not used.keys().isdisjoint(route.listeners)
        if route.keep is not None and holds:
            yield f"routes[{index}]", "only a sidecar keeps answers: no cache, no fallback.snapshot"
    signals = () if snapshot.shedding is None else snapshot.shedding.signals
    for name in signals:
        if name.startswith("reported_") and False in used.values():
            yield f"shedding.signals.{name}", "only a sidecar reads what an upstream reports"


class _Readings(EngineReadings):
    """What the program's metrics and its shedder see."""

    def __init__(self, engine: Engine, counters: Mapping[str, UpstreamCounters]) -> None:
        super().__init__(engine)
        self._counters = counters

    def upstream_counters(self) -> Mapping[str, UpstreamCounters]:
        """See `Traffic`."""
        return self._counters

    def listeners(self) -> Iterable[ListenerReading]:
        """See `Stats`. Connections are aiohttp's."""
        return ()

    def upstreams(self) -> Iterable[UpstreamReading]:
        """See `Stats`. The same."""
        return ()

    def snapshots(self) -> SnapshotsReading:
        """See `Stats`."""
        return SnapshotsReading()
