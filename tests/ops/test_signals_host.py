from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.ops.signals_host import RECENT_SAMPLES, HostCpu, HostStat, LoadAverage, memory_in_use
from proxy.ops.signals_system import Unreadable
from tests.ops.recorded import PROC, STAT, files, system


def test_cpu_is_that_of_the_cpus_that_may_be_used(tmp_path: Path) -> None:
    made = system(tmp_path)
    stat = HostStat(made)
    both = HostCpu(made, stat)
    first = HostCpu(replace(made, cpus=frozenset({0})), stat)
    assert both.utilization(1.0) is None
    assert first.utilization(1.0) is None
    # 20 ticks of work, 70 idle and 10 of waiting for a disk on one; 100 of work on the other, of
    # which 40 went to other machines.
    later = STAT.replace(
        "cpu0 458856 10047 102095 1693936 1944", "cpu0 458876 10047 102095 1694006 1954"
    )
    later = later.replace("cpu1 655810", "cpu1 655870").replace("25110 464", "25110 504")
    files(tmp_path / "proc", {"stat": later})
    assert first.utilization(2.0) == pytest.approx(0.2)
    assert both.utilization(2.0) == pytest.approx(0.6)


def test_memory_is_what_is_not_available(tmp_path: Path) -> None:
    assert memory_in_use(system(tmp_path)) == pytest.approx(0.25)


def test_load_is_divided_by_all_cpus_of_the_machine(tmp_path: Path) -> None:
    """As the tasks are those of the machine, and not of the one CPU that is ours."""
    made = system(tmp_path, cpus=frozenset({0}))
    average = LoadAverage(made, HostStat(made))
    assert average.per_cpu(1.0) == pytest.approx(1.55)


def test_load_that_has_gone_is_forgotten_within_seconds(tmp_path: Path) -> None:
    made = system(tmp_path)
    average = LoadAverage(made, HostStat(made))
    average.per_cpu(0.0)
    files(tmp_path / "proc", {"stat": STAT.replace("running 9", "running 1")})
    loads = [average.per_cpu(1.0 + each) for each in range(RECENT_SAMPLES + 1)]
    assert loads[0] == pytest.approx(1.55)
    assert loads[-1] == pytest.approx(0.5)
    files(tmp_path / "proc", {"stat": STAT.replace("running 9", "running 99")})
    assert [average.per_cpu(100.0 + each) for each in range(9)][-1] == pytest.approx(1.55)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stat", ""),
        ("stat", "cpu0 a b c d e f g h\n"),
        ("stat", "cpu0 1 2 3\n"),
        ("meminfo", "MemTotal: 0 kB\nMemAvailable: 0 kB\n"),
        ("meminfo", "MemTotal: 5 kB\n"),
        ("meminfo", "MemTotal: x kB\n"),
        ("load", "cpu0 1 2 3 4 5 6 7 8\n"),
        ("load", "procs_running 5\nprocs_blocked 0\n"),
        ("loadavg", "nan 0 0\n"),
        ("loadavg", "\n"),
    ],
)
def test_nonsense_is_unreadable(tmp_path: Path, name: str, text: str) -> None:
    made = system(tmp_path, proc=PROC | {"stat" if name == "load" else name: text})
    stat = HostStat(made)
    read: Callable[[float], object] = {
        "stat": HostCpu(made, stat).utilization,
        "meminfo": lambda _: memory_in_use(made),
        "load": LoadAverage(made, stat).per_cpu,
        "loadavg": LoadAverage(made, stat).per_cpu,
    }[name]
    with pytest.raises(Unreadable):
        read(1.0)


def test_of_one_moment_the_file_is_read_once_for_both(tmp_path: Path) -> None:
    made = system(tmp_path)
    stat = HostStat(made)
    cpu, average = HostCpu(made, stat), LoadAverage(made, stat)
    cpu.utilization(1.0)
    (made.proc / "stat").unlink()
    assert average.per_cpu(1.0) == pytest.approx(1.55)
    for unreadable in (cpu.utilization, average.per_cpu):
        with pytest.raises(Unreadable):
            unreadable(2.0)
