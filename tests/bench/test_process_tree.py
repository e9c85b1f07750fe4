import os
import subprocess
import sys

from tests.bench.process_tree import busy_seconds, cpu_seconds, members, rss_bytes, stat_fields


def test_a_command_with_brackets_and_spaces_hides_no_field() -> None:
    assert stat_fields("7 (a ) b) S 3 7 7 0\n") == ["S", "3", "7", "7", "0"]


def test_children_of_children_belong_to_the_tree() -> None:
    child = "import subprocess, sys; subprocess.run(['cat'])"
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        while len(found := members(process.pid)) < 2:
            assert process.poll() is None
        assert found[0] == process.pid
        assert found[1] != process.pid
        assert set(found) < set(members(os.getpid()))


def test_time_and_memory_of_this_process_are_told() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) == before:
        pass
    assert rss_bytes(os.getpid()) > 1_000_000


def test_the_time_of_the_cores_is_at_least_that_of_this_process() -> None:
    cores = range(os.cpu_count() or 1)
    before, own_before = busy_seconds(cores), cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) < own_before + 0.2:
        pass
    assert busy_seconds(cores) - before > 0.1
    assert busy_seconds([]) == 0.0
