"""Callers that say how long they wait: nothing waits for longer, and nobody is asked in vain."""

from dataclasses import replace

import pytest

from proxy.policy.reasons import Reason
from proxy.policy.retrying import Failure
from proxy.policy.snapshot import (
    AdaptiveSpec,
    KeepSpec,
    LimitSpec,
    RetrySpec,
    Snapshot,
    UpstreamSpec,
)
from proxy.policy.verdict import Completion, State
from tests.policy.guarded import Guarded, concurrency, pace, rate, snapshot
from tests.policy.kept import answer, lookup


def rules(*limits: LimitSpec, adaptive: AdaptiveSpec | None = None) -> Snapshot:
    plain = snapshot(*limits)
    (listener,) = plain.listeners
    shop = UpstreamSpec("shop", "::1", 2, adaptive_concurrency=adaptive, retry=RetrySpec())
    return replace(
        plain,
        listeners=(replace(listener, deadline_header=b"grpc-timeout"),),
        upstreams={"shop": shop},
    )


def within(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"Grpc-Timeout", value)]


def test_what_has_no_time_left_is_refused_and_takes_nothing() -> None:
    it = Guarded(rules(rate("one", 1e-9)))
    call = it.ask(5.0, fields=within(b"0m"))
    assert (call.state, call.reason) == (State.REFUSE, Reason.DEADLINE)
    assert it.admits(5.0, fields=within(b"1m"))


@pytest.mark.parametrize("fields", [within(b"soon"), within(b""), within(b"1m") + within(b"2m")])
def test_nonsense_is_no_deadline(fields: list[tuple[bytes, bytes]]) -> None:
    call = Guarded(rules()).ask(5.0, fields=fields)
    assert call.verdict.deadline == float("inf")


def test_without_the_rule_for_it_nobody_s_field_counts() -> None:
    assert Guarded(snapshot()).admits(5.0, fields=within(b"0m"))


def test_who_would_wait_for_its_turn_for_longer_is_refused_at_once() -> None:
    it = Guarded(rules(pace("even", 1.0, 5.0)))
    assert it.admits(0.0)
    late = it.ask(0.0, fields=within(b"999m"))
    assert (late.state, late.reason) == (State.REFUSE, Reason.DEADLINE)
    late.settle(0.0)
    # Its slot is the next one's.
    assert it.ask(0.0).verdict.wait_until == 1.0


def test_waiting_in_a_queue_ends_with_the_caller_s_patience() -> None:
    it = Guarded(rules(concurrency("few", 1, queue=2, timeout=9.0), rate("tokens", 1e-9, burst=2)))
    first = it.ask(0.0)
    call = it.ask(0.0, fields=within(b"50m"))
    assert (call.state, call.verdict.wait_until) == (State.WAIT, 0.05)
    call.resume(0.05)
    assert (call.state, call.reason) == (State.REFUSE, Reason.DEADLINE)
    assert it.concurrency("few").waiting == 0
    call.settle(0.05)
    first.settle(0.1)
    assert it.admits(0.1), "its token came back"


def test_whose_turn_comes_too_late_is_not_sent_and_the_next_one_is() -> None:
    it = Guarded(rules(concurrency("few", 1, queue=2, timeout=9.0)))
    first, late, last = it.ask(0.0), it.ask(0.0, fields=within(b"50m")), it.ask(0.0)
    first.settle(0.06)
    assert (late.state, late.reason) == (State.REFUSE, Reason.DEADLINE)
    assert last.state is State.FORWARD


@pytest.mark.parametrize("resumed", [True, False])
def test_the_adaptive_queue_ends_with_it_too(resumed: bool) -> None:
    it = Guarded(rules(adaptive=AdaptiveSpec("shop/adaptive", 1, 1)))
    first = it.ask(0.0)
    call = it.ask(0.0, fields=within(b"20m"))
    assert (call.state, call.verdict.wait_until) == (State.WAIT, 0.02)
    if resumed:
        call.resume(0.02)
    else:
        it.engine.answered(first.verdict, 200, 0.03, 0.03)
    assert (call.state, call.reason) == (State.REFUSE, Reason.DEADLINE)
    call.settle(0.03)
    limit = it.rules.adaptive["shop"]
    assert limit.queue.waiting == 0
    assert limit.in_flight == (1 if resumed else 0)


def test_who_follows_another_s_request_waits_no_longer_either() -> None:
    plain = rules()
    (route,) = plain.routes
    it = Guarded(replace(plain, routes=(replace(route, keep=KeepSpec(ttl=1.0, coalesce=True)),)))
    leader = it.ask(0.0)
    call = it.ask(0.0, fields=within(b"20m"))
    assert (call.state, call.verdict.wait_until) == (State.WAIT, 0.02)
    call.resume(0.02)
    assert (call.state, call.reason) == (State.REFUSE, Reason.DEADLINE)
    call.settle(0.02)
    leader.settle(0.1)
    assert len(it.engine.coalescing) == 0


def test_who_follows_a_hurried_leader_asks_for_itself() -> None:
    """Else one who never has time would have all others get nothing but old answers."""
    plain = rules()
    keep = KeepSpec(ttl=1.0, coalesce=True, last_good_for=60.0)
    it = Guarded(replace(plain, routes=(replace(plain.routes[0], keep=keep),)))
    answer(it, it.ask(0.0), 0.0)
    leader, follower = it.ask(2.0, fields=within(b"20m")), it.ask(2.0)
    lookup(leader).stands_in = True
    late = Completion(200, 0.02, 0.0, Reason.DEADLINE, 0.02)
    it.engine.settle(leader.verdict, late, 2.02)
    follower.resume(2.02)
    assert follower.state is State.FORWARD
    follower.settle(2.1)
    assert len(it.engine.coalescing) == 0


def test_there_is_no_other_attempt_beyond_it() -> None:
    it = Guarded(rules())
    it.jitter = 1.0
    failure = Failure(Reason.UPSTREAM_ERROR, sent=True, repeatable=True)
    short = it.ask(0.0, fields=within(b"20m"))
    assert not it.engine.retry(short.verdict, failure, 0.0, lambda: None)
    call = it.ask(0.0, fields=within(b"26m"))
    assert it.engine.retry(call.verdict, failure, 0.0, lambda: None)
    call.resume(call.verdict.deadline)
    assert call.state is State.FAIL


def test_an_answer_that_comes_too_late_for_its_caller_is_as_if_that_had_left() -> None:
    """And no failure of the shop's: the time of a hurried caller says nothing about it."""
    it = Guarded(rules(adaptive=AdaptiveSpec("shop/adaptive", 1, 9)))
    limit = it.rules.adaptive["shop"]
    warm = it.ask(0.0)
    it.engine.answered(warm.verdict, 200, 0.1, 0.1)
    warm.settle(0.1)
    call = it.ask(1.0, fields=within(b"20m"))
    it.engine.settle(call.verdict, Completion(504, 0.02, 0.0, Reason.DEADLINE, 0.02), 1.02)
    assert limit.in_flight_at(1.05) == 1, "the shop still works on it"
    assert limit.in_flight_at(1.2) == 0
    assert it.rules.routes["all"].failed[Reason.DEADLINE] == 1
