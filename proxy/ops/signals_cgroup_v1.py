"""CPU and memory of a container, version 1 (docs.kernel.org/admin-guide/cgroup-v1, and
docs.kernel.org/scheduler/sched-bwc.html for the quota).

Of a group and those above it each with a limit is looked at: the tightest holds.
"""

from pathlib import Path

from proxy.ops.signals_share import Share
from proxy.ops.signals_system import (
    System,
    Unreadable,
    control_groups,
    exists,
    one,
    read_number,
    read_numbers,
)
from proxy.ops.signals_throttling import Throttling

NO_LIMIT = 1 << 60
"""Bytes from which on a limit is none: unlimited is the largest number of whole pages there is."""


def limited_cpu_groups(system: System) -> list[Path]:
    """The folders with a quota, innermost first. Raises Unreadable."""
    return [
        folder
        for folder in control_groups(system, "cpu")
        if exists(folder / "cpu.cfs_quota_us") and read_number(folder / "cpu.cfs_quota_us") > 0
    ]


def limited_memory_groups(system: System) -> list[Path]:
    """The folders with a limit, innermost first. Raises Unreadable."""
    folders = control_groups(system, "memory")
    return [folder for folder in folders if 0 < _memory_limit(folder) < NO_LIMIT]


class CpuGroup:
    """One group with a quota. `folder` is that of its controller `cpu`; what it uses is counted by
    `cpuacct`, mostly in the same place.
    """

    def __init__(self, system: System, folder: Path) -> None:
        self._system = system
        self._folder = folder
        self._usage = (
            system.cgroups
            / "cpuacct"
            / folder.relative_to(system.cgroups / "cpu")
            / "cpuacct.usage"
        )
        self._used = Share()
        self._throttling = Throttling(folder / "cpu.stat", b"throttled_time", 1e9)

    def utilization(self, now: float) -> float | None:
        """CPU time used, of what the quota and the machine allow for. Raises Unreadable."""
        quota = read_number(self._folder / "cpu.cfs_quota_us")
        if quota <= 0:
            raise Unreadable(f"{self._folder}: there is no quota any more")
        quotient = quota / max(1, read_number(self._folder / "cpu.cfs_period_us"))
        return self._used.take(read_number(self._usage) / 1e9, now * self._system.cores(quotient))

    def throttled(self, now: float) -> float | None:
        """The share of time in which the quota held it up. Raises Unreadable."""
        return self._throttling.share(now)


def memory_in_use(folder: Path) -> float:
    """The share of its limit that a group uses. Raises Unreadable.

    Without what the page cache could give back at once.
    """
    limit = read_number(folder / "memory.limit_in_bytes")
    current = read_number(folder / "memory.usage_in_bytes")
    stat = folder / "memory.stat"
    return max(0, current - one(read_numbers(stat), b"total_inactive_file", stat)) / max(1, limit)


def _memory_limit(folder: Path) -> int:
    path = folder / "memory.limit_in_bytes"
    return read_number(path) if exists(path) else NO_LIMIT
