"""What happens in each run: who comes when, what happens to the shop, what is looked at."""

from dataclasses import dataclass

from tests.bench.overload.customers import Phase
from tests.bench.overload.shop import CAPACITY, MILLISECONDS, SLOTS

LOADS = (0.5, 1, 2, 5, 10, 20)
WARM_UP = 2.0
"""Seconds at the beginning of a run that don't count: limits that are found must be found."""

_TAIL = 0.3
"""Seconds at the end that don't count: the generator must be there when its time is read."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of run; times are seconds since its start.

    Figures are of `begin` to `end`, in which `reachable` requests a second could have been good.
    `events` are told to the shop at their times. `over` is when what went wrong is over: from there
    on recovery is timed. `rounds` says how often it is run.
    """

    name: str
    phases: tuple[Phase, ...]
    begin: float
    end: float
    reachable: float
    arrivals: str = "poisson"
    retries: int = 0
    events: tuple[tuple[float, str], ...] = ()
    over: float | None = None
    rounds: int = 1

    @property
    def seconds(self) -> float:
        """How long customers come."""
        return sum(phase.seconds for phase in self.phases)


def load_name(times: float) -> str:
    """The name of the case with so many times the capacity."""
    return f"load {times:g}x"


def _load(times: float, seconds: float, rounds: int) -> Case:
    return Case(
        load_name(times),
        (Phase(times * CAPACITY, WARM_UP + seconds + _TAIL),),
        WARM_UP,
        WARM_UP + seconds,
        min(1.0, times) * CAPACITY,
        rounds=rounds,
    )


def cases(*, quick: bool = False) -> tuple[Case, ...]:
    """All; with `quick` each once, and shorter."""
    long, half = (1.5, CAPACITY / 2) if quick else (3.0, CAPACITY / 2)
    wave_end = WARM_UP + (5 if quick else 10)
    wave = Case(
        WAVE,
        (
            Phase(half, WARM_UP),
            Phase(10 * CAPACITY, wave_end - WARM_UP),
            Phase(half, 4 if quick else 8),
        ),
        WARM_UP,
        wave_end,
        CAPACITY,
        retries=2,
        over=wave_end,
        rounds=1 if quick else 2,
    )
    halved_at = WARM_UP + 1
    halved = Case(
        HALVED,
        (Phase(2 * CAPACITY, halved_at + 2 * long + _TAIL),),
        halved_at,
        halved_at + 2 * long,
        CAPACITY / 2,
        arrivals="constant",
        events=((halved_at, f"slots {SLOTS // 2}"),),
    )
    leak_end = halved_at + 5
    leak = Case(
        LEAK,
        (Phase(0.8 * CAPACITY, leak_end + (2 if quick else 5)),),
        halved_at,
        leak_end,
        1000 * SLOTS / (3 * MILLISECONDS),
        arrivals="constant",
        events=((halved_at, "slow 3"), (leak_end, "slow 1")),
        over=leak_end,
    )
    loads = [_load(times, long, 3 if times == 10 and not quick else 1) for times in LOADS]
    return (*loads, wave, halved, leak)


WAVE, HALVED, LEAK = "wave of 10x with retries", "capacity halved", "leak: latency 3x"
