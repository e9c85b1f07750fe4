from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.concurrency import STANDING_QUEUE_SECONDS, ConcurrencyLimiter
from proxy.policy.snapshot import ConcurrencySpec, QueueOrder


def limiter(
    concurrency: int = 1, queue: int = 4, order: QueueOrder = QueueOrder.FIFO
) -> ConcurrencyLimiter:
    return ConcurrencyLimiter(ConcurrencySpec("limit", concurrency, queue, 1.0, order))


def test_there_is_room_until_all_permits_are_out() -> None:
    limit = limiter(concurrency=2)
    assert limit.has_room(b"")
    limit.acquire(b"")
    assert limit.has_room(b"")
    limit.acquire(b"")
    assert not limit.has_room(b"")
    limit.release(b"")
    assert limit.has_room(b"")


def test_keys_do_not_share_permits() -> None:
    limit = limiter(concurrency=1)
    limit.acquire(b"a")
    assert not limit.has_room(b"a")
    assert limit.has_room(b"b")
    limit.acquire(b"b")
    assert (limit.in_flight, limit.in_flight_of(b"a"), limit.in_flight_of(b"c")) == (2, 1, 0)


def test_an_unpaired_release_is_an_error() -> None:
    limit = limiter()
    limit.acquire(b"a")
    with pytest.raises(KeyError):
        limit.release(b"b")
    limit.release(b"a")
    with pytest.raises(KeyError):
        limit.release(b"a")
    assert limit.in_flight == 0


def test_a_newcomer_does_not_overtake_those_who_wait() -> None:
    limit = limiter()
    limit.acquire(b"")
    limit.enqueue(b"", "first", 0.0)
    limit.release(b"")
    assert not limit.has_room(b"")
    assert limit.next_waiter(b"", 0.0) == "first"
    assert limit.has_room(b"")


def test_no_more_wait_than_the_queue_holds() -> None:
    limit = limiter(queue=2)
    limit.enqueue(b"", 1, 0.0)
    assert limit.can_queue(b"")
    limit.enqueue(b"", 2, 0.0)
    assert not limit.can_queue(b"")
    assert limit.can_queue(b"other")
    assert not limiter(queue=0).can_queue(b"")


def test_nobody_is_named_while_no_permit_is_free() -> None:
    limit = limiter()
    limit.acquire(b"")
    limit.enqueue(b"", "first", 0.0)
    assert limit.next_waiter(b"", 0.0) is None
    limit.release(b"")
    assert limit.next_waiter(b"", 0.0) == "first"
    assert limit.next_waiter(b"", 0.0) is None


def test_a_waiter_that_leaves_is_not_named() -> None:
    limit = limiter()
    for ticket in (1, 2, 3):
        limit.enqueue(b"", ticket, 0.0)
    limit.remove(b"", 2)
    assert [limit.next_waiter(b"", 0.0) for _ in range(3)] == [1, 3, None]


def test_a_ticket_can_not_leave_twice_or_wait_twice() -> None:
    limit = limiter()
    limit.enqueue(b"", 1, 0.0)
    with pytest.raises(ValueError, match="once"):
        limit.enqueue(b"", 1, 0.0)
    limit.enqueue(b"", 2, 0.0)
    limit.remove(b"", 1)
    with pytest.raises(KeyError):
        limit.remove(b"", 1)
    limit.remove(b"", 2)
    with pytest.raises(KeyError):
        limit.remove(b"", 2)
    assert limit.waiting == 0


def test_adaptive_lifo_is_first_come_first_served_while_the_queue_drains() -> None:
    limit = limiter(order=QueueOrder.ADAPTIVE_LIFO)
    for ticket in (1, 2):
        limit.enqueue(b"", ticket, 10.0)
    assert limit.next_waiter(b"", 10.0 + STANDING_QUEUE_SECONDS / 2) == 1


def test_adaptive_lifo_serves_the_newest_first_once_the_queue_has_stood() -> None:
    limit = limiter(order=QueueOrder.ADAPTIVE_LIFO)
    limit.enqueue(b"", 1, 0.0)
    later = STANDING_QUEUE_SECONDS
    limit.enqueue(b"", 2, later)
    limit.enqueue(b"", 3, later)
    assert [limit.next_waiter(b"", later) for _ in range(3)] == [3, 2, 1]


def test_a_queue_that_was_empty_in_between_has_not_stood() -> None:
    limit = limiter(order=QueueOrder.ADAPTIVE_LIFO)
    limit.enqueue(b"", 0, 10.0)
    limit.remove(b"", 0)
    later = 10.0 + 10 * STANDING_QUEUE_SECONDS
    for ticket in (1, 2):
        limit.enqueue(b"", ticket, later)
    assert limit.next_waiter(b"", later) == 1


def test_fifo_stays_first_come_first_served_however_long_the_queue_stands() -> None:
    limit = limiter(order=QueueOrder.FIFO)
    for ticket in (1, 2):
        limit.enqueue(b"", ticket, 10.0)
    assert limit.next_waiter(b"", 100.0) == 1


def test_a_lowered_limit_lets_nobody_in_until_it_has_drained() -> None:
    limit = limiter(concurrency=3)
    for _ in range(3):
        limit.acquire(b"")
    limit.enqueue(b"", 1, 0.0)
    limit.reconfigure(ConcurrencySpec("limit", 1, 4))
    limit.release(b"")
    limit.release(b"")
    assert limit.next_waiter(b"", 0.0) is None
    limit.release(b"")
    assert limit.next_waiter(b"", 0.0) == 1


def test_a_raised_limit_has_room_for_those_who_wait() -> None:
    limit = limiter(concurrency=1)
    for key in (b"a", b"b"):
        limit.acquire(key)
        limit.enqueue(key, key, 0.0)
    limit.acquire(b"c")
    limit.reconfigure(ConcurrencySpec("limit", 2, 4))
    assert limit.keys_with_waiters() == [b"a", b"b"]
    assert [limit.next_waiter(key, 0.0) for key in limit.keys_with_waiters()] == [b"a", b"b"]
    assert limit.keys_with_waiters() == []


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "release", "leave"]),
        st.sampled_from([b"", b"a"]),
        st.integers(0),
    ),
    max_size=200,
)


@given(OPERATIONS, st.integers(1, 3), st.integers(0, 3))
def test_permits_queue_and_totals_agree_with_a_plain_model(
    operations: list[tuple[str, bytes, int]], concurrency: int, queue: int
) -> None:
    limit = limiter(concurrency, queue)
    held: Counter[bytes] = Counter()
    queues: dict[bytes, deque[int]] = {b"": deque(), b"a": deque()}

    for ticket, (operation, key, pick) in enumerate(operations):
        waiting = queues[key]
        if operation == "arrive":
            assert limit.has_room(key) == (held[key] < concurrency and not waiting)
            assert limit.can_queue(key) == (len(waiting) < queue)
            if limit.has_room(key):
                limit.acquire(key)
                held[key] += 1
            elif limit.can_queue(key):
                limit.enqueue(key, ticket, 0.0)
                waiting.append(ticket)
        elif operation == "release" and held[key]:
            limit.release(key)
            held[key] -= 1
            expected = waiting.popleft() if waiting else None
            assert limit.next_waiter(key, 0.0) == expected
            if expected is not None:
                limit.acquire(key)
                held[key] += 1
        elif operation == "leave" and waiting:
            gone = waiting[pick % len(waiting)]
            waiting.remove(gone)
            limit.remove(key, gone)
        assert limit.in_flight == held.total()
        assert limit.waiting == sum(map(len, queues.values()))
        assert limit.in_flight_of(key) == held[key]
        assert max(held.values(), default=0) <= concurrency
    assert set(limit.keys_with_waiters()) == {key for key, waiting in queues.items() if waiting}


def test_a_key_is_forgotten_when_nothing_is_in_flight_and_nobody_waits() -> None:
    limit = limiter()
    for number in range(100):
        key = b"%d" % number
        limit.acquire(key)
        limit.enqueue(key, 1, 0.0)
        limit.release(key)
        limit.next_waiter(key, 0.0)
    assert not limit._in_flight
    assert not limit._queues
