"""One run: a fresh shop, a fresh proxy before it, and customers."""

import asyncio
import math
import os
import time
from pathlib import Path

from tests.bench.machine import LOAD_CORE, PROXY_CORE
from tests.bench.overload.cases import Case
from tests.bench.overload.contenders import CONTENDERS, NO_PROXY
from tests.bench.overload.customers import KINDS, customers
from tests.bench.overload.figures import figures, goodput_series, recovery
from tests.bench.overload.programs import Programs
from tests.bench.overload.results import OTHERS_CORES, SERIES_SECONDS, Outcome
from tests.bench.overload.shop import Shop, running_shop
from tests.bench.process_tree import busy_seconds, cpu_seconds

_LEAD = 0.2
"""Seconds between starting the generator and its first request."""


async def run(case: Case, who: str, programs: Programs, directory: Path, seed: int) -> Outcome:
    """Measure `who` in one case.

    Without a proxy the shop has the proxy's core, so that it is the shop that fails and not the
    core that it would share with thousands who connect anew.
    """
    core = PROXY_CORE if who == NO_PROXY else LOAD_CORE
    async with (
        running_shop(programs.shop, core) as shop,
        CONTENDERS[who](directory, shop.port) as proxy,
    ):
        start = time.monotonic() + _LEAD
        load = customers(
            programs.load,
            proxy.port,
            case.phases,
            directory / "records",
            start=start,
            arrivals=case.arrivals,
            retries=case.retries,
            seed=seed,
        )
        pid = 0 if who == NO_PROXY else proxy.pid
        attempts, (cores, others), _ = await asyncio.gather(
            load, _used(pid, start + case.begin, start + case.end), _happen(case, shop, start)
        )
        counts = await shop.counts()
    return Outcome(
        figures(attempts, len(KINDS), case.begin, case.end),
        cores,
        others,
        _recovery(recovery(attempts, case.over, case.seconds)) if case.over else math.nan,
        goodput_series(attempts, case.seconds, SERIES_SECONDS),
        counts.wasted / max(1, counts.wasted + counts.served),
    )


def _recovery(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds


async def quiet(patience: float) -> None:
    """Waits until other processes leave the two cores alone, for so many seconds at most."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        now = time.monotonic()
        _, others = await _used(0, now, now + 0.5)
        if others <= OTHERS_CORES:
            return


async def _happen(case: Case, shop: Shop, start: float) -> None:
    for at, command in case.events:
        await _until(start + at)
        await shop.tell(command)


async def _used(pid: int, begin: float, end: float) -> tuple[float, float]:
    """The cores used by the proxy, and by whatever is no part of this bench."""
    await _until(begin)
    before, began = _seconds(pid), time.monotonic()
    await _until(end)
    took = time.monotonic() - began
    proxy, own, all_ = (
        (now - then) / took for now, then in zip(_seconds(pid), before, strict=True)
    )
    return proxy if pid else math.nan, max(0.0, all_ - own)


def _seconds(pid: int) -> tuple[float, float, float]:
    """Processor time of the proxy, of all that this process has started, of everybody."""
    own = cpu_seconds(os.getpid())
    return cpu_seconds(pid) if pid else 0.0, own, busy_seconds({PROXY_CORE, LOAD_CORE})


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
