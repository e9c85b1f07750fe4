"""One request after the other: what is decided, and what that takes.

Waiting is in test_engine_waiting.py, new rules in test_engine_swap.py, and what must hold in any
order of events in test_engine_invariants.py.
"""

from dataclasses import replace

import pytest

from proxy.policy.engine import UNMATCHED
from proxy.policy.keys import KeyKind, KeySource
from proxy.policy.reasons import REQUEST_AT_FAULT, Reason
from proxy.policy.verdict import Completion, State
from tests.policy.guarded import (
    ANSWERS,
    CLIENT,
    FRONT,
    Guarded,
    concurrency,
    pace,
    rate,
    request,
    snapshot,
)


def test_what_no_limit_is_set_for_is_forwarded() -> None:
    engine = Guarded(snapshot())
    call = engine.ask(0.0)
    assert call.state is State.FORWARD
    assert call.verdict.guard.route == "all"
    assert call.verdict.guard.listener == FRONT


def test_a_rate_admits_its_burst_and_then_its_rate() -> None:
    engine = Guarded(snapshot(rate("limit", 10, burst=3)))
    assert [engine.admits(0.0) for _ in range(4)] == [True, True, True, False]
    assert [engine.admits(0.1) for _ in range(2)] == [True, False]


def test_a_refused_request_names_its_limit_and_reason() -> None:
    limit = rate("limit", 10)
    engine = Guarded(snapshot(limit))
    engine.ask(0.0)
    call = engine.ask(0.0)
    assert (call.state, call.reason) == (State.REFUSE, Reason.RATE)
    assert call.verdict.limit is limit
    assert call.verdict.guard.answers[Reason.RATE].status == 429


def test_of_several_that_refuse_the_longest_wait_is_told() -> None:
    """Who came back after the shorter one would be refused again."""
    engine = Guarded(snapshot(rate("quick", 10), rate("slow", 1), pace("evenly", 2, max_wait=0.0)))
    engine.ask(0.0)
    call = engine.ask(0.0)
    assert call.verdict.wait == pytest.approx(1.0)
    assert call.verdict.limit is not None
    assert call.verdict.limit.name == "slow"
    assert [engine.counts(name)[1] for name in ("quick", "slow", "evenly")] == [1, 1, 1]


@pytest.mark.parametrize("jitter", [0.0, 0.3, 0.999])
def test_a_lone_client_that_waits_as_told_is_admitted(jitter: float) -> None:
    limits = rate("one", 3, burst=2), rate("other", 0.7), pace("evenly", 1.5, max_wait=0.2)
    engine = Guarded(snapshot(*limits))
    engine.jitter = jitter
    now = 1e6
    refusals = 0
    for _ in range(200):
        call = engine.ask(now)
        call.settle(now)
        if call.state is State.SETTLED and call.reason is not None:
            refusals += 1
            assert call.verdict.retry_after is not None
            assert call.verdict.retry_after >= call.verdict.wait
            now += call.verdict.wait
            call = engine.ask(now)
            assert call.reason is None, call.verdict.limit
            call.settle(now)
    assert refusals > 50


def test_retry_after_is_the_wait_and_a_draw_from_the_page_s_range() -> None:
    answers = {**ANSWERS, Reason.RATE: replace(ANSWERS[Reason.RATE], retry_after=(10.0, 30.0))}
    told = []
    for jitter in (0.0, 0.5, 0.999):
        engine = Guarded(snapshot(rate("limit", 0.1), answers=answers))
        engine.jitter = jitter
        engine.ask(0.0)
        told.append(engine.ask(0.0).verdict.retry_after)
    assert told == [20, 30, 40]


def test_those_whom_a_shared_rate_refuses_are_spread_so_that_it_can_take_them() -> None:
    answers = {**ANSWERS, Reason.RATE: replace(ANSWERS[Reason.RATE], retry_after=(2.0, 6.0))}
    engine = Guarded(snapshot(rate("limit", 20), answers=answers))
    engine.jitter = 0.999
    engine.ask(0.0)

    told = [engine.ask(0.0).verdict.retry_after for _ in range(400)]
    assert told[0] == 7
    assert told[200] == 17, "200 before it, at 20 a second"
    assert engine.ask(12.0).verdict.retry_after is None
    assert engine.ask(12.0).verdict.retry_after == 15, "400 took 20 s, of which 12 have gone"

    for _ in range(10_000):
        engine.ask(12.0)
    assert engine.ask(12.0).verdict.retry_after == 37, "nobody waits for ever"


def test_a_client_with_a_rate_of_its_own_waits_for_nobody_else() -> None:
    engine = Guarded(snapshot(rate("limit", 1, per=KeySource(KeyKind.CLIENT_ADDRESS))))
    engine.jitter = 0.999
    engine.ask(0.0)
    told = {engine.ask(0.0).verdict.retry_after for _ in range(100)}
    assert len(told) == 1


def test_an_answer_without_a_range_tells_no_time() -> None:
    answers = {**ANSWERS, Reason.RATE: replace(ANSWERS[Reason.RATE], retry_after=None)}
    engine = Guarded(snapshot(rate("limit", 1), answers=answers))
    engine.ask(0.0)
    assert engine.ask(0.0).verdict.retry_after is None


def test_what_fails_upstream_gets_its_time_from_the_answer_s_range_alone() -> None:
    engine = Guarded(snapshot())
    engine.jitter = 0.25
    assert engine.engine.retry_after(ANSWERS[Reason.UPSTREAM_ERROR]) == 3
    assert engine.engine.retry_after(ANSWERS[Reason.BAD_REQUEST]) is None


def test_a_request_that_one_limit_refuses_takes_nothing_of_the_others() -> None:
    limits = (
        rate("bucket", 1, burst=5),
        pace("evenly", 1, max_wait=100.0),
        rate("narrow", 1),
        concurrency("places", 3),
    )
    engine = Guarded(snapshot(*limits, routes={"all": [each.name for each in limits], "none": []}))
    engine.ask(0.0, "/all")
    for _ in range(10):
        assert engine.ask(0.0, "/all").reason is Reason.RATE
    engine.reload(snapshot(*limits, routes={"all": ["bucket"], "paced": ["evenly"]}), 0.0)
    assert [engine.admits(0.0, "/all") for _ in range(5)] == [True] * 4 + [False]
    assert engine.ask(0.0, "/paced").verdict.wait_until == 1.0
    assert engine.concurrency("places").in_flight == 1


def test_a_full_house_takes_no_token() -> None:
    engine = Guarded(snapshot(rate("bucket", 1, burst=2), concurrency("places", 1)))
    first = engine.ask(0.0)
    for _ in range(10):
        assert engine.ask(0.0).reason is Reason.CONCURRENCY
    first.settle(0.0)
    assert engine.admits(0.0)


def test_a_limit_of_two_routes_counts_both() -> None:
    engine = Guarded(
        snapshot(rate("shared", 1, burst=2), routes={"a": ["shared"], "b": ["shared"]})
    )
    assert engine.admits(0.0, "/a")
    assert engine.admits(0.0, "/b")
    assert not engine.admits(0.0, "/a")
    assert not engine.admits(0.0, "/b")


def test_a_listener_s_limit_holds_for_every_route_and_for_none() -> None:
    engine = Guarded(snapshot(rate("whole", 1, burst=2), routes={"a": []}, everywhere=["whole"]))
    assert engine.admits(0.0, "/a")
    call = engine.ask(0.0, "/elsewhere")
    assert (call.state, call.verdict.guard.route) == (State.FORWARD, UNMATCHED)
    assert not engine.admits(0.0, "/elsewhere")
    assert not engine.admits(0.0, "/a")


def test_a_listener_s_limit_that_a_route_names_too_is_charged_once() -> None:
    engine = Guarded(
        snapshot(rate("whole", 1, burst=2), routes={"a": ["whole"]}, everywhere=["whole"])
    )
    assert [engine.admits(0.0, "/a") for _ in range(3)] == [True, True, False]


def test_a_listener_s_limits_are_asked_first() -> None:
    engine = Guarded(
        snapshot(
            concurrency("route", 1),
            concurrency("listener", 1),
            routes={"a": ["route"]},
            everywhere=["listener"],
        )
    )
    engine.ask(0.0, "/a")
    refused = engine.ask(0.0, "/a").verdict
    assert refused.limit is not None
    assert refused.limit.name == "listener"


def test_each_key_has_a_bucket_of_its_own() -> None:
    engine = Guarded(snapshot(rate("limit", 1, per=CLIENT)))
    assert engine.admits(0.0, client="192.0.2.1")
    assert not engine.admits(0.0, client="192.0.2.1")
    assert engine.admits(0.0, client="192.0.2.2")


def test_a_hundred_thousand_fresh_keys_open_no_bucket_for_each() -> None:
    limit = replace(rate("limit", 1e-6, per=CLIENT), max_keys=1000)
    engine = Guarded(snapshot(limit))
    engine.admits(0.0, client="mine")
    admitted = sum(engine.admits(0.0, client=f"fresh-{number}") for number in range(100_000))
    # A bucket for each key that is kept, and 1,024 for all the others together.
    assert 1000 < admitted <= 999 + 1024
    assert not engine.admits(0.0, client="mine")


def test_a_path_parameter_is_the_key_of_the_route_that_matched() -> None:
    limit = rate("item", 1, per=KeySource(KeyKind.PATH, "item_id"))
    rules = snapshot(limit)
    (route,) = rules.routes
    engine = Guarded(replace(rules, routes=(replace(route, path="/items/{item_id}"),)))
    assert engine.admits(0.0, "/items/1")
    assert engine.admits(0.0, "/items/2")
    assert not engine.admits(0.0, "/items/1", client="192.0.2.9")


def test_a_body_longer_than_allowed_is_refused_before_anything_is_charged() -> None:
    engine = Guarded(snapshot(rate("limit", 1), max_body_bytes=10))
    call = engine.ask(0.0, length=11)
    assert (call.state, call.reason) == (State.REFUSE, Reason.BODY_TOO_LARGE)
    assert engine.admits(0.0, length=10)


def test_a_body_of_unknown_length_is_the_lane_s_to_watch() -> None:
    engine = Guarded(snapshot(max_body_bytes=10))
    call = engine.ask(0.0, length=None)
    assert call.state is State.FORWARD
    assert call.verdict.guard.max_body_bytes == 10


def test_a_route_s_longest_body_goes_before_the_listener_s() -> None:
    rules = snapshot(max_body_bytes=10)
    (route,) = rules.routes
    engine = Guarded(replace(rules, routes=(replace(route, max_body_bytes=20),)))
    assert engine.admits(0.0, length=20)
    assert not engine.admits(0.0, length=21)


def test_nothing_new_is_admitted_while_draining() -> None:
    engine = Guarded(snapshot(rate("limit", 1)))
    engine.engine.draining = True
    call = engine.ask(0.0)
    assert (call.state, call.reason) == (State.REFUSE, Reason.DRAINING)
    assert engine.counts("limit") == (0, 0, 0)


@pytest.mark.parametrize("reason", sorted(REQUEST_AT_FAULT))
def test_what_is_no_request_is_counted_as_unmatched(reason: Reason) -> None:
    engine = Guarded(snapshot())
    verdict = engine.engine.reject(FRONT, reason, 0.0)
    assert (verdict.state, verdict.reason) == (State.REFUSE, reason)
    engine.engine.settle(verdict, Completion(reason.status, 0.0, 0.0), 0.0)
    assert engine.rules.routes[UNMATCHED].refused[reason] == 1


# --------------------------------------------------------------- other readings


def test_a_request_passes_the_limits_of_every_reading_of_its_path() -> None:
    rules = snapshot(rate("a", 1), rate("b", 1, burst=2), routes={"a": ["a"], "b": ["b"]})
    engine = Guarded(rules)
    assert engine.admits(0.0, "/x", other_paths=("/a", "/b"))
    assert engine.counts("a") == engine.counts("b") == (1, 0, 0)
    assert not engine.admits(0.0, "/a")
    assert not engine.admits(0.0, "/b", other_paths=("/x", "/a"))
    assert engine.counts("b") == (1, 0, 0), "a refusal takes nothing"
    assert engine.admits(0.0, "/b")
    assert engine.rules.routes["b"].total == 2, "the route is that of the path"


def test_another_reading_with_the_same_route_takes_nothing_more() -> None:
    engine = Guarded(snapshot(rate("limit", 1, burst=2)))
    assert engine.admits(0.0, "/a", other_paths=("/b", "/c"))
    assert engine.counts("limit") == (1, 0, 0)


def test_parameters_of_all_readings_are_there_to_count_by() -> None:
    per_item = KeySource(KeyKind.PATH, "item")
    rules = snapshot(rate("limit", 1, per=per_item), routes={"x": [], "y": ["limit"]})
    x, y = rules.routes
    routes = (replace(x, path="/x/{id}/{one}"), replace(y, path="/y/{id}/{item}"))
    engine = Guarded(replace(rules, routes=routes))
    call = engine.ask(0.0, "/x/1/2", other_paths=("/y/3/4",))
    assert call.state is State.FORWARD
    assert not engine.admits(0.0, "/y/5/4", client="192.0.2.9")
    about = request("/x/1/2", other_paths=("/y/3/4",))
    engine.engine.decide(FRONT, about, 0.0, lambda: None)
    assert about.parameters == {"id": "1", "one": "2", "item": "4"}


# ---------------------------------------------------------------------- settling


def test_a_verdict_settles_once() -> None:
    engine = Guarded(snapshot())
    call = engine.ask(0.0)
    call.settle(0.0)
    with pytest.raises(AssertionError, match="settles once"):
        call.settle(0.0)
    assert engine.rules.routes["all"].in_flight == 0


def test_every_request_is_counted_once_by_what_became_of_it() -> None:
    engine = Guarded(snapshot(rate("limit", 1, burst=3)))
    answered, failed, left, refused = (engine.ask(0.0) for _ in range(4))
    counters = engine.rules.routes["all"]
    assert counters.in_flight == 3
    answered.settle(0.1)
    completion = Completion(502, 0.1, 0.0, Reason.UPSTREAM_ERROR)
    engine.engine.settle(failed.verdict, completion, 0.1)
    left.settle(0.1, status=0)
    refused.settle(0.1, status=429)
    assert (counters.forwarded, counters.abandoned, counters.in_flight) == (1, 1, 0)
    assert counters.failed[Reason.UPSTREAM_ERROR] == 1
    assert counters.refused[Reason.RATE] == 1
    assert counters.total == 4
