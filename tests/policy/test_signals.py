from itertools import pairwise
from math import inf, nan

import pytest

from proxy.policy.signals import DEFAULT_THRESHOLDS, pressure
from proxy.policy.snapshot import Threshold

CPU = DEFAULT_THRESHOLDS["cpu"]


@pytest.mark.parametrize(
    ("value", "shed"),
    [
        (0.0, 0.0),
        (0.75, 0.0),
        (0.80, 1.5),
        (0.85, 3.0),
        (0.875, 3.5),
        (0.90, 4.0),
        (1.0, 4.0),
    ],
)
def test_the_higher_a_signal_the_more_priorities_are_to_go(value: float, shed: float) -> None:
    assert pressure(value, CPU) == pytest.approx(shed)


def test_the_seed_numbers_of_the_product_refuse_everything() -> None:
    assert pressure(0.90, DEFAULT_THRESHOLDS["cpu"]) == 4.0
    assert pressure(2.0, DEFAULT_THRESHOLDS["load"]) == 4.0


@pytest.mark.parametrize("value", [nan, inf, -inf, -1.0, 1e300, 901.0])
def test_what_can_t_be_a_measurement_presses_not_at_all(value: float) -> None:
    assert pressure(value, CPU) == 0.0


def test_no_value_presses_less_than_a_smaller_one() -> None:
    threshold = Threshold(0.02, 0.1, 0.5)
    pressures = [pressure(step / 1000, threshold) for step in range(600)]
    assert all(low <= high for low, high in pairwise(pressures))
    assert (pressures[0], pressures[-1]) == (0.0, 4.0)


def test_default_thresholds_rise() -> None:
    for threshold in DEFAULT_THRESHOLDS.values():
        assert 0.0 < threshold.start < threshold.full < threshold.refuse
