"""Requests that wait: for their slot, or in the queue of a concurrency limit."""

import pytest

from proxy.policy.concurrency import STANDING_QUEUE_SECONDS
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import QueueOrder
from proxy.policy.verdict import State
from tests.policy.guarded import CLIENT, Guarded, concurrency, pace, rate, snapshot


def test_a_paced_request_waits_for_its_slot() -> None:
    engine = Guarded(snapshot(pace("evenly", 10, max_wait=1.0)))
    assert engine.ask(5.0).state is State.FORWARD
    call = engine.ask(5.0)
    assert call.verdict.wait_until == pytest.approx(5.1)
    call.resume(5.1)
    assert call.state is State.FORWARD
    assert call.verdict.waited == pytest.approx(0.1)


def test_who_would_wait_too_long_for_a_slot_is_told_when_it_would_not() -> None:
    engine = Guarded(snapshot(pace("evenly", 10, max_wait=0.15)))
    states = [engine.ask(0.0).state for _ in range(3)]
    assert states == [State.FORWARD, State.WAIT, State.REFUSE]
    refused = engine.ask(0.0)
    assert refused.reason is Reason.PACE
    assert refused.verdict.wait == pytest.approx(0.05, abs=1e-5)


def test_a_paced_request_that_leaves_gives_its_slot_back() -> None:
    engine = Guarded(snapshot(pace("evenly", 10, max_wait=1.0)))
    engine.ask(0.0)
    leaver = engine.ask(0.0)
    leaver.settle(0.01, status=0)
    assert engine.ask(0.02).verdict.wait_until == pytest.approx(0.1)
    assert engine.rules.routes["all"].abandoned == 1


def test_a_place_is_handed_to_who_came_first() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=2)))
    holder, first, second = (engine.ask(0.0) for _ in range(3))
    assert (first.state, first.verdict.wait_until) == (State.WAIT, 1.0)
    assert engine.ask(0.0).reason is Reason.CONCURRENCY
    holder.settle(0.25)
    assert (first.state, first.woken, first.verdict.waited) == (State.FORWARD, 1, 0.25)
    assert (second.state, second.woken) == (State.WAIT, 0)
    first.settle(0.5)
    assert second.state is State.FORWARD


def test_the_newest_goes_first_while_the_queue_stands() -> None:
    order = QueueOrder.ADAPTIVE_LIFO
    engine = Guarded(snapshot(concurrency("places", 1, queue=3, order=order)))
    holder, oldest, middle, newest = (engine.ask(0.0) for _ in range(4))
    holder.settle(STANDING_QUEUE_SECONDS / 2)
    assert oldest.state is State.FORWARD
    oldest.settle(STANDING_QUEUE_SECONDS)
    assert newest.state is State.FORWARD
    assert middle.state is State.WAIT


def test_nobody_overtakes_the_queue() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=2)))
    holder, waiter = engine.ask(0.0), engine.ask(0.0)
    holder.settle(0.1)
    late = engine.ask(0.1)
    assert (waiter.state, late.state) == (State.FORWARD, State.WAIT)


def test_who_waits_too_long_is_refused_and_keeps_nothing() -> None:
    limit = concurrency("places", 1, queue=1, timeout=0.2)
    engine = Guarded(snapshot(rate("bucket", 1, burst=2), limit))
    engine.ask(0.0)
    waiter = engine.ask(0.0)
    waiter.resume(0.2)
    assert (waiter.state, waiter.reason) == (State.REFUSE, Reason.QUEUE_TIMEOUT)
    assert waiter.verdict.limit is limit
    assert waiter.verdict.waited == 0.2
    assert engine.concurrency("places").waiting == 0
    # The token is back, and so is the place in the queue.
    assert engine.ask(0.2).state is State.WAIT


def test_a_place_that_comes_too_late_goes_to_the_next() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=2, timeout=0.2)))
    holder, late = engine.ask(0.0), engine.ask(0.0)
    in_time = engine.ask(0.1)
    holder.settle(0.25)
    assert (late.reason, late.woken) == (Reason.QUEUE_TIMEOUT, 1)
    assert in_time.state is State.FORWARD


def test_a_waiter_that_leaves_frees_its_place_in_the_queue() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=1)))
    holder, leaver = engine.ask(0.0), engine.ask(0.0)
    leaver.settle(0.1, status=0)
    stayer = engine.ask(0.1)
    holder.settle(0.2)
    assert stayer.state is State.FORWARD
    assert leaver.woken == 0


def test_a_resume_after_the_wake_changes_nothing() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=1)))
    holder, waiter = engine.ask(0.0), engine.ask(0.0)
    holder.settle(0.5)
    waiter.resume(1.0)
    assert waiter.state is State.FORWARD


def test_keys_do_not_wait_for_each_other() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=1, per=CLIENT)))
    mine, waiter = engine.ask(0.0, client="a"), engine.ask(0.0, client="a")
    other = engine.ask(0.0, client="b")
    assert (mine.state, waiter.state, other.state) == (State.FORWARD, State.WAIT, State.FORWARD)
    other.settle(0.1)
    assert waiter.state is State.WAIT


def test_a_paced_request_may_have_to_queue_after_its_slot() -> None:
    engine = Guarded(snapshot(pace("evenly", 10, 1.0), concurrency("places", 1, 1, timeout=0.5)))
    holder, call = engine.ask(0.0), engine.ask(0.0)
    assert engine.concurrency("places").waiting == 0
    call.resume(0.1)
    assert call.verdict.wait_until == pytest.approx(0.6)
    holder.settle(0.3)
    assert call.state is State.FORWARD
    assert call.verdict.waited == pytest.approx(0.3)


def test_a_paced_request_finds_the_queue_full_after_its_slot() -> None:
    limits = pace("evenly", 10, 1.0), concurrency("places", 1, queue=1)
    routes = {"paced": ["evenly", "places"], "free": ["places"], "even": ["evenly"]}
    engine = Guarded(snapshot(*limits, routes=routes))
    engine.ask(0.0, "/paced")
    call = engine.ask(0.0, "/paced")
    engine.ask(0.05, "/free")
    call.resume(0.1)
    assert (call.state, call.reason) == (State.REFUSE, Reason.CONCURRENCY)
    # Its slot is free for another.
    assert engine.ask(0.1, "/even").state is State.FORWARD


def _two_limits(second_queue: int = 1, second_timeout: float = 1.0) -> Guarded:
    return Guarded(
        snapshot(
            concurrency("first", 1, queue=2),
            concurrency("second", 1, second_queue, second_timeout),
            routes={"both": ["first", "second"], "one": ["first"], "two": ["second"]},
        )
    )


def test_who_waits_holds_no_permit_of_another_limit() -> None:
    engine = _two_limits()
    engine.ask(0.0, "/two")
    waiter = engine.ask(0.0, "/both")
    assert waiter.state is State.WAIT
    assert engine.ask(0.0, "/one").state is State.FORWARD


def test_a_waiter_that_lacks_another_permit_goes_on_to_that_queue() -> None:
    engine = _two_limits(second_timeout=0.4)
    one, two, waiter = engine.ask(0.0, "/one"), engine.ask(0.0, "/two"), engine.ask(0.0, "/both")
    one.settle(0.1)
    assert (waiter.state, engine.concurrency("second").waiting) == (State.WAIT, 1)
    # It waits no longer than the second limit lets it, all its waiting counted: the lane is told.
    assert waiter.woken == 1
    assert waiter.verdict.wait_until == pytest.approx(0.4)
    assert engine.ask(0.1, "/one").state is State.FORWARD
    two.settle(0.2)
    assert engine.concurrency("first").waiting == 1
    assert waiter.state is State.WAIT


def test_a_waiter_that_finds_the_next_queue_full_is_refused() -> None:
    engine = _two_limits()
    one, waiter = engine.ask(0.0, "/one"), engine.ask(0.0, "/both")
    engine.ask(0.0, "/two")
    engine.ask(0.0, "/two")
    one.settle(0.1)
    assert (waiter.state, waiter.reason, waiter.woken) == (State.REFUSE, Reason.CONCURRENCY, 1)
    assert engine.concurrency("first").in_flight == 0
