import asyncio
import os
import random
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest

from proxy.ops.signals import INTERVAL_SECONDS, LOOK_AGAIN_SECONDS, Sampler, is_of_upstreams
from proxy.ops.signals_system import System
from proxy.policy.counters import UpstreamCounters
from proxy.policy.signals import BY_DEFAULT, DEFAULT_THRESHOLDS, Signals
from proxy.policy.snapshot import SheddingSpec
from tests.lanes.fake_loop import Loop
from tests.ops.recorded import CONTAINER, PROC, files, system


@cache
def rules(names: tuple[str, ...], cgroup: str | None = None) -> SheddingSpec:
    return SheddingSpec({name: DEFAULT_THRESHOLDS[name] for name in names}, cgroup=cgroup)


class Traffic:
    def __init__(self) -> None:
        self.counters = {"shop": UpstreamCounters()}

    def upstream_counters(self) -> Mapping[str, UpstreamCounters]:
        return self.counters

    def queueing(self) -> Mapping[str, float]:
        return {"shop": 1.5}


class Sampled:
    """A sampler whose clock the test sets."""

    def __init__(self, made: System) -> None:
        self.loop = Loop(100.0)
        self.traffic = Traffic()
        loop: asyncio.AbstractEventLoop = self.loop  # type: ignore[assignment]
        self.sampler = Sampler(self.traffic, loop, made, self.loop.clock, lambda: 1e9)

    def sample(self, *names: str, cgroup: str | None = None, after: float = 0.25) -> Signals:
        self.loop.run_until(self.loop.now + after)
        return self.sampler.sample(rules(names, cgroup))


def test_a_container_is_looked_at_where_it_has_limits(tmp_path: Path) -> None:
    sampled = Sampled(system(tmp_path, cgroups=CONTAINER))
    names = ("cpu", "throttled", "memory", "cpu_pressure", "memory_pressure", "load", "queueing")
    first = sampled.sample(*names)
    assert first.values == {
        "memory": pytest.approx(0.5),
        "cpu_pressure": pytest.approx(0.8),
        "memory_pressure": pytest.approx(0.001),
        "load": pytest.approx(1.55),
    }
    assert (first.at, first.wall, first.of_upstreams) == (100.25, 1e9, {"shop": {"queueing": 1.5}})
    grown = CONTAINER["cpu.stat"].replace("3726000000", "3726400000").replace(" 40000", " 40002")
    files(tmp_path / "cgroup", {"cpu.stat": grown})
    second = sampled.sample(*names).values
    assert second["cpu"] == pytest.approx(0.8)
    assert second["throttled"] == 0.0


@pytest.mark.parametrize("cgroup", ["shop" * 100, "shop\0", "..", "cgroup.controllers"])
def test_a_control_group_of_an_impossible_name_leaves_the_other_signals(
    tmp_path: Path, cgroup: str
) -> None:
    sampled = Sampled(system(tmp_path, cgroups=CONTAINER))
    values = sampled.sample("cpu", "memory", "load", cgroup=cgroup).values
    assert set(values) == {"load"}


def test_folders_that_may_not_be_looked_into_leave_the_other_signals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = system(tmp_path, cgroups=CONTAINER)
    real = os.stat

    def forbidden(path: object, *args: object, **kwargs: object) -> os.stat_result:
        if str(made.cgroups) in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", forbidden)
    sampled = Sampled(made)
    values = sampled.sample("memory", "cpu_pressure").values
    assert values == {"memory": pytest.approx(0.25), "cpu_pressure": 0.125}


def test_a_system_without_affinity_has_all_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    loop: asyncio.AbstractEventLoop = Loop(0.0)  # type: ignore[assignment]
    sampler = Sampler(Traffic(), loop)
    assert sampler.sample(rules(("loop_lag",))).values.keys() == {"loop_lag"}


def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    unlimited = {"cgroup.controllers": "", "cpu.max": "max 100000\n", "memory.max": "max\n"}
    sampled = Sampled(system(tmp_path, cgroups=unlimited))
    assert sampled.sample("cpu", "memory").values == {"memory": pytest.approx(0.25)}
    files(tmp_path / "proc", {"stat": PROC["stat"].replace("cpu0 458856", "cpu0 458866")})
    assert sampled.sample("cpu", "memory").values["cpu"] == 1.0


def test_what_can_t_be_read_is_told_once_and_left_out_until_it_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sampled = Sampled(system(tmp_path, proc={"stat": PROC["stat"]}))
    for _ in range(3):
        assert sampled.sample("load", "memory", "throttled", "cpu_pressure").values == {}
    assert sorted(message.split(" can't")[0] for message in caplog.messages) == [
        "signal cpu_pressure",
        "signal load",
        "signal memory",
        "signal throttled",
    ]
    files(tmp_path / "proc", PROC)
    found = sampled.sample("load", "memory", "throttled", "cpu_pressure", after=LOOK_AGAIN_SECONDS)
    assert found.values.keys() == {"load", "memory", "cpu_pressure"}
    assert len(caplog.messages) == 4


def test_other_rules_tell_only_what_is_new(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sampled = Sampled(system(tmp_path, proc={"stat": PROC["stat"]}))
    told: list[str] = []
    for names in (("load",), ("load", "memory"), ("memory",), ("load",)):
        caplog.clear()
        sampled.sample(*names)
        told.append(",".join(message.split()[1] for message in caplog.messages))
    assert told == ["load", "memory", "", "load"]


def test_only_what_the_rules_name_is_read(tmp_path: Path) -> None:
    sampled = Sampled(system(tmp_path))
    assert sampled.sample("load").values.keys() == {"load"}
    assert sampled.sample("memory").values.keys() == {"memory"}
    assert sampled.loop.timers == []
    sampled.sample("loop_lag")
    assert len(sampled.loop.timers) == 1
    sampled.sampler.rest()
    assert sampled.loop.timers == []


def test_the_loop_s_lag_is_seen(tmp_path: Path) -> None:
    sampled = Sampled(system(tmp_path))
    assert sampled.sample("loop_lag").values["loop_lag"] == 0.0
    sampled.loop.now += 0.4
    assert sampled.sample("loop_lag").values["loop_lag"] > 0.3


def test_an_upstream_s_signals_are_its_own(tmp_path: Path) -> None:
    sampled = Sampled(system(tmp_path))
    sampled.traffic.counters["coupons"] = UpstreamCounters()
    for name, load in (("shop", b"0.9"), ("coupons", b"0.1")):
        report = b"TEXT cpu_utilization=" + load
        sampled.traffic.counters[name].answered(200, 0.1, report, 100.0)
    found = sampled.sample("reported_cpu")
    assert found.values == {}
    assert found.of_upstreams == {
        "shop": {"reported_cpu": 0.9},
        "coupons": {"reported_cpu": 0.1},
    }


def test_the_queue_is_that_of_an_upstream(tmp_path: Path) -> None:
    sampled = Sampled(system(tmp_path))
    sampled.traffic.counters["coupons"] = UpstreamCounters()
    found = sampled.sample("queueing")
    assert (found.values, found.of_upstreams) == ({}, {"shop": {"queueing": 1.5}, "coupons": {}})


def test_an_upstream_that_is_new_counts_from_nothing(tmp_path: Path) -> None:
    sampled = Sampled(system(tmp_path))
    sampled.sample("upstream_latency")
    sampled.traffic.counters["shop"] = counters = UpstreamCounters()
    for _ in range(100):
        counters.answered(200, 9.0, None, 100.0)
    assert sampled.sample("upstream_latency").of_upstreams == {"shop": {}}


def test_the_group_that_the_rules_name_is_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sampled = Sampled(system(tmp_path, cgroups={"cgroup.controllers": ""}))
    assert sampled.sample("memory").values["memory"] == pytest.approx(0.25)
    assert sampled.sample("memory", cgroup="shop").values == {}
    assert "no control group 'shop'" in caplog.text
    assert sampled.sample("memory", cgroup="other").values == {}
    assert "no control group 'other'" in caplog.text
    files(tmp_path / "cgroup/shop", CONTAINER)
    found = sampled.sample("memory", cgroup="shop", after=LOOK_AGAIN_SECONDS)
    assert found.values["memory"] == pytest.approx(0.5)


def test_every_signal_of_the_process_has_a_reader(tmp_path: Path) -> None:
    sampled = Sampled(system(tmp_path, cgroups=CONTAINER))
    names = [name for name in DEFAULT_THRESHOLDS if not is_of_upstreams(name)]
    assert set(BY_DEFAULT) < set(names)
    sampled.sample(*names)
    stat = CONTAINER["cpu.stat"].replace("3726000000", "3726000001").replace(" 40000", " 40001")
    files(tmp_path / "cgroup", {"cpu.stat": stat})
    assert sampled.sample(*names).values.keys() == set(names)


async def test_it_goes_on_whatever_happens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.ops.signals.INTERVAL_SECONDS", 0.001)
    sampler = Sampler(Traffic(), asyncio.get_running_loop(), system(tmp_path))
    pushed: list[Signals] = []
    enough = asyncio.Event()
    specs: list[SheddingSpec | None] = [None, SheddingSpec({"load": DEFAULT_THRESHOLDS["load"]})]

    def push(signals: Signals) -> None:
        pushed.append(signals)
        if len(pushed) < 3:
            raise RuntimeError("a fault")
        enough.set()

    spec: Callable[[], SheddingSpec | None] = lambda: random.choice(specs)  # noqa: E731
    task = asyncio.create_task(sampler.run(spec, push))
    async with asyncio.timeout(5):
        await enough.wait()
    task.cancel()
    assert caplog.text.count("could not be sampled") == 1
    assert INTERVAL_SECONDS <= 0.25
