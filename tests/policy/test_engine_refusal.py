"""What a refusal costs, counted: at ten times the capacity nine of ten requests are one.

The bench says how much of a core that is (proxy CPU at 10 x). The bounds are 1.2 times what it took
when they were written, 12 and 21 calls: room for a call or two that somebody means to add.
"""

from dataclasses import replace

from proxy.policy.reasons import Reason
from proxy.policy.snapshot import AdaptiveSpec
from tests.policy.guarded import CLIENT, FRONT, Guarded, rate, request, snapshot
from tests.policy.test_engine_adaptive import MOST_WAITERS
from tests.support.build import interpreted_only
from tests.support.counted_calls import count_calls


def _never() -> None:
    raise AssertionError("woken unasked")


def _refusal(engine: Guarded, now: float, reason: Reason) -> int:
    """The calls of a decision, from the request to the refusal."""
    about = request()
    verdicts = []
    count = count_calls(lambda: verdicts.append(engine.engine.decide(FRONT, about, now, _never)))
    assert verdicts[0].reason is reason
    return count


@interpreted_only
def test_a_refusal_by_a_rate_is_a_few_calls() -> None:
    engine = Guarded(snapshot(rate("client", 1.0, per=CLIENT)))
    engine.ask(0.0)
    engine.ask(0.0)
    assert _refusal(engine, 0.0, Reason.RATE) <= 14


@interpreted_only
def test_a_refusal_by_the_adaptive_limit_is_a_few_calls() -> None:
    """With its queue full and standing, and a limit of rate before it that admits."""
    plain = snapshot(rate("client", 1000.0, 1000, per=CLIENT))
    shop = replace(plain.upstreams["shop"], adaptive_concurrency=AdaptiveSpec("own", 1, 1))
    engine = Guarded(replace(plain, upstreams={"shop": shop}))
    for _ in range(1 + MOST_WAITERS + 2):
        engine.ask(0.0)
    assert _refusal(engine, 0.0, Reason.CONCURRENCY) <= 25
