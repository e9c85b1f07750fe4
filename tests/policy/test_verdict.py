from proxy.policy.verdict import State
from tests.policy.guarded import Guarded, snapshot


def test_verdicts_share_nothing() -> None:
    engine = Guarded(snapshot())
    one, other = engine.ask(0.0).verdict, engine.ask(1.0).verdict
    for name in ("charges", "holds", "shadows", "wanted"):
        assert getattr(one, name) == []
        assert getattr(one, name) is not getattr(other, name)
    assert (one.decided_at, other.decided_at) == (0.0, 1.0)


def test_a_settled_verdict_is_in_no_other_state() -> None:
    engine = Guarded(snapshot())
    call = engine.ask(0.0)
    call.settle(0.0)
    assert call.state is State.SETTLED
    call.resume(1.0)
    assert call.verdict.waited == 0.0
