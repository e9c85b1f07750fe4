"""Who comes to the shop, and what became of them: runs load.c and reads what it wrote."""

import asyncio
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.machine import LOAD_CORE, pinned

PATIENCE = 1.0
"""Seconds after which a customer leaves."""

LEFT, BROKEN, UNSENT = 0, 1, 2
"""Outcomes that are no status: out of patience; refused or reset by the peer, or no HTTP; no
descriptor or port was free for a connection.
"""

_RECORD = struct.Struct("<QIIIHBB")  # as load.c has it
_LAST = 128


class Kind(NamedTuple):
    """What is asked for by so many of all `weight`s."""

    name: str
    weight: float
    path: str


KINDS = (
    Kind("critical", 5, "/checkout"),
    Kind("high", 15, "/items/7"),
    Kind("normal", 50, "/search"),
    Kind("low", 30, "/recommendations"),
)
"""Named for the priority that a contender who knows priorities gives them."""


class Phase(NamedTuple):
    """So many visits a second, for so many seconds."""

    rate: float
    seconds: float


class Attempt(NamedTuple):
    """One request and its outcome. All times are seconds.

    `due` is when its visit should have begun, since the run's start; `wait` counts from when this
    attempt should have been made, `total` from `due`. `late` is by how much the generator itself
    sent it too late. `kind` counts in the kinds that were asked for; `last` means that the visit
    ended with it.
    """

    due: float
    wait: float
    total: float
    late: float
    outcome: int
    kind: int
    number: int
    last: bool


async def customers(
    program: Path,
    port: int,
    phases: Sequence[Phase],
    records: Path,
    *,
    start: float,
    kinds: Sequence[Kind] = KINDS,
    arrivals: str = "poisson",
    retries: int = 0,
    patience: float = PATIENCE,
    seed: int = 1,
) -> list[Attempt]:
    """All attempts, in the order of their ends. `start` is a time of `time.monotonic`."""
    arguments = [
        f"port={port}",
        f"records={records}",
        f"start={start:.6f}",
        f"arrivals={arrivals}",
        f"patience={patience}",
        f"retries={retries}",
        f"seed={seed}",
        *(f"phase={phase.rate},{phase.seconds}" for phase in phases),
        *(f"kind={kind.weight},{kind.path}" for kind in kinds),
    ]
    process = await asyncio.create_subprocess_exec(
        *pinned(LOAD_CORE),
        str(program),
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(sum(phase.seconds for phase in phases) + 30):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise SystemExit(f"the load generator failed: {errors.decode()}")
    return read(records)


def read(records: Path) -> list[Attempt]:
    """What load.c wrote."""
    return [
        Attempt(
            due / 1e6,
            wait / 1e6,
            total / 1e6,
            late / 1e6,
            outcome,
            kind,
            number & ~_LAST,
            bool(number & _LAST),
        )
        for due, wait, total, late, outcome, kind, number in _RECORD.iter_unpack(
            records.read_bytes()
        )
    ]
