from pathlib import Path

import pytest

from proxy.ops.signals_system import Unreadable, control_groups, read, read_number, read_numbers
from tests.ops.recorded import files, system


def test_numbers_are_read_by_name(tmp_path: Path) -> None:
    files(tmp_path, {"stat": "usage_usec 12\nnr_periods  3\n", "max": "-1\n"})
    assert read_numbers(tmp_path / "stat") == {b"usage_usec": 12, b"nr_periods": 3}
    assert read_number(tmp_path / "max") == -1


@pytest.mark.parametrize("text", ["", "max", "1.5", "1 2", "9" * 21, "0x1"])
def test_what_is_no_number_is_unreadable(tmp_path: Path, text: str) -> None:
    files(tmp_path, {"a": text})
    with pytest.raises(Unreadable):
        read_number(tmp_path / "a")


def test_what_is_not_there_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="No such file"):
        read(tmp_path / "a")
    with pytest.raises(Unreadable, match="Is a directory"):
        read(tmp_path)


def test_a_group_has_all_those_above_it(tmp_path: Path) -> None:
    made = system(tmp_path, own="0::/shop.slice/shop.service\n")
    (made.cgroups / "shop.slice/shop.service").mkdir(parents=True)
    assert [each.relative_to(made.cgroups).as_posix() for each in control_groups(made)] == [
        "shop.slice/shop.service",
        "shop.slice",
        ".",
    ]


@pytest.mark.parametrize("own", ["0::/../other\n", "0::/kubepods/pod1/gone\n"])
def test_a_container_s_own_group_is_the_root_of_what_it_sees(tmp_path: Path, own: str) -> None:
    made = system(tmp_path, own=own)
    assert control_groups(made) == [made.cgroups]


def test_each_controller_of_version_1_has_groups_of_its_own(tmp_path: Path) -> None:
    made = system(tmp_path, own="4:memory:/a\n2:cpu,cpuacct:/b\n1:name=systemd:/\n0::/\n")
    for each in ("memory/a", "cpu/b"):
        (made.cgroups / each).mkdir(parents=True)
    assert control_groups(made, "memory")[0] == made.cgroups / "memory/a"
    assert control_groups(made, "cpu")[0] == made.cgroups / "cpu/b"
    with pytest.raises(Unreadable, match="no control group"):
        control_groups(made, "io")


def test_the_group_that_the_rules_name_must_be_there(tmp_path: Path) -> None:
    made = system(tmp_path, cgroup="system.slice/shop.service")
    with pytest.raises(Unreadable, match=r"no control group 'system.slice/shop.service'"):
        control_groups(made)
    (made.cgroups / "system.slice/shop.service").mkdir(parents=True)
    assert control_groups(made)[0].name == "shop.service"
    outside = system(tmp_path, cgroup="../../etc")
    with pytest.raises(Unreadable):
        control_groups(outside)
