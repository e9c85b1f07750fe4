"""Runs wrk and reads what its script tells."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path

from tests.bench.cases import Case
from tests.bench.machine import LOAD_CORE, find_tool, pinned

CONNECTIONS = 64
_SCRIPT = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True, slots=True)
class Report:
    """What wrk measured.

    `refused` counts all answers but 2xx and 3xx, `broken` failed connects, reads, writes and
    waits of over two seconds. Latencies are seconds.
    """

    per_second: float
    answered: int
    refused: int
    broken: int
    p50: float
    p99: float

    def check(self, case: Case, who: str) -> None:
        """Exits unless it measured what it should: a benchmark of something else is worse."""
        if not self.answered or self.broken:
            raise SystemExit(f"{case.name}, {who}: no answers or broken connections: {self}")
        # The limit of 1/s lets a few through, and the end cuts turns short.
        tolerated = 0.0 if case.admitted_ratio == 1.0 else 0.02
        if abs(self.refused / self.answered - (1.0 - case.admitted_ratio)) > tolerated:
            raise SystemExit(f"{case.name}, {who}: not the answers that were wanted: {self}")


async def run(
    port: int,
    case: Case,
    seconds: int,
    *,
    connections: int = CONNECTIONS,
    rate: float | None = None,
) -> Report:
    """One thread: as fast as the answers come, or `rate` requests a second.

    wrk takes whole seconds only.
    """
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT)]
    arguments = [f"head={case.head}", f"targets={','.join(case.targets)}"]
    if case.body_bytes is not None:
        arguments.append(f"body={case.body_bytes}")
    if rate is not None:
        arguments.append(f"rate={rate}")
    process = await asyncio.create_subprocess_exec(
        *pinned(LOAD_CORE),
        find_tool("wrk"),
        *options,
        f"http://127.0.0.1:{port}",
        "--",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(seconds + 30):
        output, _ = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"wrk failed: {output.decode()}")
    return read(output.decode())


def read(output: str) -> Report:
    """The numbers in what wrk and its script print."""
    line = re.search(r"(?m)^measured (.*)$", output)
    if line is None:
        raise SystemExit(f"wrk's output lacks its script's line:\n{output}")
    numbers = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line[1])}
    return Report(
        per_second=numbers["answered"] / numbers["microseconds"] * 1e6,
        answered=numbers["answered"],
        refused=numbers["refused"],
        broken=numbers["broken"],
        p50=numbers["p50"] / 1e6,
        p99=numbers["p99"] / 1e6,
    )
