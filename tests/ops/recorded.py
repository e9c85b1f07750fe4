"""Files of /proc and /sys/fs/cgroup, as they were on real systems, in a folder of a test's own."""

from collections.abc import Mapping
from pathlib import Path

from proxy.ops.signals_system import System

# Linux 6.18 in a virtual machine with two CPUs, cgroups of version 1.
STAT = """\
cpu  1114666 24600 226901 3157335 14192 0 55494 898 0 0
cpu0 458856 10047 102095 1693936 1944 0 30384 434 0 0
cpu1 655810 14552 124806 1463399 12247 0 25110 464 0 0
intr 50311873 0 0 0
ctxt 103225867
btime 1763820000
processes 17802
procs_running 9
procs_blocked 1
"""
MEMINFO = """\
MemTotal:       24684096 kB
MemFree:        23371552 kB
MemAvailable:   18513072 kB
Buffers:          173948 kB
HugePages_Total:       0
"""
LOADAVG = "3.10 0.29 0.45 2/98 17792\n"
PRESSURE = """\
some avg10=12.50 avg60=0.70 avg300=1.66 total=1974890789
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
"""
PROC = {
    "stat": STAT,
    "meminfo": MEMINFO,
    "loadavg": LOADAVG,
    "pressure/cpu": PRESSURE,
    "pressure/memory": PRESSURE.replace("12.50", "3.00"),
}

# A pod's container with two CPUs and 1 GiB on containerd, version 2, as the container sees it.
CPU_STAT = """\
usage_usec 3726000000
user_usec 2500000000
system_usec 1226000000
core_sched.force_idle_usec 0
nr_periods 40000
nr_throttled 1000
throttled_usec 51000000
nr_bursts 0
burst_usec 0
"""
MEMORY_STAT = """\
anon 536870912
file 268435456
kernel 31457280
inactive_anon 0
active_anon 536870912
inactive_file 214748364
active_file 53687092
"""
CONTAINER = {
    "cgroup.controllers": "cpuset cpu io memory pids\n",
    "cpu.max": "200000 100000\n",
    "cpu.stat": CPU_STAT,
    "memory.max": "1073741824\n",
    "memory.current": "751619276\n",
    "memory.stat": MEMORY_STAT,
    "cpu.pressure": PRESSURE.replace("12.50", "80.00"),
    "memory.pressure": PRESSURE.replace("12.50", "0.10"),
}


def files(folder: Path, contents: Mapping[str, str]) -> None:
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def system(
    folder: Path,
    *,
    proc: Mapping[str, str] = PROC,
    cgroups: Mapping[str, str] | None = None,
    own: str = "0::/\n",
    cpus: frozenset[int] = frozenset({0, 1}),
    cgroup: str | None = None,
) -> System:
    """A machine with these files; `own` says which control groups the process is in."""
    made = System(folder / "proc", folder / "cgroup", cpus, cgroup)
    files(made.proc, {**proc, "self/cgroup": own})
    made.cgroups.mkdir(exist_ok=True)
    files(made.cgroups, cgroups or {})
    return made
