"""The adaptive limit of an upstream, among all the others."""

from dataclasses import replace

import pytest

from proxy.policy.adaptive import FIRST_GUESS, AdaptiveLimiter
from proxy.policy.priority import Priority
from proxy.policy.priority_queue import INTERVAL
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import AdaptiveSpec, LimitSpec, Snapshot
from proxy.policy.verdict import Completion, State
from tests.policy.guarded import Call, Guarded, concurrency, pace, rate, snapshot

MOST_WAITERS = round(INTERVAL / FIRST_GUESS)
"""For one place, before there was an answer."""


def rules(*limits: LimitSpec, least: int = 1, most: int = 1) -> Snapshot:
    """Routes by their priority, with all the `limits`, and places for so many at the shop."""
    names = [each.name for each in limits]
    plain = snapshot(*limits, routes={each.name.lower(): names for each in Priority})
    adaptive = AdaptiveSpec("shop/adaptive", least, most)
    return replace(
        plain,
        upstreams={"shop": replace(plain.upstreams["shop"], adaptive_concurrency=adaptive)},
        routes=tuple(replace(each, priority=Priority[each.name.upper()]) for each in plain.routes),
    )


def adaptive(engine: Guarded) -> AdaptiveLimiter:
    return engine.rules.adaptive["shop"]


def answer(engine: Guarded, call: Call, now: float, status: int = 200) -> None:
    """The shop answers `call`, which was not waiting."""
    engine.engine.answered(call.verdict, status, 0.02, now)
    call.settle(now, status)


@pytest.fixture
def engine() -> Guarded:
    return Guarded(rules())


def test_who_finds_no_place_waits_for_the_next_answer(engine: Guarded) -> None:
    first, second = engine.ask(0.0, "/normal"), engine.ask(0.0, "/normal")
    assert (first.state, second.state) == (State.FORWARD, State.WAIT)
    assert second.verdict.wait_until == INTERVAL
    answer(engine, first, 0.02)
    assert (second.state, second.woken) == (State.FORWARD, 1)
    assert second.verdict.waited == pytest.approx(0.02)


def test_the_permit_comes_back_with_the_head_and_not_with_the_end(engine: Guarded) -> None:
    download = engine.ask(0.0, "/normal")
    engine.engine.answered(download.verdict, 200, 0.02, 0.02)
    assert adaptive(engine).in_flight == 0
    assert engine.ask(0.03, "/normal").state is State.FORWARD
    download.settle(60.0)
    assert adaptive(engine).in_flight == 1


def test_who_waited_in_vain_is_refused_with_the_limit_s_name(engine: Guarded) -> None:
    engine.ask(0.0, "/normal")
    waiter = engine.ask(0.0, "/normal")
    waiter.resume(INTERVAL)
    assert (waiter.state, waiter.reason) == (State.REFUSE, Reason.QUEUE_TIMEOUT)
    assert waiter.verdict.limit is not None
    assert waiter.verdict.limit.name == "shop/adaptive"
    assert waiter.verdict.retry_after is not None
    assert adaptive(engine).queue.waiting == 0


def test_when_the_queue_stands_newcomers_are_refused_at_once(engine: Guarded) -> None:
    _, *old = [engine.ask(0.0, "/low") for _ in range(1 + MOST_WAITERS)]
    late = engine.ask(0.01, "/low")
    assert (late.state, late.reason) == (State.REFUSE, Reason.CONCURRENCY)
    for each in old:
        assert (each.state, each.reason, each.woken) == (State.REFUSE, Reason.QUEUE_TIMEOUT, 1)
    assert adaptive(engine).counters.refused == MOST_WAITERS + 1
    assert engine.rules.snapshot.upstreams["shop"].adaptive_concurrency is late.verdict.limit


def test_the_important_go_first(engine: Guarded) -> None:
    first = engine.ask(0.0, "/low")
    waiting = {name: engine.ask(0.0, f"/{name}") for name in ("low", "normal", "critical", "high")}
    served = []
    while waiting:
        answer(engine, first, 0.01)
        name = next(name for name, call in waiting.items() if call.state is State.FORWARD)
        served.append(name)
        first = waiting.pop(name)
    assert served == ["critical", "high", "normal", "low"]


def test_when_the_queue_stands_the_newest_go_first(engine: Guarded) -> None:
    first, *_ = [engine.ask(0.0, "/low") for _ in range(1 + MOST_WAITERS)]
    assert engine.ask(0.01, "/low").state is State.REFUSE
    # Two are served in the room of a queue that stands.
    adaptive(engine).algorithm.latency = 0.0005
    waiters = [engine.ask(0.01, "/low") for _ in range(2)]
    answer(engine, first, 0.01)
    assert [each.state for each in waiters] == [State.WAIT, State.FORWARD]


def test_an_important_one_takes_the_place_of_an_unimportant_waiter() -> None:
    engine = Guarded(rules(rate("tokens", 1, burst=100)))
    first = engine.ask(0.0, "/low")
    # Hardly any are served, so one may wait.
    adaptive(engine).algorithm.latency = 1.0
    low = engine.ask(0.0, "/low")
    critical = engine.ask(0.0, "/critical")
    assert (low.state, low.reason, low.woken) == (State.REFUSE, Reason.CONCURRENCY, 1)
    answer(engine, first, 0.01)
    assert critical.state is State.FORWARD


def test_a_refusal_takes_nothing() -> None:
    engine = Guarded(rules(rate("tokens", 1, burst=10), concurrency("places", 10)))
    first = engine.ask(0.0, "/low")
    waiters = [engine.ask(0.0, "/low") for _ in range(MOST_WAITERS)]
    assert engine.ask(0.0, "/low").state is State.REFUSE
    assert engine.counts("tokens")[0] == 1 + MOST_WAITERS
    assert engine.concurrency("places").in_flight == 1
    # The tokens of those who waited in vain come back, as nobody has taken one since.
    for waiter in reversed(waiters):
        waiter.settle(0.0, status=0)
    answer(engine, first, 0.0)
    assert [engine.admits(0.0, "/low") for _ in range(10)] == [True] * 9 + [False]


def test_a_waiter_holds_no_permit_of_another_limit() -> None:
    engine = Guarded(rules(concurrency("places", 5)))
    first = engine.ask(0.0, "/normal")
    waiter = engine.ask(0.0, "/normal")
    assert engine.concurrency("places").in_flight == 1
    answer(engine, first, 0.01)
    assert (waiter.state, engine.concurrency("places").in_flight) == (State.FORWARD, 1)


def test_who_had_its_turn_elsewhere_waits_here_too() -> None:
    engine = Guarded(rules(concurrency("places", 1, queue=1), most=1))
    first = engine.ask(0.0, "/normal")
    engine.engine.answered(first.verdict, 200, 0.02, 0.0)
    other = engine.ask(0.0, "/unmatched")
    assert other.state is State.FORWARD
    waiter = engine.ask(0.0, "/normal")
    assert engine.concurrency("places").waiting == 1
    first.settle(0.01)
    assert (waiter.state, adaptive(engine).queue.waiting) == (State.WAIT, 1)
    assert waiter.verdict.wait_until == pytest.approx(0.01 + INTERVAL)
    answer(engine, other, 0.02)
    assert waiter.state is State.FORWARD


def test_who_has_its_turn_here_may_have_to_wait_elsewhere() -> None:
    engine = Guarded(rules(concurrency("places", 1, queue=1), most=1))
    first = engine.ask(0.0, "/unmatched")
    waiter = engine.ask(0.0, "/normal")
    # The only place goes to another, while it waits for the shop.
    engine.concurrency("places").acquire(b"")
    answer(engine, first, 0.01)
    assert (waiter.state, waiter.woken) == (State.WAIT, 1)
    assert engine.concurrency("places").waiting == 1
    assert adaptive(engine).in_flight == 0


def test_who_waits_for_its_pace_takes_no_place_meanwhile() -> None:
    engine = Guarded(rules(pace("even", 10, 1.0)))
    answer(engine, engine.ask(0.0, "/normal"), 0.0)
    paced = engine.ask(0.0, "/normal")
    assert (paced.state, adaptive(engine).in_flight) == (State.WAIT, 0)
    paced.resume(0.1)
    assert (paced.state, adaptive(engine).in_flight) == (State.FORWARD, 1)


def test_a_waiter_that_leaves_frees_its_place_in_the_queue(engine: Guarded) -> None:
    engine.ask(0.0, "/normal")
    waiter = engine.ask(0.0, "/normal")
    waiter.settle(0.01, status=0)
    assert adaptive(engine).queue.waiting == 0


def test_whose_client_left_counts_until_the_shop_has_answered(engine: Guarded) -> None:
    adaptive(engine).algorithm.latency = 0.05
    gone = engine.ask(0.0, "/normal")
    gone.settle(0.01, status=0)
    waiter = engine.ask(0.02, "/normal")
    assert waiter.state is State.WAIT
    late = engine.ask(0.051, "/normal")
    assert (waiter.state, waiter.woken, late.state) == (State.FORWARD, 1, State.WAIT)


def test_nobody_is_refused_for_a_place_that_has_come_back(engine: Guarded) -> None:
    adaptive(engine).algorithm.latency = 0.05
    engine.ask(0.0, "/normal").settle(0.01, status=0)
    waiter = engine.ask(0.02, "/normal")
    waiter.resume(0.02 + INTERVAL)
    assert waiter.state is State.FORWARD


@pytest.mark.parametrize("silence", [0.0, 0.9])
@pytest.mark.parametrize("reason", [None, *Reason])
def test_every_end_gives_the_permit_back(
    engine: Guarded, reason: Reason | None, silence: float
) -> None:
    call = engine.ask(0.0, "/normal")
    engine.engine.settle(call.verdict, Completion(0, 1.0, 0.1, reason, silence), 1.0)
    assert adaptive(engine).in_flight == 0


@pytest.mark.parametrize("reason", [None, Reason.UPSTREAM_ERROR, Reason.REQUEST_TIMEOUT])
def test_an_upload_that_never_ends_says_nothing_about_the_shop(
    engine: Guarded, reason: Reason | None
) -> None:
    for _ in range(50):
        answer(engine, engine.ask(0.0, "/normal"), 0.0)
    algorithm = adaptive(engine).algorithm
    known = algorithm.latency
    for second in range(1, 100):
        call = engine.ask(float(second), "/normal")
        engine.engine.settle(call.verdict, Completion(0, 9.0, 0.1, reason), second + 9.0)
        assert adaptive(engine).in_flight == 0
    assert algorithm.latency == known


def test_what_is_learnt_outlives_a_reload(engine: Guarded) -> None:
    learnt = adaptive(engine)
    call = engine.ask(0.0, "/normal")
    waiters = [engine.ask(0.0, "/normal") for _ in range(2)]
    engine.reload(rules(least=2, most=3), 0.01)
    assert adaptive(engine) is learnt
    assert [each.state for each in waiters] == [State.FORWARD, State.WAIT]
    answer(engine, call, 0.02)
    assert waiters[1].state is State.FORWARD


def test_without_the_limit_waiters_go_on_by_the_old(engine: Guarded) -> None:
    first, waiter = engine.ask(0.0, "/normal"), engine.ask(0.0, "/normal")
    engine.reload(snapshot(), 0.01)
    assert engine.ask(0.01, "/normal").state is State.FORWARD
    answer(engine, first, 0.02)
    assert waiter.state is State.FORWARD


def test_draining_refuses_waiters(engine: Guarded) -> None:
    engine.ask(0.0, "/normal")
    waiter = engine.ask(0.0, "/normal")
    engine.engine.dismiss(waiter.verdict, 0.01)
    assert (waiter.reason, adaptive(engine).queue.waiting) == (Reason.DRAINING, 0)


def test_who_comes_from_its_pace_finds_the_places_that_came_back() -> None:
    engine = Guarded(rules(pace("even", 10, 5.0)))
    adaptive(engine).algorithm.latency = 0.05
    gone = engine.ask(0.0, "/normal")
    paced = engine.ask(0.0, "/normal")
    gone.settle(0.01, status=0)
    before = paced.state
    paced.resume(0.1)
    assert (before, paced.state) == (State.WAIT, State.FORWARD)


def test_who_gets_the_place_of_one_that_failed_gets_it_everywhere() -> None:
    engine = Guarded(rules(concurrency("places", 1, queue=1)))
    adaptive(engine).algorithm.latency = 20.0
    first = engine.ask(0.0, "/normal")
    waiter = engine.ask(0.0, "/normal")
    # Hardly any are served, and the queue for the shop stands.
    while adaptive(engine).patience(Priority.NORMAL, 0.01):
        adaptive(engine).queue.push(object(), Priority.NORMAL, 0.01)
    while adaptive(engine).queue.pop(0.01) is not None:
        pass
    failed = Completion(502, 0.1, 0.1, Reason.UPSTREAM_ERROR)
    engine.engine.settle(first.verdict, failed, 0.02)
    assert waiter.state is State.FORWARD


def test_an_answer_has_the_waiters_take_the_places_that_came_back_before() -> None:
    engine = Guarded(rules(least=2, most=2))
    adaptive(engine).algorithm.latency = 0.05
    engine.ask(0.0, "/normal").settle(0.01, status=0)
    other = engine.ask(0.0, "/normal")
    waiters = [engine.ask(0.02, "/normal") for _ in range(2)]
    answer(engine, other, 0.06)
    assert [each.state for each in waiters] == [State.FORWARD, State.FORWARD]


def test_places_that_came_back_let_in_no_more_than_another_limit_has() -> None:
    engine = Guarded(rules(concurrency("pool", 1, queue=9), least=2, most=2))
    adaptive(engine).algorithm.latency = 0.05
    for _ in range(2):
        engine.ask(0.0, "/normal").settle(0.01, status=0)
    waiter = engine.ask(0.02, "/normal")
    newcomer = engine.ask(0.06, "/normal")
    assert (waiter.state, newcomer.state) == (State.FORWARD, State.WAIT)
    waiter.settle(0.07)
    assert (newcomer.state, engine.concurrency("pool").in_flight) == (State.FORWARD, 1)


def test_who_is_offered_a_permit_that_another_takes_meanwhile_waits_on() -> None:
    engine = Guarded(rules(concurrency("pool", 1, queue=9), least=3, most=3))
    adaptive(engine).algorithm.latency = 0.05
    for left_at in (0.01, 0.02, 0.02):
        engine.ask(left_at - 0.01, "/normal").settle(left_at, status=0)
    waiter = engine.ask(0.03, "/normal")
    first = engine.ask(0.03, "/critical")
    # The first place that came back is for the important one, and with it the only permit.
    offered = engine.ask(0.055, "/normal")
    assert [each.state for each in (first, waiter, offered)] == [
        State.FORWARD, State.WAIT, State.WAIT,
    ]  # fmt: skip
    # With its permit two more places are back.
    first.settle(0.07, status=0)
    assert (waiter.state, offered.state) == (State.FORWARD, State.WAIT)
    assert engine.concurrency("pool").in_flight == 1
    waiter.settle(0.08)
    assert (offered.state, offered.woken) == (State.FORWARD, 2)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_the_shop_refuses_in_no_time_does_not_make_it_look_fast(
    engine: Guarded, status: int
) -> None:
    adaptive(engine).algorithm.latency = 0.02
    for second in range(100):
        call = engine.ask(float(second), "/normal")
        engine.engine.answered(call.verdict, status, 0.0001, second + 0.0001)
        call.settle(second + 0.0001, status)
    assert adaptive(engine).algorithm.latency == 0.02
