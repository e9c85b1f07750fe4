"""CPU, memory and load of the whole machine, as proc(5) tells them."""

from collections import deque
from collections.abc import Sequence
from math import nan
from typing import Final

from proxy.ops.signals_share import Share
from proxy.ops.signals_system import System, Unreadable, number, one, read

RECENT_SAMPLES: Final = 16
"""Four seconds of samples: the kernel's average takes one every five (kernel/sched/loadavg.c)."""


class HostStat:
    """The file `stat`, which two signals are made of: read once at a moment for both. To write it
    the kernel adds up the interrupts of every CPU, and most of it is the list of them.
    """

    def __init__(self, system: System) -> None:
        self.path = system.proc / "stat"
        self._at = nan
        self._lines: Sequence[bytes] = ()

    def lines(self, now: float) -> Sequence[bytes]:
        """Its lines. Raises Unreadable."""
        if now != self._at:
            self._lines = read(self.path).splitlines()
            self._at = now
        return self._lines


class HostCpu:
    """The CPUs that the process may run on, whoever uses them."""

    def __init__(self, system: System, stat: HostStat) -> None:
        self._stat = stat
        self._names = {f"cpu{each}".encode() for each in system.cpus}
        self._used = Share()

    def utilization(self, now: float) -> float | None:
        """The share of time in which they were not idle. Raises Unreadable.

        What a hypervisor took for others (steal) is gone: it counts as used.
        """
        path = self._stat.path
        total = idle = 0
        for line in self._stat.lines(now):
            name, _, rest = line.partition(b" ")
            if name in self._names:
                # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user.
                ticks = [number(column, path) for column in rest.split()[:8]]
                if len(ticks) == 8:
                    total += sum(ticks)
                    idle += ticks[3] + ticks[4]
        if not total:
            raise Unreadable(f"{path}: none of the process's CPUs")
        return self._used.take(total - idle, total)


def memory_in_use(system: System) -> float:
    """The share of memory that is not available. Raises Unreadable."""
    path = system.proc / "meminfo"
    wanted = {}
    for line in read(path).splitlines():
        name, _, rest = line.partition(b":")
        if name in {b"MemTotal", b"MemAvailable"}:
            wanted[name] = number(rest.removesuffix(b"kB").strip(), path)
    total = one(wanted, b"MemTotal", path)
    if total <= 0:
        raise Unreadable(f"{path}: MemTotal is {total}")
    return 1.0 - one(wanted, b"MemAvailable", path) / total


class LoadAverage:
    """Tasks that run or want to, over the last minute, for each CPU: but no more than there were in
    the last seconds. The average forgets a wave slowly: of ten tasks for each CPU there are two
    left after a minute and a half of idleness, and a shop must not stay closed for that long.

    The tasks are those of the whole machine, whatever part of it is the process's: so they are
    divided by all its CPUs. Divided by a container's quota, a quiet machine with many cores would
    look overloaded from within each small container on it.
    """

    def __init__(self, system: System, stat: HostStat) -> None:
        self._average = system.proc / "loadavg"
        self._stat = stat
        self._latest: deque[int] = deque(maxlen=RECENT_SAMPLES)

    def per_cpu(self, now: float) -> float:
        """The average for each CPU, bounded so. Raises Unreadable."""
        path = self._stat.path
        cpus = 0
        tasks = -1  # this one, which runs to ask
        for line in self._stat.lines(now):
            if line.startswith(b"cpu") and line[3:4].isdigit():
                cpus += 1
            elif line.startswith((b"procs_running ", b"procs_blocked ")):
                tasks += number(line.partition(b" ")[2], path)
        if not cpus or tasks < 0:
            raise Unreadable(f"{path}: no CPUs, or no tasks")
        self._latest.append(tasks)
        first = read(self._average).partition(b" ")[0]
        whole, _, hundredths = first.partition(b".")
        average = number(whole, self._average) + number(hundredths, self._average) / 100
        return min(average, sum(self._latest) / len(self._latest)) / cpus
