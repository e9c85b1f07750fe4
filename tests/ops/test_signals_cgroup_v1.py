from dataclasses import replace
from pathlib import Path

import pytest

from proxy.ops.signals_cgroup_v1 import (
    CpuGroup,
    limited_cpu_groups,
    limited_memory_groups,
    memory_in_use,
)
from proxy.ops.signals_system import System, Unreadable
from tests.ops.recorded import files, system

OWN = "4:memory:/docker/1\n2:cpuacct:/docker/1\n1:cpu:/docker/1\n0::/\n"

DOCKER = {
    "cpu/cpu.cfs_quota_us": "-1\n",
    "cpu/docker/cpu.cfs_quota_us": "-1\n",
    "cpu/docker/1/cpu.cfs_quota_us": "150000\n",
    "cpu/docker/1/cpu.cfs_period_us": "100000\n",
    "cpu/docker/1/cpu.stat": "nr_periods 100\nnr_throttled 10\nthrottled_time 4000000\n",
    "cpuacct/docker/1/cpuacct.usage": "8000000000\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/docker/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/docker/1/memory.limit_in_bytes": "1000000000\n",
    "memory/docker/1/memory.usage_in_bytes": "900000000\n",
    "memory/docker/1/memory.stat": "cache 1\ninactive_file 7\ntotal_inactive_file 100000000\n",
}


def docker(folder: Path) -> System:
    return system(folder, cgroups=DOCKER, own=OWN)


def test_a_container_s_cpu_is_what_it_uses_of_its_quota(tmp_path: Path) -> None:
    made = docker(tmp_path)
    folders = limited_cpu_groups(made)
    assert folders == [made.cgroups / "cpu/docker/1"]
    group = CpuGroup(made, folders[0])
    assert group.utilization(10.0) is None
    files(made.cgroups, {"cpuacct/docker/1/cpuacct.usage": "9200000000\n"})
    assert group.utilization(11.0) == pytest.approx(0.8)
    assert group.throttled(10.0) is None
    later = "nr_periods 110\nnr_throttled 15\nthrottled_time 54000000\n"
    files(made.cgroups, {"cpu/docker/1/cpu.stat": later})
    assert group.throttled(11.0) == pytest.approx(0.05)


def test_a_quota_of_more_than_the_machine_has_is_what_the_machine_has(tmp_path: Path) -> None:
    made = replace(docker(tmp_path), machine_cpus=1)
    group = CpuGroup(made, limited_cpu_groups(made)[0])
    group.utilization(10.0)
    files(made.cgroups, {"cpuacct/docker/1/cpuacct.usage": "8900000000\n"})
    assert group.utilization(11.0) == pytest.approx(0.9)


def test_memory_is_counted_without_the_cache_that_is_given_back_first(tmp_path: Path) -> None:
    made = docker(tmp_path)
    folders = limited_memory_groups(made)
    assert folders == [made.cgroups / "memory/docker/1"]
    assert memory_in_use(folders[0]) == pytest.approx(0.8)


def test_a_container_that_sees_its_group_as_the_root_has_its_limits(tmp_path: Path) -> None:
    inside = {name.replace("/docker/1", ""): DOCKER[name] for name in DOCKER if "/docker/1" in name}
    made = system(tmp_path, cgroups=inside, own=OWN)
    assert limited_cpu_groups(made) == [made.cgroups / "cpu"]
    assert memory_in_use(*limited_memory_groups(made)) == pytest.approx(0.8)


def test_no_quota_and_no_such_files_is_no_limit(tmp_path: Path) -> None:
    made = system(tmp_path, cgroups={"cpu/cpu.cfs_quota_us": "-1\n"}, own="2:cpu:/\n1:memory:/\n")
    assert limited_cpu_groups(made) == []
    assert limited_memory_groups(made) == []


def test_what_goes_away_is_unreadable(tmp_path: Path) -> None:
    made = docker(tmp_path)
    group = CpuGroup(made, limited_cpu_groups(made)[0])
    files(made.cgroups, {"cpu/docker/1/cpu.cfs_quota_us": "-1\n"})
    with pytest.raises(Unreadable, match="no quota any more"):
        group.utilization(1.0)
    with pytest.raises(Unreadable):
        limited_cpu_groups(system(tmp_path, own="0::/\n"))
