"""How much a server serves, found by asking gently: what "ten times" is ten times of.

Closed loop: a few visitors, each with one request at a time, and twice as many in each round until
more of them are not served more. The knee of that curve is the capacity (Gunther, "Guerrilla
Capacity Planning", 2007, ch. 4-6). A server can't be overrun in this way: no visitor asks again
before it has answered.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from proxy.surge.connection import Outcome
from proxy.surge.result import REFUSED, SERVED
from proxy.surge.target import Target, TargetError
from proxy.surge.visitor import Visitor

ROUNDS = (4, 8, 16, 32, 64)
"""Visitors, until one more round is not worth it."""
SETTLE, MEASURE = 0.3, 0.8
"""Seconds of a round that do not count, and that do."""
SETTLE_LIMITED = 1.2
"""The same for a server that refuses: what its limits let pass in a burst must be worked off."""
WORTH_A_ROUND = 1.1
"""Who serves less than so many times what it served to half the visitors is at its knee."""
BACK_OFF = 0.1
"""Seconds that a refused visitor waits, so that this is no flood."""
PATIENCE = 3.0
"""Seconds that a visitor waits for an answer."""


_ENOUGH = 20
"""Answers in a round's measured part; a server that gives fewer is judged by the whole round."""


@dataclass(slots=True)
class _Round:
    """What came of one round; `measured` were served after it had settled."""

    measured: int = 0
    seconds: float = 0.0
    outcomes: Counter[Outcome] = field(default_factory=Counter)

    @property
    def refused(self) -> bool:
        return any(outcome in REFUSED for outcome in self.outcomes)

    @property
    def rate(self) -> float:
        """Served a second."""
        if self.measured >= _ENOUGH:
            return self.measured / MEASURE
        return sum(self.outcomes[each] for each in self.outcomes if each in SERVED) / self.seconds


async def measure_capacity(target: Target) -> float:
    """Requests that `target` serves a second: takes 2 to 6 seconds.

    Raises TargetError when nothing is served at all.
    """
    best = 0.0
    for visitors in ROUNDS:
        found = await _round(target, visitors)
        if found.refused:
            # It has a limit, beyond which it can't be driven: the rest of the curve is flat.
            limited = await _round(target, ROUNDS[-1], SETTLE_LIMITED)
            best = limited.rate or found.rate
            break
        enough = found.rate < WORTH_A_ROUND * best
        best = max(found.rate, best)
        if enough or not best:
            break
    if not best:
        raise TargetError(_why_none(target, found.outcomes))
    return best


async def _round(target: Target, visitors: int, settle: float = SETTLE) -> _Round:
    found = _Round()
    started = time.perf_counter()
    counts_from = started + settle
    ends_at = counts_from + MEASURE
    async with asyncio.TaskGroup() as group:
        for number in range(visitors):
            group.create_task(_visit(target, number, found, counts_from, ends_at))
    found.seconds = time.perf_counter() - started
    return found


async def _visit(
    target: Target, number: int, found: _Round, counts_from: float, ends_at: float
) -> None:
    async with Visitor(target, PATIENCE) as visitor:
        while time.perf_counter() < ends_at:
            outcome = await visitor.ask(target.requests[number % len(target.requests)])
            number += 1
            now = time.perf_counter()
            found.outcomes[outcome] += 1
            if outcome in SERVED:
                found.measured += counts_from <= now < ends_at
            else:
                await asyncio.sleep(BACK_OFF)


def _why_none(target: Target, outcomes: Counter[Outcome]) -> str:
    ((outcome, _),) = outcomes.most_common(1)
    advice = "Is it still busy with a surge before? A --rate makes do without a measurement"
    if outcome in REFUSED:
        why = f"refuses everything ({outcome})"
    elif isinstance(outcome, int):
        why, advice = f"answers {outcome}", "Name a URL that it serves"
    elif outcome == "timeout":
        why = f"gives no answer within {PATIENCE:g} s"
    else:
        why = "closes connections without an answer"
    return f"{target.name} {why}, so that what it can serve can't be measured. {advice}"
