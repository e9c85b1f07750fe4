"""What one sample of the load costs: `Sampler.sample`, of all signals that this system has.

python -m tests.bench.sampling [--repeats 9]
"""

import argparse
import asyncio
import logging
from collections.abc import Mapping, Sequence
from statistics import median
from time import monotonic, process_time

from proxy.ops.signals import INTERVAL_SECONDS, Sampler
from proxy.policy.counters import LATEST_REPORTS, UpstreamCounters
from proxy.policy.signals import BY_DEFAULT, DEFAULT_THRESHOLDS
from proxy.policy.snapshot import SheddingSpec
from tests.bench.machine import table

SAMPLES = 50
PAUSE_SECONDS = 0.01
"""Between two: in which the kernel's counters grow, and the processor's caches get cold."""

REPORT = b"TEXT cpu_utilization=0.4, mem_utilization=0.6, application_utilization=0.5"


class _Traffic:
    """One upstream, busy, whose every answer reports its load."""

    def __init__(self) -> None:
        self._counters = UpstreamCounters()

    def upstream_counters(self) -> Mapping[str, UpstreamCounters]:
        return {"shop": self._counters}

    def queueing(self) -> Mapping[str, float]:
        return {"shop": 0.5}

    def answer(self, now: float) -> None:
        for _ in range(LATEST_REPORTS):
            self._counters.answered(200, 0.02, REPORT, now)


def measure(repeats: int = 9) -> str:
    """The report: microseconds of processor time of a sample, the median of `repeats`, and their
    share of the time between two.
    """
    rows = []
    for names in (BY_DEFAULT, tuple(DEFAULT_THRESHOLDS)):
        found, seconds = asyncio.run(_time(names, repeats))
        rows.append([", ".join(found), f"{seconds * 1e6:.0f}", f"{seconds / INTERVAL_SECONDS:.3%}"])
    return table([f"signals, every {INTERVAL_SECONDS:g} s", "us", "of a core"], rows)


async def _time(names: Sequence[str], repeats: int) -> tuple[list[str], float]:
    """Which of them there are here, and the seconds of a sample of them."""
    logging.getLogger("planb").setLevel(logging.ERROR)  # what can't be read is left out, as ever
    traffic = _Traffic()
    sampler = Sampler(traffic, asyncio.get_running_loop())
    spec = SheddingSpec({name: DEFAULT_THRESHOLDS[name] for name in names})
    times = []
    found: dict[str, float] = {}
    for _ in range(repeats):
        spent = 0.0
        for _ in range(SAMPLES):
            await asyncio.sleep(PAUSE_SECONDS)
            traffic.answer(monotonic())
            begun = process_time()
            sample = sampler.sample(spec)
            spent += process_time() - begun
            found |= {**sample.values, **sample.of_upstreams.get("shop", {})}
        times.append(spent / SAMPLES)
    sampler.rest()
    return list(found), median(times)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="sampling")
    parser.add_argument("--repeats", type=int, default=9, help=f"of {SAMPLES} samples each (9)")
    print(measure(parser.parse_args().repeats))


if __name__ == "__main__":
    main()
