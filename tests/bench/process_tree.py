"""What a process and its descendants use, as Linux tells it."""

import os
from collections.abc import Collection
from pathlib import Path

_PROC = Path("/proc")


def cpu_seconds(pid: int) -> float:
    """The processor time that they have used, user's and system's."""
    ticks = 0
    for each in members(pid):
        fields = stat_fields((_PROC / str(each) / "stat").read_text())
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def busy_seconds(cores: Collection[int]) -> float:
    """What `cores` have worked for all processes since the machine started.

    Without the time of interrupts, which belongs to nobody.
    """
    names = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in (_PROC / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name in names:
            ticks += sum(int(field) for field in fields[:3])  # user, nice, system
    return ticks / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    """Their resident memory; pages that two share count twice."""
    pages = sum(int((_PROC / str(each) / "statm").read_text().split()[1]) for each in members(pid))
    return pages * os.sysconf("SC_PAGE_SIZE")


def members(pid: int) -> list[int]:
    """`pid` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for path in _PROC.glob("[0-9]*/stat"):
        try:
            fields = stat_fields(path.read_text())
        except OSError:  # it has left meanwhile
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def stat_fields(stat: str) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; proc(5) numbers them from 1.

    The second is the command's name, which may hold spaces and brackets.
    """
    return stat.rpartition(")")[2].split()
