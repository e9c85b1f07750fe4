from proxy.policy.verdict import State
from tests.policy.guarded import Guarded, concurrency, rate, snapshot


def test_verdicts_share_nothing() -> None:
    engine = Guarded(snapshot(rate("bucket", 9, burst=9), concurrency("places", 1, queue=9)))
    engine.ask(0.0)
    calls = engine.ask(0.0), engine.ask(1.0)
    one, other = (call.verdict for call in calls)
    assert (one.decided_at, other.decided_at) == (0.0, 1.0)
    assert one.waiting is not None
    assert other.waiting is not None
    for name in ("charges", "wanted"):
        assert getattr(one.waiting, name) != []
        assert getattr(one.waiting, name) is not getattr(other.waiting, name)
    calls[0].settle(1.0)
    assert (one.waiting.charges, len(other.waiting.charges)) == ([], 1)


def test_what_is_decided_at_once_needs_nothing_of_what_a_waiting_one_needs() -> None:
    engine = Guarded(snapshot(rate("bucket", 9), concurrency("places", 2)))
    forwarded, refused = engine.ask(0.0).verdict, engine.ask(0.0).verdict
    assert (forwarded.state, refused.state) == (State.FORWARD, State.REFUSE)
    assert forwarded.waiting is refused.waiting is None
    assert forwarded.wait_until == refused.wait_until == 0.0
    assert [limit.limiter.spec.name for limit, _ in forwarded.holds] == ["places"]
    assert not refused.holds


def test_a_settled_verdict_is_in_no_other_state() -> None:
    engine = Guarded(snapshot())
    call = engine.ask(0.0)
    call.settle(0.0)
    assert call.state is State.SETTLED
    call.resume(1.0)
    assert call.verdict.waited == 0.0
