"""Both lanes side by side: whatever is sent through both must have the same outcome."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from difflib import ndiff
from pathlib import Path
from types import TracebackType
from typing import Self

import uvloop

from tests.parity.cases import Case
from tests.parity.lanes import RULES, Lane, Outcome

MOST_TOLD = 5
"""Differences that are told of a series of cases."""


class DifferentError(AssertionError):
    """The lanes differ."""


class Pair:
    """The full lane, which is the reference, and the express lane: `with Pair(folder) as pair`."""

    def __init__(self, directory: Path, *, express_rules: str = RULES) -> None:
        folders = directory / "full", directory / "express"
        for folder in folders:
            folder.mkdir()
        self.lanes = (
            Lane(folders[0], express=False),
            Lane(folders[1], express=True, rules=express_rules),
        )
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)

    def __enter__(self) -> Self:
        for lane in self.lanes:
            self._runner.run(lane.start())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for lane in self.lanes:
            self._runner.run(lane.stop())
        self._runner.close()

    @contextlib.contextmanager
    def draining(self) -> Iterator[None]:
        """Meanwhile both sidecars have been told to end."""
        for lane in self.lanes:
            lane.engine.draining = True
        yield
        for lane in self.lanes:
            lane.engine.draining = False

    def compare(self, case: Case) -> None:
        """Send `case` through both lanes. Raises DifferentError."""
        self._runner.run(self._compare([case], None))

    def compare_cuts(self, whole: Case, cuts: Iterable[Case]) -> None:
        """Send all `cuts`, which are `whole` in other pieces, through both lanes.

        Raises DifferentError.
        """
        self._runner.run(self._compare(cuts, whole))

    async def _compare(self, cases: Iterable[Case], whole: Case | None) -> None:
        full, express = self.lanes
        like: Outcome | None = None
        if whole is not None:
            like = await full.send(whole)
            # What the one has counted changes what it says next: how long to wait, say.
            await express.send(whole, like)
        different: list[str] = []
        for case in cases:
            expected = await full.send(case, like)
            found = await express.send(case, expected)
            if found.lines != expected.lines:
                different.append(_difference(case, expected, found))
        if different:
            raise DifferentError("\n\n".join([f"{len(different)} differ", *different[:MOST_TOLD]]))


def _difference(case: Case, full: Outcome, express: Outcome) -> str:
    lines = [f"{case!r}", "  (- is of the full lane only, + of the express lane only)"]
    return "\n".join([*lines, *ndiff(full.lines, express.lines)])
