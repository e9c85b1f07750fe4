"""Pressure stall information: the share of time in which somebody had to wait for a resource.

docs.kernel.org/accounting/psi.html. Of the control group where there is one, else the machine's.
"""

import re
from pathlib import Path

from proxy.ops import signals_cgroup_v2
from proxy.ops.signals_system import System, Unreadable, control_groups, exists, read

_SOME = re.compile(rb"^some avg10=(\d{1,3}\.\d+) ", re.MULTILINE)


def pressure_file(system: System, resource: str) -> Path:
    """The file that tells of `resource`, `cpu` or `memory`. Raises Unreadable."""
    if signals_cgroup_v2.is_mounted(system):
        path = control_groups(system)[0] / f"{resource}.pressure"
        if exists(path):
            return path
    return system.proc / "pressure" / resource


def stalled(path: Path) -> float:
    """The share of the last ten seconds in which some task waited. Raises Unreadable."""
    some = _SOME.search(read(path))
    if some is None:
        raise Unreadable(f"{path}: no average")
    return float(some[1]) / 100
