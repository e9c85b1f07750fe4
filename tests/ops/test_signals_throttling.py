from pathlib import Path

import pytest

from proxy.ops.signals_system import Unreadable
from proxy.ops.signals_throttling import Throttling


def growth(folder: Path, throttled: int, periods: int, seconds: float) -> float | None:
    """The share after a second in which the counters have grown by so much."""
    stat = folder / "cpu.stat"
    text = "nr_periods {}\nnr_throttled {}\nthrottled_usec {}\n"
    stat.write_text(text.format(500, 70, 9_000_000))
    throttling = Throttling(stat, b"throttled_usec", 1e6)
    assert throttling.share(100.0) is None
    stat.write_text(text.format(500 + periods, 70 + throttled, 9_000_000 + round(seconds * 1e6)))
    return throttling.share(101.0)


def test_a_moment_at_each_period_s_end_is_no_throttled_second(tmp_path: Path) -> None:
    assert growth(tmp_path, throttled=10, periods=10, seconds=0.01) == pytest.approx(0.01)


def test_many_cpus_that_stand_together_are_one_group_that_stands(tmp_path: Path) -> None:
    assert growth(tmp_path, throttled=4, periods=10, seconds=8.0) == pytest.approx(0.4)


def test_a_group_that_stands_all_the_time_does(tmp_path: Path) -> None:
    assert growth(tmp_path, throttled=10, periods=10, seconds=16.0) == 1.0


def test_of_a_group_that_did_nothing_nothing_is_said(tmp_path: Path) -> None:
    assert growth(tmp_path, throttled=0, periods=0, seconds=0.0) is None


def test_a_value_holds_until_the_next_period_must_have_ended(tmp_path: Path) -> None:
    stat = tmp_path / "cpu.stat"
    stat.write_text("nr_periods 1\nnr_throttled 1\nthrottled_usec 0\n")
    throttling = Throttling(stat, b"throttled_usec", 1e6)
    assert throttling.share(100.0) is None
    stat.write_text("nr_periods 2\nnr_throttled 2\nthrottled_usec 500000\n")
    shares = [throttling.share(101.0 + sample / 4) for sample in range(12)]
    # A second in which that period is known of, and as long again as the next one may take.
    assert shares[0] == 0.5
    assert shares[3] == shares[7] == pytest.approx(0.5 / 1.75)
    assert shares[8:] == [None] * 4


@pytest.mark.parametrize("missing", ["nr_periods", "nr_throttled", "throttled_usec"])
def test_a_missing_count_is_unreadable(tmp_path: Path, missing: str) -> None:
    stat = tmp_path / "cpu.stat"
    names = {"nr_periods", "nr_throttled", "throttled_usec"} - {missing}
    stat.write_text("".join(f"{name} 1\n" for name in names))
    with pytest.raises(Unreadable, match=f"no {missing}"):
        Throttling(stat, b"throttled_usec", 1e6).share(1.0)
