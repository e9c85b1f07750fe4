import random
from collections import deque
from collections.abc import Sequence
from itertools import pairwise

import pytest

from proxy.policy.shed_level import DWELL, FALL, RISE, ShedLevel
from proxy.policy.signals import DEFAULT_THRESHOLDS, pressure

STEP = 0.25
CPU = DEFAULT_THRESHOLDS["cpu"]


def follow(level: ShedLevel, wanted: float, seconds: float, start: float) -> float:
    """Samples of the same pressure for so long; when it ended."""
    for _ in range(round(seconds / STEP)):
        start += STEP
        level.follow(wanted, "cpu", start)
    return start


def test_it_rises_to_what_is_wanted_and_no_further() -> None:
    level = ShedLevel()
    follow(level, 1.5, 2.0, 0.0)
    assert 0.0 < level.level < 1.5
    follow(level, 1.5, 8.0, 2.0)
    assert level.level == 1.5
    assert level.blame == "cpu"


def test_one_sample_that_jumps_changes_nothing() -> None:
    level = ShedLevel()
    now = follow(level, 0.0, 5.0, 0.0)
    level.follow(4.0, "loop_lag", now + STEP)
    level.follow(0.0, "", now + 2 * STEP)
    assert level.level == 0.0


@pytest.mark.parametrize(
    ("peaks", "calm", "others", "most"),
    [
        (2, 2, 0.0, 2.0),
        (5, 3, 0.0, 2.5),
        (3, 1, 0.0, 3.0),
        (8, 8, 0.0, 3.0),
        (9, 16, 0.0, 2.25),
        (12, 12, 0.0, 3.0),
        (14, 14, 0.0, 3.5),
        (2, 2, 0.1, 2.0),
        (12, 12, 0.1, 3.0),
        (9, 16, 1.9, 3.9),
    ],
)
def test_a_signal_that_jumps_for_ever_does_not_lock_the_door(
    peaks: int, calm: int, others: float, most: float
) -> None:
    """So many samples `refuse`, so many ask for what other signals do, for ten minutes."""
    level, levels, now = ShedLevel(), list[float](), 0.0
    while now < 600.0:
        for wanted in [4.0] * peaks + [others] * calm:
            now += STEP
            level.follow(wanted, "loop_lag", now)
            levels.append(level.level)
    assert 0.0 < max(levels) <= most
    follow(level, 0.0, 20.0, now)
    assert level.level == 0.0


def test_nobody_is_served_four_seconds_after_the_last_threshold() -> None:
    level = ShedLevel()
    follow(level, 4.0, 4.0, 0.0)
    assert level.level == 4.0


def test_it_falls_more_slowly_than_it_rose_and_not_at_once() -> None:
    level = ShedLevel()
    now = follow(level, 2.0, 10.0, 0.0)
    now = follow(level, 0.0, DWELL - STEP, now)
    assert level.level == 2.0
    now = follow(level, 0.0, 1.0, now)
    assert 2.0 - FALL <= level.level < 2.0
    follow(level, 0.0, 10.0, now)
    assert level.level == 0.0
    assert FALL < RISE


def test_time_that_jumps_back_moves_nothing() -> None:
    level = ShedLevel()
    now = follow(level, 2.0, 10.0, 1000.0)
    level.follow(0.0, "", 0.0)
    assert level.level == 2.0
    follow(level, 0.0, 20.0, now)
    assert level.level == 0.0


def test_new_rules_hold_at_once() -> None:
    level = ShedLevel()
    now = follow(level, 4.0, 10.0, 0.0)
    level.jump(3.0, "load", now)
    assert (level.level, level.blame) == (3.0, "load")
    level.jump(0.0, "", now)
    assert level.level == 0.0


@pytest.mark.parametrize("mean", [0.74, 0.78, 0.82, 0.86])
def test_noise_does_not_flap(mean: float) -> None:
    """In ten minutes with 2 % of noise, which is half a priority, hardly anybody notices."""
    noise = random.Random(7)
    level, levels = ShedLevel(), list[float]()
    for sample in range(2400):
        level.follow(pressure(noise.gauss(mean, 0.02), CPU), "cpu", sample * STEP)
        levels.append(level.level)
    settled = levels[80:]
    assert max(settled) - min(settled) < 0.6
    places = [place / 20 for place in range(80)]
    assert sum(changes(settled, place) > 0 for place in places) <= 12
    assert max(changes(settled, place) for place in places) < 2400 * STEP / 4


def changes(levels: Sequence[float], place: float) -> int:
    """How often a client at this place was served and then shed, or the other way round."""
    return sum((a > place) != (b > place) for a, b in pairwise(levels))


class Shop:
    """What responds to what is admitted: its utilisation is the mean of a second, told `late`
    seconds later, and measured with an error of 3 %.
    """

    def __init__(self, demand: Sequence[float], late: float = 0.0) -> None:
        self.demand = demand
        self.level = ShedLevel()
        self.now = 0.0
        self.loads: list[float] = []
        self.levels: list[float] = []
        self._seen: deque[float] = deque([0.0] * (4 + round(late / STEP)), 4 + round(late / STEP))
        self._noise = random.Random(1)

    def run(self, seconds: float, times: float) -> None:
        """So long with so many times of what the shop can serve."""
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            load = times * sum(
                share * (1.0 - min(1.0, max(0.0, self.level.level - priority)))
                for priority, share in enumerate(self.demand)
            )
            self._seen.append(load)
            used = min(1.0, sum(list(self._seen)[:4]) / 4)
            measured = min(1.0, max(0.0, self._noise.gauss(used, 0.03)))
            self.level.follow(pressure(measured, CPU), "cpu", self.now)
            self.loads.append(min(1.0, load))
            self.levels.append(self.level.level)

    def served(self) -> float:
        """The share of what it can serve that it did serve, after 20 seconds."""
        settled = self.loads[80:]
        return sum(settled) / len(settled)


# Of all requests, from low to critical.
SALE = (0.40, 0.35, 0.20, 0.05)
EVEN = (0.25, 0.25, 0.25, 0.25)


@pytest.mark.parametrize("demand", [SALE, EVEN])
def test_below_the_first_threshold_nothing_is_shed(demand: Sequence[float]) -> None:
    shop = Shop(demand)
    shop.run(120.0, 0.6)
    assert max(shop.levels) == 0.0


@pytest.mark.parametrize("times", [1.0, 1.5, 2.0, 5.0, 10.0, 20.0])
@pytest.mark.parametrize("demand", [SALE, EVEN])
def test_a_shop_with_too_much_load_is_kept_busy_between_the_thresholds(
    demand: Sequence[float], times: float
) -> None:
    """It sheds from 75 % on, so that is what it can be expected to leave."""
    shop = Shop(demand)
    shop.run(120.0, times)
    assert CPU.start < shop.served() < CPU.refuse
    assert min(shop.loads[80:]) > 0.7


def test_it_settles_and_most_clients_have_whole_visits() -> None:
    shop = Shop(SALE)
    shop.run(240.0, 2.0)
    settled = shop.levels[80:]
    assert max(settled) - min(settled) < 0.3
    assert sum(changes(settled, place / 20) > 0 for place in range(80)) <= 6


def test_critical_ones_are_served_throughout_while_they_fit() -> None:
    shop = Shop(SALE)
    shop.run(120.0, 10.0)
    assert max(shop.levels[80:]) <= 3.0


@pytest.mark.parametrize(("times", "least"), [(1.5, 0.7), (2.0, 0.65), (5.0, 0.5)])
def test_a_shop_that_tells_its_load_a_second_later_is_still_served(
    times: float, least: float
) -> None:
    shop = Shop(SALE, late=1.0)
    shop.run(240.0, times)
    assert shop.served() > least
    assert max(shop.levels[80:]) < 4.0


def test_a_wave_upon_a_settled_load_is_met_at_once() -> None:
    shop = Shop(SALE)
    shop.run(120.0, 1.5)
    shop.run(4.0, 10.0)
    assert shop.level.level > 2.5


def test_all_is_open_a_third_of_a_minute_after_the_wave() -> None:
    shop = Shop(SALE)
    shop.run(60.0, 10.0)
    shop.run(20.0, 0.5)
    assert shop.level.level == 0.0
