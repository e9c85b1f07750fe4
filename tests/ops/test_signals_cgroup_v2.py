from pathlib import Path

import pytest

from proxy.ops.signals_cgroup_v2 import CpuGroup, is_mounted, limited_groups, memory_in_use
from proxy.ops.signals_system import System, Unreadable
from tests.ops.recorded import CONTAINER, CPU_STAT, files, system


def test_a_container_s_cpu_is_what_it_uses_of_its_quota(tmp_path: Path) -> None:
    files(tmp_path, CONTAINER)
    group = CpuGroup(System(), tmp_path)
    assert group.utilization(100.0) is None
    # Three quarters of a second of CPU time in half a second, of two CPUs.
    files(tmp_path, {"cpu.stat": CPU_STAT.replace("3726000000", "3726750000")})
    assert group.utilization(100.5) == pytest.approx(0.75)


def test_a_quota_of_more_than_the_machine_has_is_what_the_machine_has(tmp_path: Path) -> None:
    files(tmp_path, CONTAINER | {"cpu.max": "800000 100000\n"})
    group = CpuGroup(System(machine_cpus=2), tmp_path)
    assert group.utilization(100.0) is None
    files(tmp_path, {"cpu.stat": CPU_STAT.replace("3726000000", "3727900000")})
    assert group.utilization(101.0) == pytest.approx(0.95)


def test_throttling_is_a_share_of_time(tmp_path: Path) -> None:
    files(tmp_path, CONTAINER)
    group = CpuGroup(System(), tmp_path)
    assert group.throttled(100.0) is None
    # Ten periods, a second, of which four were too short; 50 ms all in all.
    later = CPU_STAT.replace(" 40000", " 40010").replace(" 1000\n", " 1004\n", 1)
    files(tmp_path, {"cpu.stat": later.replace(" 51000000", " 51050000")})
    assert group.throttled(101.0) == pytest.approx(0.05)


def test_memory_is_counted_without_the_cache_that_is_given_back_first(tmp_path: Path) -> None:
    files(tmp_path, CONTAINER)
    assert memory_in_use(tmp_path) == pytest.approx(0.5)


def test_only_groups_with_a_limit_count_and_all_above_do(tmp_path: Path) -> None:
    made = system(tmp_path, own="0::/shop.slice/shop.service\n")
    files(
        made.cgroups,
        {
            "cgroup.controllers": "cpu\n",
            "shop.slice/cpu.max": "50000 100000\n",
            "shop.slice/shop.service/cpu.max": "max 100000\n",
        },
    )
    assert is_mounted(made)
    assert limited_groups(made, "cpu.max") == [made.cgroups / "shop.slice"]
    assert limited_groups(made, "memory.max") == []


def test_beside_version_1_it_does_not_count(tmp_path: Path) -> None:
    made = system(tmp_path, cgroups={"unified/cgroup.controllers": ""})
    assert not is_mounted(made)


def test_a_quota_that_is_taken_away_is_noticed(tmp_path: Path) -> None:
    files(tmp_path, CONTAINER)
    group = CpuGroup(System(), tmp_path)
    files(tmp_path, {"cpu.max": "max 100000\n", "memory.max": "max\n"})
    with pytest.raises(Unreadable, match="no quota any more"):
        group.utilization(1.0)
    with pytest.raises(Unreadable):
        memory_in_use(tmp_path)


@pytest.mark.parametrize("text", ["", "x", "100000", "1e5 100000", "-5 x"])
def test_nonsense_is_unreadable(tmp_path: Path, text: str) -> None:
    files(tmp_path, CONTAINER | {"cpu.max": text})
    with pytest.raises(Unreadable):
        CpuGroup(System(), tmp_path).utilization(1.0)


def test_a_missing_count_is_unreadable(tmp_path: Path) -> None:
    files(tmp_path, CONTAINER | {"cpu.stat": "user_usec 1\n", "memory.stat": "anon 1\n"})
    group = CpuGroup(System(), tmp_path)
    with pytest.raises(Unreadable, match="no usage_usec"):
        group.utilization(1.0)
    with pytest.raises(Unreadable, match="no nr_throttled"):
        group.throttled(1.0)
    with pytest.raises(Unreadable, match="no inactive_file"):
        memory_in_use(tmp_path)
