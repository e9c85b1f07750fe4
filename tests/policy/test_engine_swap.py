"""New rules: what stays, what changes, and when."""

from dataclasses import replace

from proxy.policy.reasons import Reason
from proxy.policy.snapshot import LimitSpec
from proxy.policy.verdict import State
from tests.policy.guarded import CLIENT, Guarded, concurrency, pace, rate, snapshot


def test_nothing_is_in_force_before_the_swap() -> None:
    engine = Guarded(snapshot(rate("limit", 1)))
    engine.ask(0.0)
    *_, built = engine.engine.build(snapshot(rate("limit", 1, burst=9), rate("more", 1)))
    assert not engine.admits(0.0)
    assert "more" not in engine.rules.limits
    engine.engine.swap(built, 0.0)
    assert engine.admits(0.0)


def test_an_empty_bucket_stays_empty() -> None:
    engine = Guarded(snapshot(rate("limit", 1, burst=3)))
    for _ in range(3):
        engine.admits(0.0)
    engine.reload(snapshot(rate("limit", 1, burst=3), rate("other", 1)), 0.0)
    assert not engine.admits(0.0)


def test_a_limit_of_another_name_kind_or_key_begins_anew() -> None:
    for fresh in (rate("other", 1), rate("limit", 1, per=CLIENT), pace("limit", 1, 0.0)):
        engine = Guarded(snapshot(rate("limit", 1)))
        engine.admits(0.0)
        engine.reload(snapshot(fresh), 0.0)
        assert engine.admits(0.0)


def test_counters_are_kept_by_name() -> None:
    engine = Guarded(snapshot(rate("limit", 1)))
    engine.admits(0.0)
    engine.admits(0.0)
    engine.reload(snapshot(rate("limit", 5)), 0.0)
    assert engine.counts("limit") == (1, 1, 0)
    assert engine.rules.routes["all"].total == 2


def test_those_in_flight_count_under_the_new_rules() -> None:
    engine = Guarded(snapshot(concurrency("places", 2)))
    calls = [engine.ask(0.0), engine.ask(0.0)]
    engine.reload(snapshot(concurrency("places", 1)), 0.0)
    calls[0].settle(0.1)
    assert not engine.admits(0.1)
    calls[1].settle(0.1)
    assert engine.admits(0.1)
    assert engine.concurrency("places").in_flight == 0


def test_a_raised_limit_admits_waiters_at_once() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=3)))
    _, *waiters = (engine.ask(0.0) for _ in range(4))
    engine.reload(snapshot(concurrency("places", 3, queue=3)), 0.1)
    assert [call.state for call in waiters] == [State.FORWARD, State.FORWARD, State.WAIT]
    assert [call.woken for call in waiters] == [1, 1, 0]


def test_a_limit_that_is_gone_drains() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=1)))
    holder, waiter = engine.ask(0.0), engine.ask(0.0)
    gone = engine.concurrency("places")
    engine.reload(snapshot(), 0.1)
    assert engine.ask(0.1).state is State.FORWARD
    assert waiter.woken == 0
    holder.settle(0.2)
    assert waiter.state is State.FORWARD
    waiter.settle(0.3)
    assert (gone.in_flight, gone.waiting) == (0, 0)


def _modes() -> list[tuple[LimitSpec, LimitSpec]]:
    limits: tuple[LimitSpec, ...] = (
        rate("limit", 1),
        pace("limit", 1, 0.0),
        concurrency("limit", 1),
    )
    return [(each, replace(each, shadow=True)) for each in limits]


def test_enforcing_begins_with_the_swap() -> None:
    for enforced, shadow in _modes():
        engine = Guarded(snapshot(shadow))
        calls = [engine.ask(0.0), engine.ask(0.0)]
        engine.reload(snapshot(enforced), 0.0)
        refused = engine.ask(0.0)
        assert (calls[1].state, refused.state) == (State.FORWARD, State.REFUSE)
        assert engine.counts("limit") == (1, 1, 1)


def test_enforcing_ends_with_the_swap() -> None:
    for enforced, shadow in _modes():
        engine = Guarded(snapshot(enforced))
        engine.ask(0.0)
        engine.reload(snapshot(shadow), 0.0)
        assert engine.ask(0.0).state is State.FORWARD


def test_a_place_held_in_shadow_is_handed_on_once_enforced() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=1, shadow=True)))
    holder = engine.ask(0.0)
    engine.reload(snapshot(concurrency("places", 1, queue=1)), 0.0)
    waiter = engine.ask(0.0)
    assert waiter.woken == 0
    holder.settle(0.1)
    assert waiter.state is State.FORWARD


def test_nobody_waits_for_what_is_only_a_shadow_now() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=2)))
    calls = [engine.ask(0.0) for _ in range(3)]
    engine.reload(snapshot(concurrency("places", 1, queue=2, shadow=True)), 0.0)
    assert [call.state for call in calls] == [State.FORWARD] * 3
    for call in calls:
        call.settle(0.1)
    assert engine.concurrency("places").in_flight == 0


def test_a_limit_that_is_only_a_shadow_now_refuses_nobody_for_having_waited() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=1, timeout=0.2)))
    engine.ask(0.0)
    waiter = engine.ask(0.0)
    late = 0.3  # its timer has not run yet
    engine.reload(snapshot(concurrency("places", 1, queue=1, shadow=True)), late)
    assert waiter.state is State.FORWARD


def test_a_waiter_keeps_the_answers_it_came_under() -> None:
    engine = Guarded(snapshot(concurrency("places", 1, queue=1, timeout=0.2)))
    engine.ask(0.0)
    waiter = engine.ask(0.0)
    engine.reload(snapshot(routes={"another": []}), 0.1)
    waiter.resume(0.2)
    assert waiter.reason is Reason.QUEUE_TIMEOUT
    waiter.settle(0.2, status=503)
    assert waiter.verdict.guard.counters.refused[Reason.QUEUE_TIMEOUT] == 1
