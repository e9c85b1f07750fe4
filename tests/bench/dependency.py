"""What a sick coupon service does to the pages of the shop that calls it: see README.md.

python -m tests.bench.dependency [--quick] [--rounds 3] [--states dead slow] [--into FOLDER]
"""

import argparse
import asyncio
import math
import os
import tempfile
from pathlib import Path
from statistics import median

from tests.bench.dependency_run import DIRECT, PLAN_B, RATE, STATES, WELL, Outcome, run
from tests.bench.machine import LOAD_CORE, keep, table
from tests.bench.overload.compare import chosen

RESULTS = Path(__file__).with_name("DEPENDENCY.md")
GOAL = 1.2
"""The most that the p99 of pages may be, of that when all is well."""

Outcomes = dict[tuple[str, str], list[Outcome]]
"""By state, and by who stands before the service."""


def report(outcomes: Outcomes, rounds: int, seconds: float) -> str:
    """The tables, of medians, and whether the goal is met."""

    def middle(state: str, who: str, number: str) -> float:
        return float(median(getattr(each, number) for each in outcomes[state, who]))

    states = list(dict.fromkeys(state for state, _ in outcomes))
    normal = {who: middle(WELL, who, "p99") for who in (DIRECT, PLAN_B)}
    rows, missed = [], []
    for state in states:
        row = [state]
        for who in (DIRECT, PLAN_B):
            last = middle(state, who, "p99")
            ratio = last / normal[who]
            if who == PLAN_B and not ratio <= GOAL:
                missed.append(f"{state} ({ratio:.2f})")
            times = (middle(state, who, "p50"), last)
            row += [*map(_milliseconds, times), "" if math.isinf(ratio) else f"{ratio:.2f}"]
        rows.append(row)
    heads = [
        f"{who}: {what}" for who in (DIRECT, PLAN_B) for what in ("p50, ms", "p99, ms", "ratio")
    ]
    others = [
        [
            state,
            *(f"{middle(state, who, 'with_coupons'):.0%}" for who in (DIRECT, PLAN_B)),
            *(f"{middle(state, who, 'calls'):.2f}" for who in (DIRECT, PLAN_B)),
            _seconds(middle(state, PLAN_B, "back")),
        ]
        for state in states
    ]
    verdict = f"The goal, a p99 with Plan B of at most {GOAL} x that when all is well, is " + (
        f"missed: {'; '.join(missed)}." if missed else "met in every state."
    )
    told = (
        f"{RATE} pages a second, {seconds:g} s in each state from its first moment on, medians of "
        f"{rounds}. `ratio` is that of the p99 to the p99 when all is well."
    )
    late = max(each.late for many in outcomes.values() for each in many)
    own = (
        f"99 of 100 requests left at most {1000 * late:.1f} ms late in the worst run. Where that "
        "is more than a few, the machine was busy with something else, and the numbers say little."
    )
    kinds = ("pages with coupons", "calls per page")
    other_heads = [f"{who}: {what}" for what in kinds for who in (DIRECT, PLAN_B)]
    last_head = "coupons are back after, s"
    return "\n\n".join(
        [
            told,
            table(["the coupon service", *heads], rows),
            verdict,
            table(["the coupon service", *other_heads, last_head], others),
            own,
        ]
    )


def _milliseconds(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"{1000 * seconds:.0f}"


def _seconds(seconds: float) -> str:
    if math.isnan(seconds):
        return ""
    return "never" if math.isinf(seconds) else f"{seconds:.1f}"


async def measure(states: list[str], rounds: int, seconds: float, directory: Path) -> Outcomes:
    """All states, for both in turn, so that a noisy minute hits all."""
    outcomes: Outcomes = {}
    for number in range(rounds):
        for state in states:
            for who in (DIRECT, PLAN_B):
                folder = directory / f"{number}-{len(outcomes)}"
                folder.mkdir(exist_ok=True)
                outcome = await run(state, who, seconds, folder)
                outcomes.setdefault((state, who), []).append(outcome)
                print(f"round {number + 1}  {state:<40} {who:<8} {_told(outcome)}", flush=True)
    return outcomes


def _told(outcome: Outcome) -> str:
    return (
        f"p50 {_milliseconds(outcome.p50)} ms, p99 {_milliseconds(outcome.p99)} ms, "
        f"coupons {outcome.with_coupons:.0%}, calls {outcome.calls:.2f}, "
        f"back {_seconds(outcome.back)}, late {1000 * outcome.late:.1f} ms"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="dependency", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter, and each state once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--states",
        nargs="+",
        metavar="PART",
        help=f"those with a PART in their names, and {WELL}: {', '.join(STATES)} (all)",
    )
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help=f"write {RESULTS.name} there, and not here"
    )
    options = parser.parse_args()
    states = list(dict.fromkeys([WELL, *chosen(STATES, options.states)]))
    rounds, seconds = (1, 10.0) if options.quick else (options.rounds, 30.0)
    if (os.cpu_count() or 1) > LOAD_CORE:
        os.sched_setaffinity(0, {LOAD_CORE})
    with tempfile.TemporaryDirectory() as directory:
        outcomes = asyncio.run(measure(states, rounds, seconds, Path(directory)))
    text = report(outcomes, rounds, seconds)
    print(f"\n{text}")
    whole = states == STATES and not options.quick
    folder = options.into or (RESULTS.parent if whole else None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / RESULTS.name
        file.write_text("# A sick service\n\nWritten by `make bench-dependency`.\n")
        keep("Pages of a shop whose coupon service is sick", text, file)


if __name__ == "__main__":
    main()
