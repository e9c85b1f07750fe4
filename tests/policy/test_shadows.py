import pytest

from proxy.policy.verdict import State
from tests.policy.guarded import Guarded, concurrency, pace, rate, snapshot


@pytest.mark.parametrize("limit", [rate("dry", 1, shadow=True), pace("dry", 1, 0.0, shadow=True)])
def test_a_shadow_limit_counts_what_it_would_refuse_and_refuses_nothing(limit: object) -> None:
    engine = Guarded(snapshot(limit))  # type: ignore[arg-type]
    assert all(engine.admits(0.0) for _ in range(5))
    assert engine.counts("dry") == (1, 0, 4)


def test_a_shadow_concurrency_counts_its_queue_as_places() -> None:
    engine = Guarded(snapshot(concurrency("dry", 1, queue=2, shadow=True)))
    calls = [engine.ask(0.0) for _ in range(5)]
    assert {call.state for call in calls} == {State.FORWARD}
    assert engine.counts("dry") == (3, 0, 2)
    for call in calls:
        call.settle(1.0)
    assert engine.concurrency("dry").in_flight == 0


def test_a_shadow_limit_is_not_asked_about_what_others_refuse() -> None:
    engine = Guarded(snapshot(rate("dry", 1, shadow=True), rate("real", 1)))
    for _ in range(3):
        engine.admits(0.0)
    assert engine.counts("dry") == (1, 0, 0)


def test_a_waiter_s_shadows_are_asked_when_it_is_forwarded() -> None:
    limits = concurrency("places", 1, queue=2), concurrency("dry", 1, shadow=True)
    engine = Guarded(snapshot(*limits, rate("dry-rate", 1, shadow=True)))
    holder, waiter, leaver = (engine.ask(0.0) for _ in range(3))
    leaver.settle(0.0, status=0)
    assert engine.counts("dry") == engine.counts("dry-rate") == (1, 0, 0)
    holder.settle(0.5)
    assert engine.counts("dry") == (2, 0, 0)
    assert engine.counts("dry-rate") == (1, 0, 1)
    assert [limit.limiter.spec.name for limit, _ in waiter.verdict.holds] == ["places", "dry"]
    waiter.settle(0.5)
    assert engine.concurrency("dry").in_flight == 0
