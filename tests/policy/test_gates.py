"""Gates in the engine: who has which, and what they keep over new rules."""

from dataclasses import replace

from proxy.policy.reasons import Reason
from proxy.policy.snapshot import (
    AdaptiveSpec,
    BreakerSpec,
    FailureSpec,
    GateSpec,
    ListenerSpec,
    Snapshot,
    ThrottleSpec,
    UpstreamSpec,
)
from proxy.policy.verdict import State
from tests.policy.guarded import FRONT, Guarded, concurrency, snapshot

BREAKER = BreakerSpec("shop/breaker", consecutive_failures=3)
THROTTLE = ThrottleSpec("shop/throttle", min_requests=3)


def rules(
    *,
    upstream: dict[str, object] | None = None,
    route: dict[str, object] | None = None,
    of_other: dict[str, object] | None = None,
) -> Snapshot:
    """Two routes to one shop, `a` and `b`; further keys of it, of `a`, and of `b`."""
    plain = snapshot(routes={"a": [], "b": []})
    shop = replace(plain.upstreams["shop"], **(upstream or {}))  # type: ignore[arg-type]
    first, second = plain.routes
    first = replace(first, **(route or {}))  # type: ignore[arg-type]
    second = replace(second, **(of_other or {}))  # type: ignore[arg-type]
    return replace(plain, upstreams={"shop": shop}, routes=(first, second))


def answer(engine: Guarded, now: float, path: str, status: int) -> None:
    """One request, that the shop answers with `status`."""
    call = engine.ask(now, path)
    assert call.state is State.FORWARD
    engine.engine.answered(call.verdict, status, 0.1, now)
    call.settle(now, status)


def refusal(engine: Guarded, now: float, path: str) -> tuple[Reason, str] | None:
    """Why a request is refused, and by what."""
    call = engine.ask(now, path)
    call.settle(now)
    if call.reason is None:
        return None
    assert isinstance(call.verdict.limit, GateSpec)
    return call.reason, call.verdict.limit.name


def test_an_upstream_s_gates_stand_before_all_its_routes_behind_their_own() -> None:
    own = BreakerSpec("a/breaker")
    engine = Guarded(
        rules(
            upstream={"breaker": BREAKER, "throttle": THROTTLE},
            route={"breaker": own, "throttle": ThrottleSpec("a/throttle")},
        )
    )
    first, second = engine.rules.guards[FRONT]
    names = [gate.spec.name for gate in first.gates]
    assert names == ["a/breaker", "a/throttle", "shop/breaker", "shop/throttle"]
    assert [gate.spec.name for gate in second.gates] == names[2:]
    assert second.gates == engine.rules.unmatched[FRONT].gates == first.gates[2:]


def test_a_route_s_gates_hold_back_that_route_alone() -> None:
    engine = Guarded(rules(route={"breaker": BREAKER}))
    for _ in range(3):
        answer(engine, 0.0, "/a", 500)
    assert refusal(engine, 0.0, "/a") == (Reason.BREAKER, "shop/breaker")
    assert refusal(engine, 0.0, "/b") is None


def test_what_all_routes_meet_opens_the_upstream_s_breaker() -> None:
    engine = Guarded(rules(upstream={"breaker": BREAKER}))
    for path in ("/a", "/b", "/elsewhere"):
        answer(engine, 0.0, path, 500)
    for path in ("/a", "/b", "/elsewhere"):
        assert refusal(engine, 0.0, path) == (Reason.BREAKER, "shop/breaker")


def test_a_throttle_refuses_as_such() -> None:
    engine = Guarded(rules(upstream={"throttle": THROTTLE}))
    for _ in range(3):
        answer(engine, 0.0, "/a", 429)
    assert refusal(engine, 0.0, "/b") == (Reason.THROTTLE, "shop/throttle")


def test_what_another_gate_refuses_is_no_request_of_a_throttle() -> None:
    engine = Guarded(rules(upstream={"breaker": BREAKER}, route={"throttle": THROTTLE}))
    for _ in range(3):
        answer(engine, 0.0, "/b", 500)
    for _ in range(10):
        assert refusal(engine, 0.0, "/a") == (Reason.BREAKER, "shop/breaker")
    assert engine.rules.gates.throttles["shop", "a"].counts_at(0.0) == (0, 0)


def test_a_route_may_say_by_itself_what_is_a_failure() -> None:
    never = FailureSpec(statuses=frozenset())
    engine = Guarded(
        rules(
            upstream={"breaker": BREAKER, "failures": FailureSpec(frozenset({503}))},
            route={"failures": never},
        )
    )
    for _ in range(3):
        answer(engine, 0.0, "/a", 503)
    assert refusal(engine, 0.0, "/a") is None
    for _ in range(3):
        answer(engine, 0.0, "/b", 503)
    assert refusal(engine, 0.0, "/a") == (Reason.BREAKER, "shop/breaker")


def test_one_route_to_two_upstreams_has_a_gate_for_each() -> None:
    plain = rules(route={"breaker": BREAKER})
    other = ListenerSpec("other", "::1", 3, "coupons")
    engine = Guarded(
        replace(
            plain,
            listeners=(*plain.listeners, other),
            upstreams={**plain.upstreams, "coupons": UpstreamSpec("coupons", "::1", 4)},
        )
    )
    assert set(engine.rules.gates.breakers) == {("shop", "a"), ("coupons", "a")}


def test_what_was_learnt_outlives_new_rules_and_goes_by_them() -> None:
    engine = Guarded(rules(upstream={"breaker": BREAKER, "throttle": THROTTLE}))
    for _ in range(3):
        answer(engine, 0.0, "/a", 500)
    new = rules(
        upstream={
            "breaker": replace(BREAKER, longest_open=2.0),
            "throttle": replace(THROTTLE, min_requests=1),
        }
    )
    *_, built = engine.engine.build(new)
    assert built.gates.breakers["shop", ""].opens_for(0.0) == 5.0, "not yet in force"
    engine.engine.swap(built, 0.0)
    assert refusal(engine, 0.0, "/a") == (Reason.BREAKER, "shop/breaker")
    assert engine.rules.gates.breakers["shop", ""].opens_for(0.0) == 2.5
    assert engine.rules.gates.throttles["shop", ""].counts_at(0.0) == (3, 0)
    engine.reload(rules(), 0.0)
    assert refusal(engine, 0.0, "/a") is None


def test_by_itself_nothing_is_held_back() -> None:
    engine = Guarded(rules())
    for guard in (*engine.rules.guards[FRONT], engine.rules.unmatched[FRONT]):
        assert guard.gates == []
        assert guard.only_rates


def test_a_newcomer_is_no_probe_beside_the_waiter_that_goes_first() -> None:
    breaker = BreakerSpec("shop/breaker", consecutive_failures=1, open=1.0, probes=1)
    engine = Guarded(
        rules(upstream={"breaker": breaker, "adaptive_concurrency": AdaptiveSpec("adaptive", 2, 2)})
    )
    adaptive, gate = engine.rules.adaptive["shop"], engine.rules.gates.breakers["shop", ""]
    adaptive.algorithm.latency = 0.05
    answer(engine, 0.0, "/a", 500)
    # Both places are taken: by one whose client leaves, which is no probe any more, and by hand.
    adaptive.acquire()
    engine.ask(1.0, "/a").settle(1.01, status=0)
    waiter = engine.ask(1.02, "/a")
    assert (waiter.state, gate.probes_in_flight) == (State.WAIT, 0)
    adaptive.release()
    late = engine.ask(1.07, "/a")
    assert (waiter.state, late.state, late.reason) == (
        State.FORWARD,
        State.REFUSE,
        Reason.BREAKER,
    )
    assert gate.probes_in_flight == 1


def test_probes_wait_for_their_turn_in_a_queue_and_are_asked_again() -> None:
    breaker = BreakerSpec("shop/breaker", consecutive_failures=1, open=1.0, probes=1)
    plain = rules(upstream={"breaker": breaker})
    places = concurrency("places", 1, queue=5, timeout=60.0)
    routes = tuple(replace(each, limits=("places",)) for each in plain.routes)
    engine = Guarded(replace(plain, routes=routes, limits={"places": places}))
    first = engine.ask(0.0, "/a")
    waiters = [engine.ask(0.0, "/a") for _ in range(3)]
    engine.engine.answered(first.verdict, 500, 0.1, 0.1)
    first.settle(0.1, 500)
    assert [each.reason for each in waiters] == [Reason.BREAKER] * 3
    assert engine.concurrency("places").in_flight == 0
