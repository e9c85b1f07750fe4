"""The legacy shop (shop.c) in a process of its own, told what to do while it runs."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.machine import pinned

SLOTS, MILLISECONDS = 20, 20
CAPACITY = 1000 * SLOTS / MILLISECONDS
"""Requests a second that it can serve, as long as nobody waits in it."""


class Counts(NamedTuple):
    """What it has done: `wasted` answers found that the client had left."""

    served: int
    wasted: int
    waiting: int
    most_waiting: int
    busy: int
    accepted: int
    late_us: int
    """By how much answers were late, all together: the shop's own fault, not its queue's."""


class Shop:
    """Lets a run change it and ask it."""

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        self.port = port
        self._process = process

    async def tell(self, command: str) -> None:
        """`slots N` or `slow X`: at once, for what begins from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        await self._process.stdin.drain()

    async def counts(self) -> Counts:
        """What it has done until now."""
        await self.tell("counts")
        return Counts(**await _numbers(self._process))


@contextlib.asynccontextmanager
async def running_shop(
    program: Path, core: int, slots: int = SLOTS, milliseconds: float = MILLISECONDS
) -> AsyncIterator[Shop]:
    """A fresh one, for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        *(*pinned(core), str(program), "0", str(slots), str(milliseconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Shop((await _numbers(process))["port"], process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _numbers(process: asyncio.subprocess.Process) -> dict[str, int]:
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    if not line:
        raise SystemExit(f"the shop has ended with {await process.wait()}")
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}
