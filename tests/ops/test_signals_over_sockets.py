"""From a file of the kernel's to a refusal that a client reads: all is real but the clock."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from proxy.ops.signals import INTERVAL_SECONDS, Sampler
from proxy.readings import Readings
from tests.lanes.listening import listening
from tests.ops.recorded import CONTAINER, CPU_STAT, LOADAVG, STAT, files, system
from tests.support.http_origin import HttpOrigin
from tests.support.raw_client import fetch, request_head

SAMPLES = 20

Overload = Callable[[float], Mapping[str, str]]


def machine(busy: float) -> Mapping[str, str]:
    """Both CPUs have been busy for so many more seconds."""
    ticks = round(100 * busy)
    stat = STAT.replace("cpu0 458856", f"cpu0 {458856 + ticks}")
    return {"proc/stat": stat.replace("cpu1 655810", f"cpu1 {655810 + ticks}")}


def container(busy: float) -> Mapping[str, str]:
    """Both CPUs that its quota allows for have."""
    used = 3726000000 + round(2e6 * busy)
    return {"cgroup/cpu.stat": CPU_STAT.replace("3726000000", str(used))}


def load(_busy: float) -> Mapping[str, str]:
    """Ten tasks run or want to, on two CPUs, and have for a minute."""
    return {
        "proc/loadavg": LOADAVG.replace("3.10", "10.00"),
        "proc/stat": STAT.replace("procs_running 9", "procs_running 11"),
    }


@pytest.mark.parametrize("express", [True, False], ids=["express", "full"])
@pytest.mark.parametrize(
    ("signal", "overload", "cgroups"),
    [("cpu", machine, {}), ("cpu", container, CONTAINER), ("load", load, {})],
    ids=["cpu of the machine", "cpu of the container", "load"],
)
async def test_too_much_load_in_a_file_is_a_refusal_over_a_socket(
    tmp_path: Path, signal: str, overload: Overload, cgroups: Mapping[str, str], express: bool
) -> None:
    made = system(tmp_path, cgroups=cgroups)
    more = f"shedding: {{signals: {{{signal}: {{}}}}}}"
    ask = request_head("GET", "/bytes/9", "Accept: application/json")
    async with (
        HttpOrigin() as origin,
        listening(origin.url, tmp_path, more=more, express=express) as lane,
    ):
        engine = lane.services.engine
        spec = engine.rules.snapshot.shedding
        assert spec is not None
        assert (await fetch(lane.port, ask)).status == 200
        # So that the last sample is of now: it is stale after three seconds.
        now = time.monotonic() - SAMPLES * INTERVAL_SECONDS
        traffic = Readings(lane.services, [lane.listener])
        sampler = Sampler(traffic, asyncio.get_running_loop(), made, lambda: now)
        for number in range(SAMPLES):
            files(tmp_path, overload(number * INTERVAL_SECONDS))
            now += INTERVAL_SECONDS
            engine.shedder.update(sampler.sample(spec))
        refusal = await fetch(lane.port, ask)
        assert (refusal.status, json.loads(refusal.body)["reason"]) == (503, "shed")
        assert len(origin.requests) == 1
        assert engine.shedder.levels["shop"].blame == signal
