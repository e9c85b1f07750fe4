import asyncio
from dataclasses import replace
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.lanes.balanced_upstream import BalancedUpstream
from proxy.lanes.services import Entry
from proxy.ops.access_log import AccessLog, AccessRecord
from proxy.ops.stats import BreakerReading, EndpointReading, ThrottleReading
from proxy.policy.advice import RateAdvice
from proxy.policy.counters import UpstreamCounters
from proxy.policy.endpoint_spec import BalanceSpec, EjectionSpec, Place
from proxy.policy.keys import BY_CALLER
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import (
    AdaptiveSpec,
    AdviceSpec,
    BreakerSpec,
    KeepSpec,
    ListenerSpec,
    SharedRateSpec,
    SheddingSpec,
    ThrottleSpec,
    UpstreamSpec,
)
from proxy.policy.verdict import Completion, Kind
from proxy.readings import Readings, Recorder
from proxy.wire.request_head import RequestHead, RequestHeadReader
from tests.policy.guarded import CLIENT, Call, Guarded, concurrency, pace, rate, request, snapshot
from tests.policy.kept import answer, lookup, shop


def readings(engine: Guarded, upstreams: list[Any] | None = None) -> Readings:
    services: Any = SimpleNamespace(engine=engine.engine, upstreams=upstreams or [], shelf=None)
    listener: Any = SimpleNamespace(name="front", address="[::1]:1", connections=2, accepted=9)
    return Readings(services, [listener])


def test_limits_of_every_kind_are_shown_as_they_are() -> None:
    engine = Guarded(
        snapshot(
            rate("rate", 1e-9, burst=5),
            rate("keyed", 1e-9, burst=5, per=CLIENT),
            pace("pace", 1e9, 1.0, shadow=True),
            concurrency("places", 1, queue=3),
        )
    )
    engine.ask(0.0)
    engine.ask(0.0)
    shown = {each.name: each for each in readings(engine).limits()}
    assert [each.kind for each in shown.values()] == ["rate", "rate", "pace", "concurrency"]
    assert (shown["rate"].capacity, shown["rate"].tokens, shown["rate"].keys) == (5, 3, None)
    assert (shown["keyed"].tokens, shown["keyed"].keys) == (None, 1)
    assert [each.shadow for each in shown.values()] == [False, False, True, False]
    places = shown["places"]
    assert (places.capacity, places.in_flight, places.waiting) == (1, 1, 1)
    assert shown["rate"].counters.admitted == 2


def test_callers_are_shown_with_what_each_may_have() -> None:
    engine = Guarded(
        snapshot(SharedRateSpec("shared", 100.0, 20, 100, 1, BY_CALLER), everywhere=["shared"])
    )
    now = monotonic()
    engine.rules.shared["front"].told(b"one@::1", 40.0, now)
    engine.ask(now)
    (shown,) = readings(engine).limits()
    assert (shown.kind, shown.capacity, shown.keys, shown.tokens) == ("rate", 20, 2, None)
    assert shown.share is not None
    assert 0.0 < shown.share <= 100.0
    assert {each.name: each.wants for each in shown.callers} == {"one@::1": 40.0, "": None}


def test_what_an_upstream_advises_is_shown_while_it_holds() -> None:
    shop = UpstreamSpec("shop", "::1", 80, advice=AdviceSpec("shop/advice", 10.0))
    engine = Guarded(replace(snapshot(), upstreams={"shop": shop}))
    fields: dict[str, Any] = {"in_use": 1, "idle": 2, "connects": 3, "failures": {}}
    reading = readings(engine, [SimpleNamespace(spec=shop, **fields)])
    assert [each.advised for each in reading.upstreams()] == [None]
    engine.rules.gates.advice["shop"].advised(RateAdvice(65.5), monotonic())
    assert [each.advised for each in reading.upstreams()] == [65.5]


def test_an_upstream_s_adaptive_limit_is_shown_with_what_it_has_found_out() -> None:
    adaptive = AdaptiveSpec("shop/adaptive", 1, 2)
    shop = UpstreamSpec("shop", "::1", 80, adaptive_concurrency=adaptive)
    engine = Guarded(replace(snapshot(), upstreams={"shop": shop}))
    fields: dict[str, Any] = {"in_use": 1, "idle": 2, "connects": 3, "failures": {}}
    reading = readings(engine, [SimpleNamespace(spec=shop, **fields)])
    assert [each.latency for each in reading.upstreams()] == [None]
    for _ in range(3):
        engine.ask(0.0)
    algorithm = engine.rules.adaptive["shop"].algorithm
    algorithm.latency, algorithm.baseline = 0.03, 0.02
    (limit,) = reading.limits()
    assert (limit.name, limit.kind) == ("shop/adaptive", "adaptive")
    assert (limit.capacity, limit.in_flight, limit.waiting) == (2, 2, 1)
    assert limit.counters.admitted == 2
    (upstream,) = reading.upstreams()
    assert (upstream.latency, upstream.baseline) == (0.03, 0.02)


def test_gates_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    breaker = BreakerSpec("shop/breaker", consecutive_failures=2)
    throttle = ThrottleSpec("shop/throttle", min_requests=2)
    shop = UpstreamSpec("shop", "::1", 80, breaker=breaker, throttle=throttle)
    engine = Guarded(replace(snapshot(), upstreams={"shop": shop}))
    shown = readings(engine)
    assert list(shown.breakers()) == [BreakerReading("shop", "", "closed", 1.0)]
    for _ in range(2):
        call = engine.ask(100.0)
        engine.engine.answered(call.verdict, 500, 0.1, 100.0)
        call.settle(100.0, 500)
    monkeypatch.setattr("proxy.readings.monotonic", lambda: 101.5)
    assert list(shown.breakers()) == [
        BreakerReading(
            *("shop", "", "open", 0.0, 1, "2 requests in a row failed"), age=1.5, next_probe=3.5
        )
    ]
    assert list(shown.throttles()) == [ThrottleReading("shop", "", 2 / 3, 2, 0)]


async def test_endpoints_are_shown_as_they_stand() -> None:
    places = (Place("10.0.0.1", 80), Place("10.0.0.2", 80))
    spec = UpstreamSpec(
        *("shop", "10.0.0.1", 80),
        balance=BalanceSpec(places, ejection=EjectionSpec(consecutive_failures=1)),
    )
    upstream = BalancedUpstream(spec, places, asyncio.get_running_loop(), lambda: 0.0)
    upstream.endpoint_failed(upstream.endpoints.all[0], "answered 500", monotonic())
    (shown,) = readings(Guarded(snapshot()), [upstream]).upstreams()
    upstream.endpoints.all[0].health.until = monotonic()
    (later,) = readings(Guarded(snapshot()), [upstream]).upstreams()
    assert (later.endpoints[0].standing, later.endpoints[0].left) == ("returning", 0.0)
    await upstream.close()
    assert (shown.address, shown.connects) == ("2 endpoints", 0)
    out, well = shown.endpoints
    assert 0.0 < out.left <= 10.0
    assert replace(out, left=0.0) == EndpointReading(
        *("10.0.0.1:80", 0, 1, 1, "ejected"), why="answered 500", in_a_row=1
    )
    assert well == EndpointReading("10.0.0.2:80", 0, 0, 0)


def test_routes_are_shown_with_the_unmatched() -> None:
    engine = Guarded(snapshot(routes={"a": []}))
    engine.admits(0.0, "/a")
    assert {name: route.total for name, route in readings(engine).routes()} == {
        "unmatched": 0,
        "a": 1,
    }


def test_listeners_and_upstreams_are_shown() -> None:
    specs = UpstreamSpec("shop", "::1", 80), UpstreamSpec("own", "", 0, unix_path="/run/shop")
    upstreams = [
        SimpleNamespace(spec=spec, in_use=1, idle=2, connects=3, failures={"upstream_error": 4})
        for spec in specs
    ]
    shown = readings(Guarded(snapshot()), upstreams)
    (listener,) = shown.listeners()
    assert (listener.name, listener.address) == ("front", "[::1]:1")
    assert [each.address for each in shown.upstreams()] == ["::1:80", "/run/shop"]


def test_queueing_is_what_waits_for_a_whole_listener_s_places() -> None:
    """A route's own queue, and one of each client, is no sign of too much load."""
    engine = Guarded(
        snapshot(
            concurrency("whole", 4, queue=8),
            concurrency("each", 4, queue=8, per=CLIENT),
            concurrency("route", 1, queue=8),
            routes={"a": ["route"], "b": []},
            everywhere=["whole", "each"],
        )
    )
    for _ in range(4):
        engine.ask(0.0, "/a")
    assert readings(engine).queueing() == {"shop": 0.0}
    for each in range(9):
        engine.ask(0.0, "/b", client=f"192.0.2.{each}")
    assert readings(engine).queueing() == {"shop": 1.5}


def test_one_upstream_s_queue_is_no_other_s() -> None:
    upstreams = {
        name: UpstreamSpec(name, "::1", 80, adaptive_concurrency=AdaptiveSpec(name, 1, 2))
        for name in ("shop", "coupons")
    }
    engine = Guarded(replace(snapshot(), upstreams=upstreams))
    for _ in range(3):
        engine.ask(0.0)
    assert readings(engine).queueing() == {"shop": 0.5, "coupons": 0.0}


def test_a_pool_s_queue_is_its_upstream_s_and_an_outbound_listener_s_is_nobody_s() -> None:
    """An app that waits for what it calls is no reason to refuse its clients."""
    pool, calls = concurrency("coupons/pool", 2, queue=8), concurrency("calls", 1, queue=8)
    made = snapshot(pool, calls, routes={})
    listener = ListenerSpec("calls", "::1", 1, "coupons", limits=("calls",), outbound=True)
    coupons = UpstreamSpec("coupons", "::1", 80, pool=pool)
    upstreams = {**made.upstreams, "coupons": coupons}
    listeners = (*made.listeners, listener, replace(listener, name="more", limits=()))
    engine = Guarded(replace(made, listeners=listeners, upstreams=upstreams))
    for way in ("calls", "calls", "more", "more"):
        engine.engine.decide(way, request(), 0.0, lambda: None)
    assert engine.concurrency("calls").waiting == 1
    assert readings(engine).queueing() == {"shop": 0.0, "coupons": 0.5}


def test_shedding_is_shown_where_there_is_any() -> None:
    engine = Guarded(snapshot())
    assert readings(engine).shedding() is None
    engine.reload(replace(snapshot(), shedding=SheddingSpec({})), 0.0)
    assert readings(engine).shedding() is engine.engine.shedder


def test_an_upstream_s_counters_are_found_by_its_name() -> None:
    shop: Any = SimpleNamespace(spec=UpstreamSpec("shop", "::1", 80), counters=UpstreamCounters())
    assert readings(Guarded(snapshot()), [shop]).upstream_counters() == {"shop": shop.counters}


class _Log:
    def __init__(self) -> None:
        self.records: list[AccessRecord] = []

    def wants(self, kind: Kind, now: float) -> bool:
        raise NotImplementedError

    def write(self, record: AccessRecord) -> None:
        self.records.append(record)


def _head(user_agent: bytes) -> RequestHead:
    reader = RequestHeadReader(65536)
    head = reader.feed(b"GET /a?b HTTP/1.1\r\nHost: shop\r\nuser-AGENT: %b\r\n\r\n" % user_agent)
    assert head is not None
    return head


def recorded(call: Call, completion: Completion, head: RequestHead | None) -> AccessRecord:
    log = _Log()
    entry = Entry(call.verdict, completion, head, "192.0.2.1", 0.1, 2, 3, "why")
    Recorder(cast("AccessLog", log)).write(entry)
    return log.records[0]


@pytest.mark.parametrize(
    ("completion", "word", "reason"),
    [
        (Completion(200, 0.1, 0.01), "forwarded", None),
        (Completion(0, 0.1, 0.01), "abandoned", None),
        (Completion(502, 0.1, 0.01, Reason.UPSTREAM_ERROR), "failed", Reason.UPSTREAM_ERROR),
    ],
)
def test_what_was_forwarded_is_written_by_what_became_of_it(
    completion: Completion, word: str, reason: Reason | None
) -> None:
    call = Guarded(snapshot()).ask(0.0)
    record = recorded(call, completion, _head(b"a\xffb"))
    assert (record.verdict, record.reason, record.limit) == (word, reason, "")
    assert (record.method, record.target, record.host) == ("GET", "/a?b", "shop")
    assert record.user_agent == "a\xffb"


def test_a_refusal_is_written_with_its_limit() -> None:
    engine = Guarded(snapshot(rate("limit", 1)))
    engine.ask(0.0)
    record = recorded(engine.ask(0.0), Completion(429, 0.1, 0.1), _head(b""))
    assert (record.verdict, record.reason, record.limit) == ("refused", Reason.RATE, "limit")


def test_what_could_not_be_read_has_no_words() -> None:
    record = recorded(Guarded(snapshot()).ask(0.0), Completion(400, 0.1, 0.1), None)
    assert (record.method, record.target, record.user_agent) == ("", "", "")


def test_what_was_sent_of_the_kept_answers_is_written_as_such() -> None:
    engine = shop(keep=KeepSpec(last_good_for=60.0, ttl=1.0))
    first = engine.ask(0.0)
    assert recorded(first, Completion(200, 0.1, 0.1), None).served_from == ""
    answer(engine, first, 0.0)
    again = engine.ask(0.5)
    record = recorded(again, Completion(200, 0.1, 0.1), None)
    assert (record.verdict, record.served_from) == ("stored", "stored")
    gone = recorded(again, Completion(0, 0.1, 0.1), None)
    assert (gone.verdict, gone.served_from) == ("abandoned", "")
    failed = engine.ask(2.0)
    lookup(failed).served = lookup(again).served
    record = recorded(failed, Completion(200, 0.1, 0.1, Reason.UPSTREAM_ERROR), None)
    assert (record.verdict, record.served_from) == ("failed", "stored")


def test_kept_answers_are_shown_with_what_they_take() -> None:
    engine = shop(keep=KeepSpec(ttl=1.0))
    answer(engine, engine.ask(0.0), 0.0)
    shown = readings(engine).snapshots()
    assert (shown.count, shown.limit_bytes, shown.folder_errors) == (1, 64 << 20, 0)
    assert shown.bytes == engine.rules.stored.table.bytes > 0
