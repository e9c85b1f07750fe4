"""The algorithms side by side, in all trials: python -m tests.simulation.compare

That one wins that gets the most of what is within reach in the worst of its trials: nobody knows
beforehand which of them a shop will be.
"""

from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import fmean

from tests.bench.machine import table
from tests.simulation.candidates import CANDIDATES
from tests.simulation.trials import OURS, TRIALS, Outcome, run

SEEDS = (1, 2)


def _cell(outcomes: list[Outcome]) -> str:
    share = fmean(each.share for each in outcomes)
    within = fmean(each.within for each in outcomes)
    refused = sum(each.refused for each in outcomes)
    text = f"{100.0 * share:.0f} %, {1000.0 * within:.0f} ms"
    return f"{text}, {refused} refused" if refused else text


def _worst(trials: list[list[Outcome]]) -> str:
    worst = min(fmean(each.share for each in outcomes) for outcomes in trials)
    return f"{100.0 * worst:.0f} %"


def main() -> None:
    """The command."""
    names = [OURS, *CANDIDATES]
    cases = list(product(range(len(TRIALS)), names, SEEDS))
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(cases, pool.map(run, *zip(*cases, strict=True)), strict=True))
    outcomes = {
        name: [[found[number, name, seed] for seed in SEEDS] for number in range(len(TRIALS))]
        for name in names
    }
    rows = [
        [label, *(_cell(outcomes[name][number]) for name in names)]
        for number, (label, _) in enumerate(TRIALS)
    ]
    rows.append(["worst trial", *(_worst(outcomes[name]) for name in names)])
    print(table(["", *names], rows))


if __name__ == "__main__":
    main()
