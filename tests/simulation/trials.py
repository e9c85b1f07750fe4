"""The trials of an algorithm: each a street, a course of events, and what could be reached."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.simulation.candidates import candidate
from tests.simulation.shop import Answer
from tests.simulation.street import Street
from tests.simulation.visitors import Kind

Make = Callable[..., Street]

OURS = "Plan B"


@dataclass(frozen=True)
class Outcome:
    """`share` is that of the answers within 250 ms that were within reach; `refused` are those
    that would not have had to be; `within` is the 99th percentile of successes, in seconds.
    """

    share: float
    within: float
    refused: int
    limit: int


EXPONENTIAL = (Kind(work=lambda draw: Answer(draw.expovariate(50.0))),)
SLOW = (Kind(work=lambda _: Answer(0.1)),)
FAST_AND_SLOW = (Kind(work=lambda draw: Answer(0.005 if draw.random() < 0.8 else 0.08)),)


def _outcome(street: Street, begin: float, reach: float = 1.0, *, load: float = 10.0) -> Outcome:
    """From `begin` on, when `reach` times the capacity was within reach."""
    tally = street.account.between(begin, street.now)
    share = street.share(begin, street.now) / min(load, reach)
    refused = len(tally.refusals) if load < reach else 0
    return Outcome(share, tally.success_within(0.99), refused, street.limit)


def steady(load: float, seconds: float = 6.0, **street_of: object) -> Callable[[Make], Outcome]:
    """The same load all the time; the first two seconds don't count."""

    def run(make: Make) -> Outcome:
        street = make(**street_of)
        street.run(seconds, load)
        return _outcome(street, 2.0, load=load)

    return run


def change(
    *, load: float, reach: float, slots: int = 20, slower: float = 1.0, after: float = 1.0
) -> Callable[[Make], Outcome]:
    """The shop is another one after 4 s; measured from `after` seconds later on, for 4 s."""

    def run(make: Make) -> Outcome:
        street = make()
        street.run(4.0, load)
        street.shop.slots, street.shop.slower = slots, slower
        street.run(4.0 + after)
        return _outcome(street, 4.0 + after, reach, load=load)

    return run


def recovery(*, slots: int = 20, slower: float = 1.0) -> Callable[[Make], Outcome]:
    """The shop is worse for 5 s under ten times its capacity; measured for 4 s from 1 s after."""

    def run(make: Make) -> Outcome:
        street = make()
        street.run(4.0, 10.0)
        street.shop.slots, street.shop.slower = slots, slower
        street.run(5.0)
        street.shop.slots, street.shop.slower = 20, 1.0
        street.run(5.0)
        return _outcome(street, 10.0)

    return run


TRIALS: Sequence[tuple[str, Callable[[Make], Outcome]]] = (
    ("0.5 x", steady(0.5)),
    ("0.5 x, exponential", steady(0.5, kinds=EXPONENTIAL)),
    ("0.5 x, fast and slow", steady(0.5, kinds=FAST_AND_SLOW)),
    ("0.9 x", steady(0.9)),
    ("1.2 x for 30 s", steady(1.2, 30.0)),
    ("2 x for 30 s, exponential", steady(2.0, 30.0, kinds=EXPONENTIAL)),
    ("10 x", steady(10.0)),
    ("10 x, exponential", steady(10.0, kinds=EXPONENTIAL)),
    ("10 x, fast and slow", steady(10.0, kinds=FAST_AND_SLOW)),
    ("10 x, contention 1 %", steady(10.0, contention=0.01)),
    ("10 x, 1 slot", steady(10.0, 20.0, slots=1)),
    ("10 x, 4 slots", steady(10.0, slots=4)),
    ("3 x, 200 slots", steady(3.0, slots=200)),
    ("10 x, 20 slots of 100 ms", steady(10.0, 20.0, work=0.1, kinds=SLOW)),
    ("5 x, 4 sidecars for 20 s", steady(5.0, 20.0, sidecars=4)),
    ("5 x, half of the slots", change(load=5.0, reach=0.5, slots=10)),
    ("5 x, work takes twice as long", change(load=5.0, reach=0.5, slower=2.0)),
    ("10 x, three times as long", change(load=10.0, reach=1 / 3, slower=3.0)),
    ("10 x, back from three times", recovery(slower=3.0)),
    ("10 x, back from half the slots", recovery(slots=10)),
)  # fmt: skip


def run(trial: int, name: str, seed: int) -> Outcome:
    """How the algorithm `name` fares in a trial."""

    def make(**street_of: object) -> Street:
        street = Street(seed=seed, **street_of)  # type: ignore[arg-type]
        if name != OURS:
            for number, sidecar in enumerate(street.sidecars):
                sidecar.adaptive.algorithm = candidate(name, seed + number)
        return street

    return TRIALS[trial][1](make)
