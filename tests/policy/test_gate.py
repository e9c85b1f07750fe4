"""A gate among the limits: when it is asked, and what it is told."""

from dataclasses import replace

import pytest

from proxy.policy.outcome import Outcome
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import AdaptiveSpec, LimitSpec
from proxy.policy.verdict import Completion, State
from tests.policy.gated import ToldGate, put_before
from tests.policy.guarded import Guarded, concurrency, pace, rate, snapshot
from tests.support.build import interpreted_only

pytestmark = interpreted_only


def gated(gate: ToldGate, *limits: LimitSpec) -> Guarded:
    engine = Guarded(snapshot(*limits))
    put_before(engine, gate)
    return engine


@pytest.fixture
def gate() -> ToldGate:
    return ToldGate()


def test_what_a_gate_refuses_takes_nothing_and_tells_when_it_may_come_back(gate: ToldGate) -> None:
    engine = gated(gate, rate("tokens", 1, burst=5), concurrency("places", 3))
    gate.closed_for = 4.5
    call = engine.ask(0.0)
    assert (call.state, call.reason) == (State.REFUSE, Reason.BREAKER)
    assert call.verdict.limit is gate.spec
    assert call.verdict.retry_after == 7, "the page's two seconds more"
    assert engine.counts("tokens")[0] == engine.concurrency("places").in_flight == 0
    call.settle(0.0, 503)
    assert (gate.out, gate.ends) == (set(), [])


def test_what_a_limit_refuses_does_not_reach_the_gate(gate: ToldGate) -> None:
    engine = gated(gate, rate("tokens", 1))
    engine.ask(0.0)
    assert engine.ask(0.0).reason is Reason.RATE
    assert gate.asked == len(gate.out) == 1


def test_of_several_gates_those_behind_the_first_that_refuses_are_not_asked() -> None:
    first, second, third = ToldGate(), ToldGate(Reason.THROTTLE), ToldGate()
    engine = Guarded(snapshot())
    put_before(engine, first, second, third)
    second.closed_for = 1.0
    assert engine.ask(0.0).reason is Reason.THROTTLE
    assert (first.asked, second.asked, third.asked) == (1, 1, 0)
    assert first.out == second.out == third.out == set()


def test_what_one_path_of_two_readings_is_held_back_by_holds_back_both() -> None:
    engine = Guarded(snapshot(routes={"a": [], "b": []}))
    behind = ToldGate()
    behind.closed_for = 1.0
    engine.rules.guards["front"][1].gates = [behind]
    assert engine.ask(0.0, "/a").state is State.FORWARD
    assert engine.ask(0.0, "/a", other_paths=("/b",)).reason is Reason.BREAKER


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Outcome.SUCCESS), (500, Outcome.FAILURE), (503, Outcome.DROPPED)],
)
def test_an_answer_ends_what_was_sent_with_its_head(
    gate: ToldGate, status: int, outcome: Outcome
) -> None:
    engine = gated(gate)
    call = engine.ask(0.0)
    assert len(gate.out) == 1
    engine.engine.answered(call.verdict, status, 0.25, 0.3)
    assert gate.ends == [(outcome, 0.25)]
    call.settle(60.0, status)
    assert gate.ends == [(outcome, 0.25)]


@pytest.mark.parametrize("reason", [None, *Reason])
def test_every_end_without_an_answer_is_told_once(gate: ToldGate, reason: Reason | None) -> None:
    engine = gated(gate)
    call = engine.ask(0.0)
    engine.engine.settle(call.verdict, Completion(0, 1.0, 0.1, reason, 0.7), 1.0)
    broken = reason in {Reason.UPSTREAM_ERROR, Reason.UPSTREAM_TIMEOUT}
    assert gate.ends == [(Outcome.FAILURE if broken else Outcome.IGNORED, 0.7)]
    assert gate.out == set()


def test_a_waiter_whose_turn_comes_at_a_gate_closed_meanwhile_is_refused(gate: ToldGate) -> None:
    engine = gated(gate, rate("tokens", 1, burst=3), concurrency("places", 1, queue=2))
    first, waiter, other = (engine.ask(0.0) for _ in range(3))
    assert (waiter.state, other.state, len(gate.out)) == (State.WAIT, State.WAIT, 1)
    gate.again_for = 2.0
    first.settle(0.5)
    assert (waiter.state, waiter.reason, waiter.woken) == (State.REFUSE, Reason.BREAKER, 1)
    assert (other.state, other.reason, other.woken) == (State.REFUSE, Reason.BREAKER, 1)
    assert engine.concurrency("places").in_flight == engine.concurrency("places").waiting == 0
    gate.again_for = 0.0
    assert engine.admits(0.5), "the last one's token came back"


def test_who_waits_for_the_adaptive_limit_or_its_pace_is_asked_again(gate: ToldGate) -> None:
    plain = snapshot(pace("even", 10, 1.0))
    shop = replace(plain.upstreams["shop"], adaptive_concurrency=AdaptiveSpec("a", 1, 1))
    engine = Guarded(replace(plain, upstreams={"shop": shop}))
    put_before(engine, gate)
    first, paced = engine.ask(0.0), engine.ask(0.0)
    paced.resume(0.1)
    assert (first.state, paced.state) == (State.FORWARD, State.WAIT)
    gate.again_for = 2.0
    first.settle(0.12)
    assert (paced.state, paced.reason) == (State.REFUSE, Reason.BREAKER)
    engine.ask(0.3).settle(0.3)
    late = engine.ask(0.3)
    late.resume(0.4)
    assert (late.state, late.reason) == (State.REFUSE, Reason.BREAKER)
    assert engine.rules.adaptive["shop"].in_flight == 0


def test_a_waiter_that_leaves_was_never_sent(gate: ToldGate) -> None:
    engine = gated(gate, concurrency("places", 1, queue=1))
    engine.ask(0.0)
    engine.ask(0.0).settle(0.1, status=0)
    assert (gate.asked, len(gate.out), gate.ends) == (2, 1, [])


def test_what_was_sent_before_new_rules_ends_with_the_gate_that_let_it_go(gate: ToldGate) -> None:
    engine = gated(gate)
    call = engine.ask(0.0)
    engine.reload(snapshot(), 0.125)
    call.settle(0.25)
    assert gate.ends == [(Outcome.IGNORED, 0.25)]
