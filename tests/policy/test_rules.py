from dataclasses import replace

from proxy.policy.advice import RateAdvice
from proxy.policy.gates import Gates
from proxy.policy.keys import BY_CALLER
from proxy.policy.reasons import Reason
from proxy.policy.rules import UNMATCHED, Rules, build
from proxy.policy.snapshot import (
    AdaptiveSpec,
    AdviceSpec,
    ConcurrencySpec,
    ListenerSpec,
    SharedRateSpec,
    Snapshot,
    UpstreamSpec,
)
from tests.policy.guarded import FRONT, Guarded, rate, request, snapshot

EMPTY = Rules(Snapshot((), {}), Gates(lambda: 0.0))


def built(rules: Snapshot, old: Rules = EMPTY) -> Rules:
    *_, made = build(rules, old, lambda: 0.0)
    return made


def test_a_thousand_routes_are_built_in_small_steps() -> None:
    routes = {f"r{number}": [f"l{number}"] for number in range(1000)}
    limits = [rate(f"l{number}", 1) for number in range(1000)]
    engine = Guarded(snapshot())
    steps = list(engine.engine.build(snapshot(*limits, routes=routes)))
    assert len(steps) > 100
    engine.engine.swap(steps[-1], 0.0)
    assert engine.ask(0.0, "/r999").verdict.guard.route == "r999"


def test_every_listener_has_a_guard_for_each_route_and_for_no_route() -> None:
    rules = built(snapshot(routes={"a": [], "b": []}))
    assert [guard.route for guard in rules.guards[FRONT]] == ["a", "b"]
    assert rules.unmatched[FRONT].route == UNMATCHED
    assert list(rules.routes) == [UNMATCHED, "a", "b"]


def test_what_stays_is_taken_over_and_the_old_rules_are_left_as_they_are() -> None:
    old = built(snapshot(rate("stays", 1), rate("goes", 1), routes={"a": ["stays", "goes"]}))
    new = built(snapshot(rate("stays", 2), rate("comes", 1), routes={"a": ["stays"]}), old)
    assert new.limits["stays"] is old.limits["stays"]
    assert new.limits["stays"].limiter.spec.rate == 1, "until it is reconfigured"  # type: ignore[union-attr]
    assert new.routes["a"] is old.routes["a"]
    assert list(old.limits) == ["stays", "goes"]
    assert list(new.limits) == ["stays", "comes"]


def test_other_readings_add_limits_and_parameters_and_take_none_away() -> None:
    rules = built(snapshot(rate("x", 1), rate("y", 1), routes={"x": ["x"], "y": ["y"]}))
    about = request("/x", other_paths=("/y/1", "/elsewhere"))
    about.parameters = {"own": "1"}
    guard = rules.with_other_readings(rules.guards[FRONT][0], FRONT, about)
    assert (guard.route, [each.limiter.spec.name for each in guard.rates]) == ("x", ["x", "y"])
    assert about.parameters == {"own": "1"}


def _outbound() -> Snapshot:
    """A listener for clients, one to the coupon service, and one for three services by name."""
    made = snapshot(rate("r", 1), routes={"everywhere": [], "here": ["r"], "there": []})
    pool = ConcurrencySpec("coupons/pool", 1)
    everywhere, here, there = made.routes
    hosts = {"a:80": "coupons", "b:80": "shop", "c:80": "coupons"}
    return replace(
        made,
        listeners=(
            *made.listeners,
            ListenerSpec("calls", "::1", 2, "coupons", outbound=True),
            ListenerSpec("proxy", "::1", 3, "", outbound=True, hosts=hosts),
            ListenerSpec("both", "::1", 4, "coupons", outbound=True, hosts=hosts),
        ),
        upstreams={
            "shop": UpstreamSpec("shop", "::1", 5, adaptive_concurrency=AdaptiveSpec("a")),
            "coupons": UpstreamSpec("coupons", "::1", 6, pool=pool),
        },
        routes=(
            everywhere,
            replace(here, listeners=(FRONT,)),
            replace(there, listeners=("proxy",)),
        ),
        limits={**made.limits, "coupons/pool": pool},
    )


def test_a_route_holds_on_the_listeners_that_it_names() -> None:
    rules = built(_outbound())
    routes = {way: [guard.route for guard in guards] for way, guards in rules.guards.items()}
    assert routes == {
        FRONT: ["everywhere", "here"],
        "calls": ["everywhere"],
        "proxy": [],
        "proxy>coupons": ["everywhere", "there"],
        "proxy>shop": ["everywhere", "there"],
        "both": ["everywhere"],
        "both>shop": ["everywhere"],
    }
    assert rules.tables["calls"] is rules.tables["both>shop"]
    found = rules.tables["proxy>shop"].find("GET", "", "/there/x")
    assert found is not None
    assert found[0] == 1
    assert rules.tables[FRONT].find("GET", "", "/there/x") is None


def test_what_holds_for_an_upstream_holds_on_every_way_to_it() -> None:
    rules = built(_outbound())
    pool, adaptive = rules.limits["coupons/pool"], rules.adaptive["shop"]
    for way, upstream in {
        FRONT: "shop",
        "calls": "coupons",
        "proxy>coupons": "coupons",
        "proxy>shop": "shop",
        "both": "coupons",
        "both>shop": "shop",
    }.items():
        for guard in (rules.unmatched[way], *rules.guards[way]):
            assert guard.concurrencies == ([pool] if upstream == "coupons" else [])
            assert guard.adaptive is (adaptive if upstream == "shop" else None)
            assert guard.listener == way.partition(">")[0]


def test_what_an_upstream_has_said_outlives_a_reload() -> None:
    def advised(max_age: float) -> Snapshot:
        spec = UpstreamSpec("shop", "::1", 2, advice=AdviceSpec("shop/advice", max_age))
        return replace(snapshot(), upstreams={"shop": spec})

    engine = Guarded(advised(10.0))
    gate = engine.rules.gates.advice["shop"]
    assert engine.rules.unmatched[FRONT].advice is gate
    gate.advised(RateAdvice(1e-3, burst=1.0), 0.0)
    assert engine.admits(0.0)
    engine.reload(advised(20.0), 0.0)
    assert gate.spec == AdviceSpec("shop/advice", 20.0)
    call = engine.ask(0.0)
    assert call.reason is Reason.ADVISED
    assert call.verdict.limit is gate.spec
    engine.reload(snapshot(), 0.0)
    assert engine.rules.unmatched[FRONT].advice is None
    assert engine.admits(0.0)


def test_a_listener_s_callers_share_one_rate_over_all_its_routes_and_over_a_reload() -> None:
    shared = SharedRateSpec("shared", 100.0, 20, 100, 1, BY_CALLER)
    rules = snapshot(shared, everywhere=["shared"], routes={"a": [], "b": []})
    engine = Guarded(rules)
    limiter = engine.rules.shared[FRONT]
    guards = [*engine.rules.guards[FRONT], engine.rules.unmatched[FRONT]]
    assert [guard.shared for guard in guards] == [limiter] * 3
    about = request("/a/1")
    about.caller = b"one"
    assert engine.engine.decide(FRONT, about, 0.0, lambda: None).shared is limiter
    assert engine.ask(0.0, "/a/1").verdict.shared is None, "nobody says who it is"
    engine.reload(replace(rules, limits={"shared": replace(shared, rate=10.0)}), 0.0)
    assert engine.rules.shared[FRONT] is limiter
    limiter.check(b"one", 1.0)
    assert limiter.share <= 10.0
