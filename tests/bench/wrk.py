"""Runs wrk and reads its report."""

import asyncio
import re
from dataclasses import dataclass

from tests.bench.machine import LOAD_CORE, find_tool, pinned

CONNECTIONS = 64
BROWSER_HEAD = "browser_head.lua"


@dataclass(frozen=True, slots=True)
class Report:
    """What wrk measured.

    `refused` counts all answers but 2xx and 3xx, `broken` failed connects, reads, writes and
    waits of over two seconds.
    """

    per_second: float
    answered: int
    refused: int
    broken: int


async def run(url: str, seconds: float, script: str | None = None) -> Report:
    """One thread, `CONNECTIONS` connections, as fast as the answers come."""
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s"]
    if script is not None:
        options += ["-s", script]
    process = await asyncio.create_subprocess_exec(
        *pinned(LOAD_CORE),
        find_tool("wrk"),
        *options,
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(seconds + 30):
        output, _ = await process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"wrk failed: {output.decode()}")
    return read(output.decode())


def read(output: str) -> Report:
    """The numbers in wrk's report."""
    sockets = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output
    )
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return Report(
        per_second=float(_find(r"Requests/sec:\s+([\d.]+)", output)),
        answered=int(_find(r"(\d+) requests in", output)),
        refused=int(refused[1]) if refused else 0,
        broken=sum(map(int, sockets.groups())) if sockets else 0,
    )


def _find(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    if match is None:
        raise SystemExit(f"wrk's report lacks {pattern!r}:\n{output}")
    return match[1]
