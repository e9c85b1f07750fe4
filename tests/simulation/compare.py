"""The algorithms side by side, in all trials: python -m tests.simulation.compare"""

from concurrent.futures import ProcessPoolExecutor
from itertools import product
from statistics import fmean

from tests.bench.machine import table
from tests.simulation.candidates import CANDIDATES
from tests.simulation.street import Street
from tests.simulation.trials import TRIALS, Outcome

OURS = "Plan B"
SEEDS = (1, 2)


def outcome(trial: int, name: str, seed: int) -> Outcome:
    """How `name` fares in a trial."""

    def make(**street_of: object) -> Street:
        street = Street(seed=seed, **street_of)  # type: ignore[arg-type]
        if name != OURS:
            for sidecar in street.sidecars:
                sidecar.adaptive.algorithm = CANDIDATES[name]()
        return street

    return TRIALS[trial][1](make)


def _cell(outcomes: list[Outcome]) -> str:
    share = fmean(each.share for each in outcomes)
    within = fmean(each.within for each in outcomes)
    refused = sum(each.refused for each in outcomes)
    text = f"{100.0 * share:.0f} %, {1000.0 * within:.0f} ms"
    return f"{text}, {refused} refused" if refused else text


def main() -> None:
    """The command."""
    names = [OURS, *CANDIDATES]
    cases = list(product(range(len(TRIALS)), names, SEEDS))
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(cases, pool.map(outcome, *zip(*cases, strict=True)), strict=True))
    rows = [
        [label, *(_cell([found[number, name, seed] for seed in SEEDS]) for name in names)]
        for number, (label, _) in enumerate(TRIALS)
    ]
    print(table(["", *names], rows))


if __name__ == "__main__":
    main()
