"""The timing wheel, with a clock that is set."""

import asyncio
from collections.abc import Callable
from math import inf
from typing import cast

import pytest

from proxy.lanes.deadlines import LONGEST_LOOK, TICK, Deadline, DeadlineWheel
from tests.lanes.fake_loop import Loop


class Dues:
    """When a deadline was due; `then` is called at each."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.then: Callable[[float], None] | None = None

    def __call__(self, now: float) -> None:
        self.times.append(now)
        if self.then is not None:
            self.then(now)


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def wheel(loop: Loop) -> DeadlineWheel:
    return DeadlineWheel(cast("asyncio.AbstractEventLoop", loop), loop.clock)


def _known(wheel: DeadlineWheel) -> int:
    return sum(len(slot) for slot in wheel._slots.values())


@pytest.mark.parametrize("delay", [0.0, 0.001, TICK, 0.05, 10 * TICK, 1.0, 75.0, 86400.0])
def test_it_is_due_once_never_early_and_at_most_a_tick_late(
    loop: Loop, wheel: DeadlineWheel, delay: float
) -> None:
    due = Dues()
    at = loop.now + delay
    Deadline(wheel, due).set(at)
    loop.run_until(at - 1e-6)
    assert due.times == []
    loop.run_until(at + TICK + 1e-6)
    assert len(due.times) == 1
    assert at <= due.times[0] <= at + TICK + 1e-6
    loop.run_until(at + 1000.0)
    assert len(due.times) == 1
    assert loop.timers == []
    assert not wheel._slots
    assert not wheel._numbers


def test_what_is_put_off_is_not_due_before(loop: Loop, wheel: DeadlineWheel) -> None:
    due = Dues()
    deadline = Deadline(wheel, due)
    for second in range(100):
        loop.run_until(1000.0 + second)
        deadline.set(loop.now + 5.0)
    assert due.times == []
    # Putting off is free: there is a look when a moment waited for has come, every 5 seconds.
    assert loop.calls <= 50
    loop.run_until(1200.0)
    (at,) = due.times
    assert 1104.0 <= at <= 1104.0 + TICK


def test_what_is_brought_forward_is_due_then(loop: Loop, wheel: DeadlineWheel) -> None:
    due = Dues()
    deadline = Deadline(wheel, due)
    deadline.set(1060.0)
    deadline.set(1001.0)
    assert _known(wheel) == 1
    loop.run_until(1002.0)
    assert len(due.times) == 1
    loop.run_until(1100.0)
    assert len(due.times) == 1


def test_what_is_cleared_is_not_due_until_it_is_set_again(loop: Loop, wheel: DeadlineWheel) -> None:
    due = Dues()
    deadline = Deadline(wheel, due)
    deadline.set(1001.0)
    deadline.clear()
    loop.run_until(1000.5)
    assert deadline.at == inf
    loop.run_until(1010.0)
    assert due.times == []
    deadline.set(1011.0)
    loop.run_until(1012.0)
    assert len(due.times) == 1


def test_one_that_was_cleared_and_set_for_later_is_due_later(
    loop: Loop, wheel: DeadlineWheel
) -> None:
    due = Dues()
    deadline = Deadline(wheel, due)
    deadline.set(1001.0)
    deadline.clear()
    deadline.set(1003.0)
    loop.run_until(1002.9)
    assert due.times == []
    loop.run_until(1003.1)
    assert len(due.times) == 1


def test_what_is_closed_is_forgotten_at_once(loop: Loop, wheel: DeadlineWheel) -> None:
    due = Dues()
    deadline = Deadline(wheel, due)
    deadline.set(1001.0)
    deadline.close()
    assert _known(wheel) == 0
    loop.run_until(1002.0)
    assert due.times == []
    deadline.close()


def test_what_is_long_past_is_due_at_once(loop: Loop, wheel: DeadlineWheel) -> None:
    due = Dues()
    Deadline(wheel, due).set(5.0)
    loop.run_until(1000.0)
    assert due.times == [1000.0]


def test_who_is_due_may_set_itself_again(loop: Loop, wheel: DeadlineWheel) -> None:
    due = Dues()
    deadline = Deadline(wheel, due)
    due.then = lambda now: deadline.set(now + 1.0)
    deadline.set(1001.0)
    loop.run_until(1010.5)
    assert 8 <= len(due.times) <= 10
    assert all(b - a >= 1.0 for a, b in zip(due.times, due.times[1:], strict=False))
    assert len(loop.timers) == 1


def test_who_is_due_may_close_others_of_the_same_slot(loop: Loop, wheel: DeadlineWheel) -> None:
    dues = Dues()
    deadlines = [Deadline(wheel, dues) for _ in range(10)]

    def close_all(_now: float) -> None:
        for deadline in deadlines:
            deadline.close()

    dues.then = close_all
    for deadline in deadlines:
        deadline.set(1001.0)
    loop.run_until(1002.0)
    assert len(dues.times) == 1


def test_many_are_due_in_the_order_of_their_slots(loop: Loop, wheel: DeadlineWheel) -> None:
    order: list[int] = []
    for number in (3, 1, 4, 5, 9, 2, 6, 8, 7, 0):
        Deadline(wheel, lambda _now, number=number: order.append(number)).set(  # type: ignore[misc]
            1000.0 + number
        )
        assert len(loop.timers) == 1
    loop.run_until(1020.0)
    assert order == list(range(10))


def test_a_late_loop_makes_up_for_it_at_once(loop: Loop, wheel: DeadlineWheel) -> None:
    dues = [Dues() for _ in range(5)]
    for number, due in enumerate(dues):
        Deadline(wheel, due).set(1001.0 + number)
    loop.now = 1100.0
    loop.run_until(1100.0)
    assert [due.times for due in dues] == [[1100.0]] * 5


def test_a_timer_that_comes_early_is_no_reason_to_be(loop: Loop, wheel: DeadlineWheel) -> None:
    due = Dues()
    Deadline(wheel, due).set(1001.0)
    loop.run_until(1001.0 - 1e-4, early=0.0005)
    assert due.times == []
    loop.run_until(1002.0)
    assert len(due.times) == 1
    assert due.times[0] >= 1001.0


def test_a_fault_of_one_is_logged_and_the_others_are_due(
    loop: Loop, wheel: DeadlineWheel, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_now: float) -> None:
        raise RuntimeError("broken")

    dues = [Dues() for _ in range(6)]
    for number, due in enumerate(dues):
        Deadline(wheel, broken).set(1001.0 + number // 3)
        Deadline(wheel, due).set(1001.0 + number // 3)
    loop.run_until(1010.0)
    assert all(len(due.times) == 1 for due in dues)
    assert [each.levelname for each in caplog.records] == ["ERROR"] * 6


def test_a_flood_of_short_lives_leaves_no_slots_behind(loop: Loop, wheel: DeadlineWheel) -> None:
    for number in range(5000):
        loop.run_until(1000.0 + number * TICK)
        deadline = Deadline(wheel, Dues())
        deadline.set(loop.now + 86400.0)
        deadline.close()
    assert len(wheel._slots) <= LONGEST_LOOK / TICK + 2
