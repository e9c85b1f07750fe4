import math

import pytest

from proxy.surge.words import duration, per_second, percent, times


@pytest.mark.parametrize(
    ("rate", "text"),
    [(0.0, "0/s"), (0.46, "0.5/s"), (9.94, "9.9/s"), (9.96, "10/s"), (1599.6, "1,600/s")],
)
def test_a_rate(rate: float, text: str) -> None:
    assert per_second(rate) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00062, "0.6 ms"),
        (0.00994, "9.9 ms"),
        (0.00996, "10 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (math.nan, ""),
    ],
)
def test_a_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_ratio() -> None:
    assert [times(ratio) for ratio in (0.333, 1.0, 9.96, 1000.0)] == ["0.33", "1", "10", "1,000"]
    assert percent(0.987) == "99 %"
