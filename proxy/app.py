"""The composition root: puts the parts together, and takes the process through its life."""

import asyncio
import contextlib
import gc
import logging
import os
import random
import resource
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import uvloop
from aiohttp import web

from proxy.lanes.host_names import check_hosts, find_places, hosts_of
from proxy.lanes.listener import Listener
from proxy.lanes.resolving import LookUpError
from proxy.lanes.services import Services, Upstreams
from proxy.ops import logs
from proxy.ops.access_log import AccessLog
from proxy.ops.admin import admin_app
from proxy.ops.gate_notice import GateNotice
from proxy.ops.log_output import LogOutput
from proxy.ops.reload import ApplyError, Reloader
from proxy.ops.shed_notice import ShedNotice
from proxy.ops.signals import Sampler
from proxy.policy.engine import Engine
from proxy.policy.signals import Signals
from proxy.policy.snapshot import Snapshot
from proxy.policy.stored_response import StoredResponse
from proxy.readings import Readings, Recorder
from proxy.rules.apart import load_apart
from proxy.rules.load import load
from proxy.store.folder import Folder
from proxy.version import version_text

log = logging.getLogger("planb")

SPARE_DESCRIPTORS = 256
"""File descriptors for everything that is not a client's connection or its upstream's."""

LAST_ANSWERS_SECONDS = 1.0
"""How long those that drain in vain may take to read that they do."""

STANDARD_OUTPUT = 1


class StartError(Exception):
    """Why the process can't start, in one line."""


def run(path: Path, environ: Mapping[str, str]) -> int:
    """Runs the sidecar on the rules in `path` until a signal ends it; returns the exit code.

    Raises RulesError or StartError before anything is served.
    """
    began = time.time()
    snapshot = load(path, environ)
    output = LogOutput(STANDARD_OUTPUT)
    logs.configure(snapshot.logs, output)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(path, environ, snapshot, began, output))
    finally:
        output.close()


async def _serve(
    path: Path, environ: Mapping[str, str], snapshot: Snapshot, began: float, output: LogOutput
) -> int:
    sidecar = _Sidecar(snapshot, output)
    reloader = Reloader(path, environ, snapshot, began, load=load_apart, apply=sidecar.apply)
    await sidecar.start(reloader)
    beside = (
        asyncio.create_task(_watch(reloader)),
        asyncio.create_task(sidecar.sample_load()),
        asyncio.create_task(sidecar.gate_notice.run()),
    )
    try:
        return await sidecar.until_ended(reloader)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _watch(reloader: Reloader) -> None:
    try:
        await reloader.watch()
    except Exception:
        log.exception("changes of files go unnoticed from now on; a SIGHUP still reloads them")


class _Sidecar:
    """The running process. It starts, takes new rules while it runs, and drains."""

    def __init__(self, snapshot: Snapshot, output: LogOutput) -> None:
        self._loop = asyncio.get_running_loop()
        self._output = output
        self._engine = Engine(snapshot, time.monotonic(), random.random)
        self._upstreams = Upstreams(self._loop)
        self._access_log = AccessLog(snapshot.logs, output.put)
        self._services = Services(self._engine, self._upstreams, Recorder(self._access_log))
        self._listeners = [
            Listener(self._services, spec, self._loop) for spec in snapshot.listeners
        ]
        self._readings = Readings(self._services, self._listeners)
        self._sampler = Sampler(self._readings, self._loop)
        self._notice = ShedNotice(self._engine.shedder)
        self.gate_notice = GateNotice(self._readings)
        self._folder: Folder | None = None
        self._admin: web.AppRunner | None = None
        self._admin_address = ""

    @property
    def _rules(self) -> Snapshot:
        return self._engine.rules.snapshot

    async def start(self, reloader: Reloader) -> None:
        """Serves from here on. Raises StartError."""
        snapshot = self._rules
        try:
            upstreams = snapshot.upstreams.values()
            await check_hosts(upstreams)
            self._upstreams.swap(upstreams, await find_places(upstreams))
        except LookUpError as error:
            raise StartError(str(error)) from None
        except OSError as error:
            raise StartError(f"tls.ca_file: {error}") from None
        self._limit_connections(snapshot.server.max_connections)
        self._keep_in_folder(snapshot)
        for listener, spec in zip(self._listeners, snapshot.listeners, strict=True):
            try:
                await listener.bind()
            except OSError as error:
                raise _unbound(f"listener {spec.name}", spec.host, spec.port, error) from None
        await self._start_admin(reloader)
        # What is there now stays: collections need not look at it again.
        gc.collect()
        gc.freeze()
        self._readings.phase = "ready"
        # Told when all of it is sure: a line that says "listening" is believed.
        for listener in self._listeners:
            _tell(
                f"listening on http://{listener.address} ({listener.name})",
                event="listening",
                listener=listener.name,
                address=listener.address,
            )
        _tell(f"admin on http://{self._admin_address}", event="admin", address=self._admin_address)
        _tell("ready", event="ready", version=snapshot.version)

    async def apply(self, snapshot: Snapshot) -> None:
        """Puts new rules into force, as a whole. Raises ApplyError, and changes nothing then."""
        _same_addresses(self._rules, snapshot)
        # What was known is not asked for again: rules must change while the DNS is down, too.
        known = {host for each in self._rules.upstreams.values() for host in hosts_of(each)}
        upstreams = snapshot.upstreams.values()
        try:
            await check_hosts(each for each in upstreams if known.isdisjoint(hosts_of(each)))
            found = await find_places(self._upstreams.unresolved(upstreams))
        except LookUpError as error:
            raise ApplyError(str(error)) from None
        for rules in self._engine.build(snapshot):  # noqa: B007 - complete after the last step
            await asyncio.sleep(0)
        try:
            self._upstreams.swap(upstreams, found)
        except OSError as error:
            raise ApplyError(f"tls.ca_file: {error}") from None
        self._engine.swap(rules, time.monotonic())
        self._notice.tell()
        self._keep_in_folder(snapshot)
        self._limit_connections(snapshot.server.max_connections)
        logs.configure(snapshot.logs, self._output)
        self._access_log.configure(snapshot.logs)

    async def sample_load(self) -> None:
        """Tells the shedder of the load, for ever."""
        shedder = self._engine.shedder

        def take(signals: Signals) -> None:
            shedder.update(signals)
            self._notice.tell()

        await self._sampler.run(lambda: self._rules.shedding, take)

    async def until_ended(self, reloader: Reloader) -> int:
        """Serves until SIGTERM or SIGINT, then drains; the exit code. A second signal exits."""
        ended = asyncio.Event()

        def end(number: signal.Signals) -> None:
            if ended.is_set():
                self._output.close()
                os._exit(128 + number)
            _tell(f"{number.name}: draining", event="draining")
            ended.set()

        reloads: set[asyncio.Task[object]] = set()

        def reload() -> None:
            task = self._loop.create_task(reloader.reload("SIGHUP"))
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, end, number)
        self._loop.add_signal_handler(signal.SIGHUP, reload)
        await ended.wait()
        await self._drain()
        return 0

    def _keep_in_folder(self, snapshot: Snapshot) -> None:
        """Has stored responses outlive the process in the folder that the rules name, if any."""
        spec, folder = snapshot.stored, self._folder
        path = None if spec.folder is None else Path(spec.folder)
        if folder is not None and folder.path != path:
            # It need not be waited for: what it was told before, it writes.
            folder.leave()
            folder = None
        if folder is not None:
            folder.most_bytes = spec.memory_bytes
        elif path is not None:
            keeps = [route.keep for route in snapshot.routes if route.keep is not None]
            longest = max((max(each.ttl, each.last_good_for or 0.0) for each in keeps), default=0.0)
            folder = Folder(path, spec.memory_bytes, longest, self._restore)
            folder.start()
        self._folder = self._services.shelf = folder

    def _restore(self, key: bytes, full_key: bytes, response: StoredResponse) -> None:
        """Of the folder's thread: a response that it found."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._put_back, key, full_key, response)

    def _put_back(self, key: bytes, full_key: bytes, response: StoredResponse) -> None:
        self._engine.rules.stored.restore(key, full_key, response)

    def _limit_connections(self, wanted: int) -> None:
        """Lets in as many clients as there are file descriptors for, `wanted` at most."""
        affordable, descriptors = _affordable_connections(wanted)
        if affordable < wanted and affordable != self._services.most_connections:
            log.warning(
                "max_connections is %d, but the %d file descriptors that this process may have are"
                " enough for %d",
                wanted,
                descriptors,
                affordable,
            )
        self._services.most_connections = affordable

    async def _drain(self) -> None:
        """Not ready, no new connections; what is in flight has `drain_timeout` to end."""
        self._readings.phase = "draining"
        self._engine.draining = True
        for listener in self._listeners:
            listener.close()
        timeout = self._rules.server.drain_timeout
        try:
            async with asyncio.timeout(timeout):
                await self._services.all_closed()
        except TimeoutError:
            log.warning("%d connections cut after %g s", self._services.connections, timeout)
            for listener in self._listeners:
                listener.give_up()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_ANSWERS_SECONDS):
                    await self._services.all_closed()
            for listener in self._listeners:
                listener.abort()
        await self._upstreams.close()
        if self._folder is not None:
            self._folder.leave()
            await asyncio.to_thread(self._folder.wait)
        if self._admin is not None:
            await self._admin.cleanup()
        _tell("ended", event="ended")

    async def _start_admin(self, reloader: Reloader) -> None:
        spec = self._rules.admin
        app = admin_app(
            self._readings,
            reloader,
            version_text(),
            lambda: self._output.dropped,
            lambda: self._rules.admin.token,
        )
        self._admin = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._admin.setup()
        try:
            await web.TCPSite(self._admin, spec.host, spec.port).start()
        except OSError as error:
            raise _unbound("admin", spec.host, spec.port, error) from None
        host, port, *_ = self._admin.addresses[0]
        self._admin_address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tell(message: str, **fields: str) -> None:
    log.info(message, extra={"fields": fields})


def _same_addresses(old: Snapshot, new: Snapshot) -> None:
    """Raises ApplyError when a bound address would have to change: that takes a restart."""
    before = {each.name: (each.host, each.port) for each in old.listeners}
    after = {each.name: (each.host, each.port) for each in new.listeners}
    for name in before.keys() | after.keys():
        if before.get(name) != after.get(name):
            raise ApplyError(f"listener {name}: adding, removing or rebinding it takes a restart")
    if (old.admin.host, old.admin.port) != (new.admin.host, new.admin.port):
        raise ApplyError("admin: rebinding it takes a restart")


def _unbound(what: str, host: str, port: int, error: OSError) -> StartError:
    # The numbers of a failed look-up are no errno; the texts of others are the event loop's.
    unknown = isinstance(error, socket.gaierror)
    why = error.strerror if unknown else os.strerror(error.errno or 0)
    return StartError(f"{what}: can't bind {host}:{port}: {why}")


def _affordable_connections(wanted: int) -> tuple[int, int]:
    """How many clients can be let in, and the file descriptors that there are then.

    Each may need one more to the upstream. Raises the process's limit as far as it must.
    """
    needed = 2 * wanted + SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted, soft
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, (allowed - SPARE_DESCRIPTORS) // 2), allowed
