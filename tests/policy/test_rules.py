from proxy.policy.gates import Gates
from proxy.policy.rules import UNMATCHED, Rules, build
from proxy.policy.snapshot import Snapshot
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
    guard = rules.with_other_readings(rules.guards[FRONT][0], about)
    assert (guard.route, [each.limiter.spec.name for each in guard.rates]) == ("x", ["x", "y"])
    assert about.parameters == {"own": "1"}
