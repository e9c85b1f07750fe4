import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.warm_up import COLD_SPEED, WarmUpClock


def started(warm_up: float = 30.0) -> WarmUpClock:
    """A clock whose work starts at 100."""
    clock = WarmUpClock(warm_up)
    clock.busy(clock.read(100.0) + 1000.0)
    return clock


def test_the_speed_grows_linearly_from_a_third_to_the_whole() -> None:
    clock = started()
    speeds = [clock.speed(now) for now in (100.0, 115.0, 130.0, 200.0)]
    assert speeds == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0])


def test_the_slow_time_is_the_sum_of_the_speed() -> None:
    clock = started()
    steps = 3000
    passed = sum(
        clock.speed(100.0 + (step + 0.5) * 45.0 / steps) * 45.0 / steps for step in range(steps)
    )
    assert clock.read(145.0) - clock.read(100.0) == pytest.approx(passed)


def test_it_stays_cold_until_there_is_work() -> None:
    clock = WarmUpClock(30.0)
    clock.read(0.0)
    clock.read(1000.0)
    assert clock.speed(1000.0) == pytest.approx(COLD_SPEED)


def test_it_is_cold_again_after_a_rest_as_long_as_the_warm_up() -> None:
    clock = started()
    rest_begins = 100.0
    while clock.read(rest_begins) < clock._busy_until:
        rest_begins += 1.0
    clock.read(rest_begins + 28.0)
    assert clock.speed(rest_begins + 28.0) == 1.0
    clock.read(rest_begins + 31.0)
    assert clock.speed(rest_begins + 31.0) == pytest.approx(COLD_SPEED)


def test_becoming_cold_does_not_move_the_hand() -> None:
    clock = started(warm_up=2.0)
    before = clock.read(2000.0)
    assert clock.read(2000.0) == pytest.approx(before)
    assert clock.speed(2000.0) == pytest.approx(COLD_SPEED)


def test_a_clock_made_warm_shows_the_real_time_at_full_speed() -> None:
    clock = WarmUpClock(30.0, warm_at=500.0)
    assert clock.read(500.0) == pytest.approx(500.0)
    assert clock.read(510.0) == pytest.approx(510.0)
    assert clock.speed(500.0) == pytest.approx(1.0)


SECONDS = st.floats(0.0, 200.0)


@given(st.floats(0.1, 100.0), SECONDS, SECONDS)
def test_real_seconds_tells_when_the_slow_time_will_have_come(
    warm_up: float, age: float, slow_seconds: float
) -> None:
    clock = started(warm_up)
    now = 100.0 + age
    slow = clock.read(now)
    later = now + clock.real_seconds(slow_seconds, now)
    assert clock.read(later) - slow == pytest.approx(slow_seconds, abs=1e-9)


@given(st.floats(0.1, 20.0), st.lists(st.tuples(SECONDS, st.booleans()), max_size=50))
def test_it_never_goes_faster_than_real_time_nor_back(
    warm_up: float, steps: list[tuple[float, bool]]
) -> None:
    clock = WarmUpClock(warm_up)
    now, slow = 0.0, clock.read(0.0)
    for pause, work in steps:
        earlier, now = slow, now + pause
        slow = clock.read(now)
        assert -1e-9 <= slow - earlier <= pause + 1e-9
        if work:
            clock.busy(slow)
