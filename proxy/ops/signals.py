"""Samples the load, for policy to decide by."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from proxy.ops import signals_cgroup_v1, signals_cgroup_v2, signals_pressure
from proxy.ops.signals_host import HostCpu, HostStat, LoadAverage
from proxy.ops.signals_host import memory_in_use as host_memory
from proxy.ops.signals_loop_lag import LoopLag
from proxy.ops.signals_system import System, Unreadable
from proxy.ops.signals_upstream import UpstreamSignals
from proxy.policy.counters import UpstreamCounters
from proxy.policy.signals import DEFAULT_THRESHOLDS, REPORTED_METRIC, Signals
from proxy.policy.snapshot import SheddingSpec

log = logging.getLogger("planb")

INTERVAL_SECONDS: Final = 0.25
"""Between two samples: four in the second that utilisations are means over."""

LOOK_AGAIN_SECONDS: Final = 10.0
"""After which what could not be read is tried again."""

Reader = Callable[[float], float | None]
"""A signal's value at a moment, None when there is none yet. Raises Unreadable."""

OF_UPSTREAMS: Final = frozenset(
    name
    for name in DEFAULT_THRESHOLDS
    if name.startswith(("upstream_", "reported_")) or name == "queueing"
)


def is_of_upstreams(name: str) -> bool:
    """Whether each upstream has this signal of its own."""
    return name in OF_UPSTREAMS or name.startswith(REPORTED_METRIC)


class Traffic(Protocol):
    """What the lanes know of the load."""

    def upstream_counters(self) -> Mapping[str, UpstreamCounters]:
        """How each upstream answers, by its name."""

    def queueing(self) -> Mapping[str, float]:
        """Requests that wait for a place upstream, for each place, by the upstream's name: of a
        whole listener, since a route with a queue of its own is no sign of too much load.
        """


class Sampler:
    """Reads the signals that the rules name, and nothing else.

    What can't be read is left out until it can be, and told once, as long as the rules name it.
    """

    def __init__(
        self,
        traffic: Traffic,
        loop: asyncio.AbstractEventLoop,
        system: System | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._traffic = traffic
        self._system = system or System(cpus=_own_cpus(), machine_cpus=os.cpu_count() or 0)
        self._stat = HostStat(self._system)
        self._clock = clock
        self._wall = wall
        self._loop_lag = LoopLag(loop, clock)
        self._upstreams: dict[str, UpstreamSignals] = {}
        self._readers: dict[str, Reader] = {}
        self._looked_at = float("-inf")
        self._told: set[str] = set()
        self._spec: SheddingSpec | None = None

    async def run(
        self, spec: Callable[[], SheddingSpec | None], push: Callable[[Signals], None]
    ) -> None:
        """Samples for ever what `spec` names, and hands it to `push`."""
        failed = False
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            wanted = spec()
            try:
                if wanted is None:
                    self.rest()
                else:
                    push(self.sample(wanted))
            except Exception:
                if not failed:
                    failed = True
                    log.exception("the load could not be sampled; without samples nobody is shed")

    def sample(self, spec: SheddingSpec) -> Signals:
        """The signals that `spec` names, now."""
        now = self._clock()
        if spec is not self._spec:
            self._spec = spec
            self._told &= spec.signals.keys()
            self._look(spec, now)
        elif now - self._looked_at >= LOOK_AGAIN_SECONDS:
            self._look(spec, now)
        values: dict[str, float] = {}
        for name, reader in list(self._readers.items()):
            try:
                value = reader(now)
            except Unreadable as error:
                del self._readers[name]
                self._tell(name, error)
            else:
                if value is not None:
                    values[name] = value
        return Signals(now, self._wall(), values, self._of_upstreams(spec, now))

    def rest(self) -> None:
        """Nothing is to be sampled for now."""
        self._loop_lag.stop()
        self._readers.clear()
        self._upstreams.clear()
        self._told.clear()
        self._spec = None

    def _of_upstreams(self, spec: SheddingSpec, now: float) -> Mapping[str, Mapping[str, float]]:
        if not any(map(is_of_upstreams, spec.signals)):
            return {}
        known = self._upstreams
        self._upstreams = {}
        for name, counters in self._traffic.upstream_counters().items():
            old = known.get(name)
            self._upstreams[name] = (
                old if old is not None and old.counters is counters else UpstreamSignals(counters)
            )
        queueing = self._traffic.queueing() if "queueing" in spec.signals else {}
        found: dict[str, Mapping[str, float]] = {}
        for name, each in self._upstreams.items():
            values = each.take(now)
            if name in queueing:
                values["queueing"] = queueing[name]
            found[name] = values
        return found

    def _look(self, spec: SheddingSpec, now: float) -> None:
        """Finds readers for what is wanted and has none."""
        self._looked_at = now
        if spec.cgroup != self._system.cgroup:
            self._system = replace(self._system, cgroup=spec.cgroup)
            self._readers.clear()
            self._told.clear()
        for name in list(self._readers):
            if name not in spec.signals:
                del self._readers[name]
        for name in spec.signals:
            if name not in self._readers and not is_of_upstreams(name):
                try:
                    self._readers[name] = self._reader(name)
                except Unreadable as error:
                    self._tell(name, error)
        if "loop_lag" in spec.signals:
            self._loop_lag.start()
        else:
            self._loop_lag.stop()

    def _reader(self, name: str) -> Reader:
        system = self._system
        match name:
            case "cpu":
                return _cpu(system, self._stat)
            case "throttled":
                return _throttled(system)
            case "memory":
                return _memory(system)
            case "load":
                return LoadAverage(system, self._stat).per_cpu
            case "cpu_pressure" | "memory_pressure":
                path = signals_pressure.pressure_file(system, name.removesuffix("_pressure"))
                return lambda _: signals_pressure.stalled(path)
            case _:
                return lambda _: self._loop_lag.take()

    def _tell(self, name: str, error: Unreadable) -> None:
        if name not in self._told:
            self._told.add(name)
            log.warning("signal %s can't be read here and is left out: %s", name, error)


def _own_cpus() -> frozenset[int]:
    """The numbers of those CPUs that the process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere, as on macOS
    return frozenset(range(os.cpu_count() or 1) if affinity is None else affinity(0))


CpuGroup = signals_cgroup_v1.CpuGroup | signals_cgroup_v2.CpuGroup


def _cpu_groups(system: System) -> list[CpuGroup]:
    """The control groups with a quota that hold for what is looked at."""
    if signals_cgroup_v2.is_mounted(system):
        folders = signals_cgroup_v2.limited_groups(system, "cpu.max")
        return [signals_cgroup_v2.CpuGroup(system, folder) for folder in folders]
    folders = signals_cgroup_v1.limited_cpu_groups(system)
    return [signals_cgroup_v1.CpuGroup(system, folder) for folder in folders]


def _cpu(system: System, stat: HostStat) -> Reader:
    """Of the container where it has a quota, else of the machine."""
    try:
        groups = _cpu_groups(system)
    except Unreadable:
        if system.cgroup is not None:
            raise
        groups = []
    if not groups:
        return HostCpu(system, stat).utilization
    return lambda now: _highest([group.utilization(now) for group in groups])


def _throttled(system: System) -> Reader:
    groups = _cpu_groups(system)
    if not groups:
        raise Unreadable("there is no CPU quota")
    return lambda now: _highest([group.throttled(now) for group in groups])


def _memory(system: System) -> Reader:
    """Of the container where it has a limit, else of the machine."""
    try:
        if signals_cgroup_v2.is_mounted(system):
            in_use = signals_cgroup_v2.memory_in_use
            folders = signals_cgroup_v2.limited_groups(system, "memory.max")
        else:
            in_use = signals_cgroup_v1.memory_in_use
            folders = signals_cgroup_v1.limited_memory_groups(system)
    except Unreadable:
        if system.cgroup is not None:
            raise
        folders = []
    if not folders:
        return lambda _: host_memory(system)
    return lambda _: max(in_use(folder) for folder in folders)


def _highest(values: list[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)
