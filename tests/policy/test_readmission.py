"""What the engine does with requests that are sent again."""

from dataclasses import replace

import pytest

from proxy.policy.outcome import Outcome
from proxy.policy.reasons import Reason
from proxy.policy.retrying import Failure
from proxy.policy.snapshot import AdaptiveSpec, LimitSpec, RetrySpec, Snapshot, UpstreamSpec
from proxy.policy.verdict import Completion, State
from tests.policy.gated import ToldGate, put_before
from tests.policy.guarded import Call, Guarded, concurrency, rate, snapshot
from tests.support.build import interpreted_only

RESET = Failure(Reason.UPSTREAM_ERROR, sent=True, repeatable=True, silence=0.5)


def rules(*limits: LimitSpec, adaptive: AdaptiveSpec | None = None, **spec: object) -> Snapshot:
    retry = RetrySpec(**spec)  # type: ignore[arg-type]
    shop = UpstreamSpec("shop", "::1", 2, retry=retry, adaptive_concurrency=adaptive)
    return replace(snapshot(*limits), upstreams={"shop": shop})


def goes_again(it: Guarded, call: Call, now: float, failure: Failure = RESET) -> bool:
    return it.engine.retry(call.verdict, failure, now, lambda: None)


def test_another_attempt_waits_and_is_forwarded() -> None:
    it = Guarded(rules(rate("one", 1.0)))
    it.jitter = 0.8
    call = it.ask(0.0)
    assert goes_again(it, call, 1.0)
    assert call.verdict.state is State.WAIT
    assert call.verdict.wait_until == 1.02
    assert it.rules.routes["all"].in_flight == 0
    call.resume(1.02)
    assert call.state is State.FORWARD
    assert (call.verdict.attempts, it.rules.routes["all"].in_flight) == (2, 1)
    # A rate counts requests, not attempts; what was waited for is told without the attempt.
    assert it.counts("one") == (1, 0, 0)
    assert call.verdict.waited == pytest.approx(0.02)
    it.engine.answered(call.verdict, 200, 0.1, 1.2)
    call.settle(1.2)
    of_shop = it.rules.retrying["shop"]
    assert (of_shop.answered, of_shop.failed, of_shop.held_back) == (1, 0, 0)
    assert it.rules.routes["all"].forwarded == 1


def test_the_last_failure_is_final_and_counted() -> None:
    it = Guarded(rules())
    call = it.ask(0.0)
    assert goes_again(it, call, 0.0)
    call.resume(0.1)
    assert not goes_again(it, call, 0.2)
    assert call.state is State.FORWARD
    it.engine.settle(call.verdict, Completion(502, 0.2, 0.0, Reason.UPSTREAM_ERROR), 0.2)
    assert it.rules.retrying["shop"].failed == 1
    assert it.rules.routes["all"].failed[Reason.UPSTREAM_ERROR] == 1
    assert it.rules.routes["all"].in_flight == 0


def test_nothing_is_sent_again_without_rules_for_it_or_while_draining() -> None:
    it = Guarded(snapshot())
    assert not goes_again(it, it.ask(0.0), 0.0)
    it = Guarded(rules())
    call = it.ask(0.0)
    it.engine.draining = True
    assert not goes_again(it, call, 0.0)


@pytest.mark.parametrize("how", ["resume", "dismiss"])
def test_what_waits_to_be_sent_again_fails_when_draining_begins(how: str) -> None:
    it = Guarded(rules())
    call = it.ask(0.0)
    assert goes_again(it, call, 0.0)
    it.engine.draining = True
    if how == "resume":
        call.resume(0.1)
    else:
        it.engine.dismiss(call.verdict, 0.0)
    assert call.state is State.FAIL
    it.engine.settle(call.verdict, Completion(502, 0.2, 0.0, Reason.UPSTREAM_ERROR), 0.2)
    route = it.rules.routes["all"]
    assert route.failed[Reason.UPSTREAM_ERROR] == 1
    assert (sum(route.refused.values()), route.in_flight) == (0, 0)
    assert it.rules.retrying["shop"].held_back == 1


def test_a_client_that_leaves_before_the_next_attempt_gives_everything_back() -> None:
    it = Guarded(rules(concurrency("few", 1), rate("tokens", 1e-9, burst=2)))
    call = it.ask(0.0)
    assert goes_again(it, call, 0.0)
    assert it.concurrency("few").in_flight == 0, "others may have its place meanwhile"
    it.engine.settle(call.verdict, Completion(0, 0.2, 0.0), 0.1)
    assert it.concurrency("few").in_flight == 0
    assert it.rules.routes["all"].abandoned == 1
    # Its token is spent: it was sent.
    assert it.admits(0.2)
    assert not it.admits(0.2)


def test_whoever_waits_has_its_place_during_the_pause() -> None:
    """Else a pool of ten would be full of a dozen that wait for a second."""
    it = Guarded(rules(concurrency("pool", 1, queue=1), concurrency("dry", 5, shadow=True)))
    call, waiter = it.ask(0.0), it.ask(0.0)
    assert (call.state, waiter.state) == (State.FORWARD, State.WAIT)
    assert goes_again(it, call, 0.01)
    assert (waiter.state, waiter.woken) == (State.FORWARD, 1)
    assert it.counts("dry") == (2, 0, 0)
    # Then it waits like all others, and is sent when there is room.
    call.resume(0.05)
    assert call.state is State.WAIT
    waiter.settle(0.1)
    assert (call.state, call.verdict.attempts) == (State.FORWARD, 2)
    assert it.concurrency("pool").in_flight == it.concurrency("dry").in_flight == 1
    assert it.counts("dry") == (2, 0, 0)
    call.settle(0.2)
    assert it.concurrency("pool").in_flight == it.concurrency("dry").in_flight == 0


def test_who_finds_the_queue_full_or_waits_in_vain_fails_as_it_did() -> None:
    for queue in (0, 1):
        it = Guarded(rules(concurrency("pool", 1, queue=queue)))
        call = it.ask(0.0)
        assert goes_again(it, call, 0.0)
        other = it.ask(0.01)
        assert other.state is State.FORWARD
        call.resume(0.05)
        if queue:
            call.resume(call.verdict.wait_until)
        assert (call.state, call.reason) == (State.FAIL, None)
        assert it.rules.retrying["shop"].held_back == 1
        call.settle(2.0, 502)
        other.settle(2.0)
        limit = it.concurrency("pool")
        assert (limit.in_flight, limit.waiting) == (0, 0)


def test_the_adaptive_limit_is_asked_anew_and_has_its_permit_back_meanwhile() -> None:
    it = Guarded(rules(adaptive=AdaptiveSpec("shop/adaptive", 1, 1)))
    limit = it.rules.adaptive["shop"]
    call = it.ask(0.0)
    assert goes_again(it, call, 0.0)
    assert limit.in_flight == 0
    other = it.ask(0.0)
    assert other.state is State.FORWARD
    call.resume(0.1)
    assert call.verdict.state is State.WAIT
    it.engine.answered(other.verdict, 200, 0.1, 0.11)
    assert call.state is State.FORWARD
    other.settle(0.2)
    call.settle(0.2)
    assert limit.in_flight == 0


def test_who_finds_no_place_for_another_attempt_fails_as_it_did() -> None:
    it = Guarded(rules(adaptive=AdaptiveSpec("shop/adaptive", 1, 1)))
    call = it.ask(0.0)
    assert goes_again(it, call, 0.0)
    other = it.ask(0.0)
    call.resume(0.1)
    call.resume(call.verdict.wait_until)
    assert call.state is State.FAIL
    assert (call.verdict.attempts, call.reason) == (1, None)
    other.settle(9.0)
    call.settle(9.0, 502)


def test_a_reload_keeps_the_budget_and_the_counts() -> None:
    it = Guarded(rules(least_per_second=0.0, budget=0.0))
    call = it.ask(0.0)
    assert goes_again(it, call, 0.0)
    call.resume(0.1)
    while it.rules.retrying["shop"].budget.spend(0.1):
        pass
    it.reload(rules(least_per_second=0.0, budget=0.0, attempts=3), 0.1)
    assert not goes_again(it, call, 0.2)
    of_shop = it.rules.retrying["shop"]
    assert (of_shop.spec.attempts, of_shop.failed, of_shop.over_budget) == (3, 1, 1)


def test_at_total_failure_the_shop_gets_a_fifth_more_and_no_more() -> None:
    """Five hundred requests a second, a minute of which is answered and a minute not; whoever may
    is sent five times, and the clock is ours.
    """
    it = Guarded(rules(attempts=5, least_per_second=2.0))
    sent: dict[int, int] = {}
    waiting: list[Call] = []

    def tries(call: Call, now: float) -> None:
        while call.state is State.FORWARD:
            sent[int(now)] = sent.get(int(now), 0) + 1
            if int(now) < 30:
                it.engine.answered(call.verdict, 200, 0.0, now)
                call.settle(now)
            elif not goes_again(it, call, now):
                it.engine.settle(call.verdict, Completion(502, 0.0, 0.0, RESET.reason), now)
        if call.state is State.WAIT:
            waiting.append(call)

    for step in range(500 * 60):
        now = step / 500
        it.jitter = step % 7 / 7
        tries(it.ask(now), now)
        due = [call for call in waiting if call.verdict.wait_until <= now]
        waiting = [call for call in waiting if call not in due]
        for call in due:
            call.resume(now)
            tries(call, now)
    assert all(sent[second] == 500 for second in range(30))
    # Those that wait spill over from one second into the next: 250 ms of them at most.
    assert all(590 <= sent[second] <= 600 + 2 + 10 + 30 for second in range(31, 59))
    assert sum(sent[second] for second in range(30, 60)) <= 30 * 602 + 10


@interpreted_only
def test_the_gates_are_told_of_each_attempt_and_asked_before_it() -> None:
    gate = ToldGate()
    it = Guarded(rules(attempts=3))
    put_before(it, gate)
    call = it.ask(0.0)
    assert goes_again(it, call, 1.0)
    assert (gate.ends, gate.out) == ([(Outcome.FAILURE, 0.5)], set())
    call.resume(1.1)
    it.engine.answered(call.verdict, 503, 0.1, 1.2)
    busy = Failure(RESET.reason, sent=True, repeatable=True, status=503, retry_after=0.0)
    gate.closed_for = 9.0
    assert goes_again(it, call, 1.2, busy)
    call.resume(1.3)
    assert call.state is State.FAIL
    it.engine.settle(call.verdict, Completion(502, 1.3, 0.0, RESET.reason), 1.3)
    assert gate.ends == [(Outcome.FAILURE, 0.5), (Outcome.DROPPED, 0.1)]
    assert (gate.asked, gate.out) == (3, set())
    assert call.verdict.attempts == 2
