"""A server in a process of its own, on one core, for as long as a block lasts."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import pinned

_START_WITHIN = 10.0
_LEAVE_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class Running:
    """Where it listens, and the process's id (its children's not)."""

    port: int
    pid: int


@contextlib.asynccontextmanager
async def serving(
    command: Sequence[str], port: int, core: int, output: Path
) -> AsyncIterator[Running]:
    """Start `command`, wait until it listens on `port`, and end it with the block.

    What it prints goes into the file `output`.
    """
    with output.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *pinned(core), *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        await _listening(process, port, output)
        yield Running(port, process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(_LEAVE_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def free_port() -> int:
    """A port that was free a moment ago: most servers can't be asked which one they took."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _listening(process: asyncio.subprocess.Process, port: int, output: Path) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_WITHIN):
            while process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return
    raise SystemExit(f"a server did not start:\n{_end_of(output)}")


def _end_of(file: Path) -> str:
    return file.read_text(errors="replace")[-2000:]
