"""CPU and memory of a container, version 2 (docs.kernel.org/admin-guide/cgroup-v2.html).

Of a group and those above it each with a limit is looked at: the tightest holds.
"""

from pathlib import Path

from proxy.ops.signals_share import Share
from proxy.ops.signals_system import (
    System,
    Unreadable,
    control_groups,
    exists,
    number,
    one,
    read,
    read_number,
    read_numbers,
)
from proxy.ops.signals_throttling import Throttling


def is_mounted(system: System) -> bool:
    """Whether this version is what controls the process: alone, not beside version 1."""
    return exists(system.cgroups / "cgroup.controllers")


def limited_groups(system: System, file: str) -> list[Path]:
    """The folders with a limit in their `file`, `cpu.max` or `memory.max`, innermost first."""
    # The root has no such files.
    return [
        folder
        for folder in control_groups(system)
        if exists(folder / file) and not read(folder / file).startswith(b"max")
    ]


class CpuGroup:
    """One group with a quota."""

    def __init__(self, system: System, folder: Path) -> None:
        self._system = system
        self._quota = folder / "cpu.max"
        self._stat = folder / "cpu.stat"
        self._used = Share()
        self._throttling = Throttling(self._stat, b"throttled_usec", 1e6)

    def utilization(self, now: float) -> float | None:
        """CPU time used, of what the quota and the machine allow for. Raises Unreadable."""
        quota, _, period = read(self._quota).strip().partition(b" ")
        if quota == b"max":
            raise Unreadable(f"{self._quota}: there is no quota any more")
        quotient = number(quota, self._quota) / max(1, number(period, self._quota))
        used = one(read_numbers(self._stat), b"usage_usec", self._stat)
        return self._used.take(used / 1e6, now * self._system.cores(quotient))

    def throttled(self, now: float) -> float | None:
        """The share of time in which the quota held it up. Raises Unreadable."""
        return self._throttling.share(now)


def memory_in_use(folder: Path) -> float:
    """The share of its limit that a group uses. Raises Unreadable.

    Without what the page cache could give back at once, as the kubelet counts its working set.
    """
    limit = read_number(folder / "memory.max")
    current = read_number(folder / "memory.current")
    stat = folder / "memory.stat"
    return max(0, current - one(read_numbers(stat), b"inactive_file", stat)) / max(1, limit)
