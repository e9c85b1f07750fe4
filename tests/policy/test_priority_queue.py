"""The important first, and nobody for long."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.priority import Priority
from proxy.policy.priority_queue import CALM, INTERVAL, LONGEST_WAIT, PriorityQueue

LOW, NORMAL, HIGH, CRITICAL = Priority
RATE = 1000.0
"""A hundred are served in an interval, and one or two in `ROOM`."""


def queue(*waiters: tuple[str, Priority], at: float = 0.0) -> PriorityQueue:
    made = PriorityQueue()
    for ticket, priority in waiters:
        made.push(ticket, priority, at)
    return made


def standing(priority: Priority = LOW, now: float = 0.0) -> PriorityQueue:
    """As many wait as may, and one more has come."""
    made = PriorityQueue()
    for number in range(100):
        assert made.patience(priority, RATE, 0.02, now) == INTERVAL
        made.push(number, priority, now)
    assert made.patience(priority, RATE, 0.02, now) == 0.0
    return made


def fill(waiting: PriorityQueue, now: float, priority: Priority = LOW) -> int:
    """How many find room now, until one is refused."""
    places = 0
    while waiting.patience(priority, RATE, 0.02, now) > 0.0:
        waiting.push(f"{places}", priority, now)
        places += 1
    return places


def have_room(waiting: PriorityQueue, places: int, now: float) -> bool:
    for number in range(places):
        if not waiting.patience(LOW, RATE, 0.02, now):
            drained(waiting)
            return False
        waiting.push(number, LOW, now)
    return True


def filled_again(waiting: PriorityQueue, now: float) -> float:
    """Some are refused until there is room again, and when that is full; the time by then."""
    while not have_room(waiting, 4, now):
        now += 0.51 * CALM
    fill(waiting, now)
    drained(waiting)
    return now


def drained(waiting: PriorityQueue) -> PriorityQueue:
    while waiting.pop(0.0) is not None:
        pass
    return waiting


def test_the_more_important_go_first_and_equals_in_their_turn() -> None:
    waiting = queue(("1", LOW), ("2", NORMAL), ("3", CRITICAL), ("4", HIGH), ("5", CRITICAL))
    assert [waiting.pop(0.0) for _ in range(6)] == ["3", "5", "4", "2", "1", None]
    assert waiting.waiting == 0


def test_a_burst_may_wait_as_long_as_it_is_served_in_an_interval() -> None:
    waiting = standing()
    assert waiting.waiting == RATE * INTERVAL


def test_where_hardly_any_are_served_one_may_wait_until_it_was_in_vain() -> None:
    waiting = PriorityQueue()
    assert waiting.patience(LOW, 0.1, 0.02, 0.0) == INTERVAL
    waiting.push("a", LOW, 0.0)
    waiting.expire("a", LOW, INTERVAL)
    assert waiting.patience(LOW, 0.1, 0.02, INTERVAL) == 0.0


def test_few_wait_behind_a_queue_that_stands() -> None:
    assert fill(drained(standing()), 0.1) == 2


def test_more_wait_behind_a_queue_of_critical_ones_that_stands() -> None:
    waiting = drained(standing(CRITICAL))
    assert fill(waiting, 0.1, CRITICAL) == 5


def test_a_queue_stands_when_one_has_waited_in_vain() -> None:
    waiting = queue(*((f"{number}", LOW) for number in range(4)))
    waiting.expire("0", LOW, INTERVAL)
    assert waiting.calm(INTERVAL) == 0.0
    assert waiting.patience(LOW, RATE, 0.02, INTERVAL) == 0.0


def test_those_who_waited_too_long_go_when_their_queue_stands() -> None:
    waiting = queue(("old", LOW), ("critical", CRITICAL))
    waiting.push("new", LOW, 0.01)
    assert waiting.stale(LOW) is None
    waiting.expire("critical", CRITICAL, 0.012)
    assert waiting.stale(LOW) is None, "it is not theirs that stands"
    for number in range(98):
        waiting.push(number, LOW, 0.012)
    assert waiting.patience(LOW, RATE, 0.02, 0.012) == 0.0
    assert waiting.stale(LOW) == "old"
    assert waiting.stale(LOW) is None
    assert [waiting.pop(0.012) for _ in range(99)][-1] == "new"


def test_the_newest_go_first_while_the_queue_stands_and_in_their_turn_after_it() -> None:
    def served(now: float) -> list[object]:
        waiting = drained(standing())
        for number in range(3):
            waiting.push(number, LOW, 0.0)
        waiting.push("critical", CRITICAL, 0.0)
        return [waiting.pop(now) for _ in range(4)]

    assert served(CALM * 0.9) == ["critical", 2, 1, 0]
    assert served(CALM * 1.1) == ["critical", 0, 1, 2]


def test_of_another_priority_s_queue_that_stands_the_oldest_go_first() -> None:
    waiting = drained(standing(NORMAL))
    for number in range(3):
        waiting.push(number, HIGH, 0.0)
    assert [waiting.pop(0.0) for _ in range(3)] == [0, 1, 2]


def test_it_stands_no_more_when_nobody_was_refused_for_a_while() -> None:
    waiting = drained(standing())
    for number in range(3):
        waiting.push(number, LOW, 0.0)
    assert waiting.patience(LOW, RATE, 0.02, CALM * 0.5) == 0.0
    assert waiting.patience(LOW, RATE, 0.02, CALM * 1.6) == INTERVAL


def test_it_stands_for_longer_each_time_that_it_fills_up_again() -> None:
    waiting = drained(standing())
    now, spans = 0.0, []
    for _ in range(4):
        begun, now = now, filled_again(waiting, now)
        spans.append(round((now - begun) / CALM))
    assert spans == [1, 2, 4, 8]


def test_its_room_grows_back_with_time_while_refusals_go_on() -> None:
    for since, room in ((0.0, 2), (0.05, 20), (0.125, 50), (0.25, 100), (0.5, 100)):
        waiting = drained(standing())
        assert fill(waiting, CALM * 0.9) == 2
        drained(waiting)
        assert fill(waiting, CALM + since) == pytest.approx(room, abs=1)


def test_a_flood_of_the_unimportant_leaves_the_important_their_burst() -> None:
    waiting = standing(LOW)
    assert waiting.patience(NORMAL, RATE, 0.02, 0.0) == INTERVAL
    assert waiting.patience(CRITICAL, RATE, 0.02, 0.0) == INTERVAL


def test_important_ones_leave_the_unimportant_nothing() -> None:
    assert standing(CRITICAL).patience(LOW, RATE, 0.02, 0.0) == 0.0


def test_an_important_newcomer_takes_the_place_of_the_last_of_the_least_important() -> None:
    waiting = queue(*((f"{number}", LOW) for number in range(99)), ("high", HIGH))
    assert waiting.surplus(CRITICAL, RATE, 0.02, 0.0) is None
    waiting.push("first", CRITICAL, 0.0)
    assert waiting.surplus(CRITICAL, RATE, 0.02, 0.0) == "98"
    assert waiting.surplus(CRITICAL, RATE, 0.02, 0.0) is None
    assert waiting.calm(0.0) == 0.0


def test_in_a_queue_that_stands_the_oldest_makes_way_as_it_would_be_served_last() -> None:
    waiting = drained(standing())
    assert fill(waiting, 0.0) == 2
    waiting.push("critical", CRITICAL, 0.0)
    assert waiting.surplus(CRITICAL, RATE, 0.02, 0.0) == "0"
    assert waiting.surplus(CRITICAL, RATE, 0.02, 0.0) is None


def test_when_a_queue_begins_to_stand_an_important_newcomer_clears_it() -> None:
    waiting = standing()
    waiting.push("critical", CRITICAL, 0.001)
    gone = []
    while (waiter := waiting.surplus(CRITICAL, RATE, 0.02, 0.001)) is not None:
        gone.append(waiter)
    assert gone == list(range(99)), "but for the newest, who is next"


def test_after_a_calm_an_important_newcomer_does_not_make_the_queue_stand() -> None:
    waiting, now = drained(standing()), 0.0
    for _ in range(3):
        now = filled_again(waiting, now)
    now += 1.5 * CALM
    for number in range(100):
        assert waiting.patience(LOW, RATE, 0.02, now) == INTERVAL
        waiting.push(number, LOW, now)
    waiting.push("critical", CRITICAL, now)
    assert waiting.surplus(CRITICAL, RATE, 0.02, now) == 99
    assert waiting.surplus(CRITICAL, RATE, 0.02, now) is None
    assert [waiting.pop(now) for _ in range(2)] == ["critical", 0]


def test_nobody_makes_way_for_an_equal() -> None:
    waiting = queue(*((f"{number}", LOW) for number in range(200)))
    assert waiting.surplus(LOW, RATE, 0.02, 0.0) is None


def test_a_waiter_leaves_its_place() -> None:
    waiting = queue(("a", LOW), ("b", LOW))
    waiting.remove("a", LOW)
    assert [waiting.pop(0.0), waiting.pop(0.0)] == ["b", None]
    with pytest.raises(KeyError):
        waiting.remove("a", LOW)
    assert waiting.calm(0.0) == inf


def test_a_ticket_waits_once_at_a_time() -> None:
    waiting = queue(("a", LOW))
    with pytest.raises(ValueError, match="once"):
        waiting.push("a", LOW, 0.0)


def test_it_tells_how_long_ago_the_last_refusal_was() -> None:
    assert PriorityQueue().calm(0.0) == inf
    assert standing().calm(0.7) == 0.7


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["come", "go", "leave", "expire", "stale"]),
            st.sampled_from(Priority),
            st.sampled_from([0.0, 0.001, 0.05, 0.2, 3600.0, -1.0]),
            st.sampled_from([0.0, 1.0, 50.0, 1e9]),
        )
    )
)
def test_it_loses_nobody_and_counts_right(
    steps: list[tuple[str, Priority, float, float]],
) -> None:
    waiting, now, count = PriorityQueue(), 0.0, 0
    inside: dict[int, Priority] = {}
    for what, priority, by, rate in steps:
        now += by
        if what == "come":
            if waiting.patience(priority, rate, 0.02, now) > 0.0:
                count += 1
                waiting.push(count, priority, now)
                inside[count] = priority
                while (gone := waiting.surplus(priority, rate, 0.02, now)) is not None:
                    assert isinstance(gone, int)
                    assert inside.pop(gone) < priority
        elif what == "go":
            first = waiting.pop(now)
            if isinstance(first, int):
                assert inside[first] == max(inside.values())
                del inside[first]
            else:
                assert not inside
        elif what in {"leave", "expire"} and inside:
            ticket, of = next(iter(inside.items()))
            if what == "leave":
                waiting.remove(ticket, of)
            else:
                waiting.expire(ticket, of, now)
            del inside[ticket]
        elif what == "stale" and (gone := waiting.stale(priority)) is not None:
            assert isinstance(gone, int)
            assert inside.pop(gone) is priority
        assert waiting.waiting == len(inside)


def test_the_important_wait_for_longer_where_answers_are_slow() -> None:
    waiting = PriorityQueue()
    assert waiting.patience(NORMAL, RATE, 0.3, 0.0) == INTERVAL
    assert waiting.patience(CRITICAL, RATE, 0.3, 0.0) == pytest.approx(0.6)
    assert waiting.patience(CRITICAL, RATE, 60.0, 0.0) == LONGEST_WAIT
