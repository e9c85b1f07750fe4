import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse

from proxy.ops.metrics import PIECE, Metrics, shown_limits, shown_routes
from proxy.ops.reload import ReloadState
from proxy.ops.stats import LimitReading, ListenerReading, SnapshotsReading, UpstreamReading
from proxy.policy.counters import LimitCounters, RouteCounters
from proxy.policy.priority import Priority
from proxy.policy.reasons import Reason
from proxy.policy.shedder import Shedder
from proxy.policy.signals import DEFAULT_THRESHOLDS, Signals
from proxy.policy.snapshot import SheddingSpec, Snapshot, UpstreamSpec
from tests.ops.fake_stats import FakeStats

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3"


def metrics(stats: FakeStats, reloads: ReloadState | None = None, dropped: int = 0) -> Metrics:
    state = reloads or ReloadState("a632", 1772366400.0)
    return Metrics(stats, state, "0.1.0", lambda: dropped)


async def samples(of: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text, _ = await of.render()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(text.decode())
        for sample in family.samples
    }


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def forward(route: RouteCounters, duration: float = 0.02, status: int = 200) -> None:
    route.record(
        forwarded=True, reason=None, status=status, duration=duration, own=0.0002, waited=0.0
    )


async def test_requests_are_told_by_route_verdict_and_reason() -> None:
    stats = FakeStats()
    item = stats.route("item")
    forward(item)
    forward(item, status=404)
    item.record(
        forwarded=False, reason=Reason.RATE, status=429, duration=0.0001, own=0.0001, waited=0.0
    )
    item.record(
        forwarded=True,
        reason=Reason.UPSTREAM_TIMEOUT,
        status=504,
        duration=2.0,
        own=0.0001,
        waited=0.0,
    )
    item.in_flight = 3
    found = await samples(metrics(stats))

    def requests(verdict: str, reason: str) -> float | None:
        return found.get(key("planb_requests_total", route="item", verdict=verdict, reason=reason))

    assert requests("forwarded", "") == 2
    assert requests("abandoned", "") == 0
    assert requests("refused", "rate") == 1
    assert requests("failed", "upstream_timeout") == 1
    assert requests("refused", "pace") is None
    assert found[key("planb_responses_total", route="item", status_class="4xx")] == 1
    assert found[key("planb_requests_in_flight", route="item")] == 3


async def test_a_histogram_is_cumulative_and_complete() -> None:
    stats = FakeStats()
    item = stats.route("item")
    for duration in (0.0004, 0.02, 0.02, 60.0):
        forward(item, duration)
    found = await samples(metrics(stats))
    name = "planb_request_duration_seconds"
    assert found[key(f"{name}_bucket", route="item", le="0.0005")] == 1
    assert found[key(f"{name}_bucket", route="item", le="0.025")] == 3
    assert found[key(f"{name}_bucket", route="item", le="10.0")] == 3
    assert found[key(f"{name}_bucket", route="item", le="+Inf")] == 4
    assert found[key(f"{name}_count", route="item")] == 4
    assert found[key(f"{name}_sum", route="item")] == pytest.approx(60.0404)
    assert found[key("planb_own_share_seconds_count", route="item")] == 4
    assert key("planb_refusal_duration_seconds_count", route="item") not in found


async def test_a_limit_tells_only_what_it_has() -> None:
    counters = LimitCounters()
    counters.admitted, counters.refused, counters.shadow_refused = 5, 3, 2
    stats = FakeStats(
        limit_rows=[
            LimitReading("item.rate", "rate", counters, capacity=100, tokens=7.5),
            LimitReading("shared", "rate", counters, keys=20, share=65.5),
            LimitReading("item.per-buyer", "rate", LimitCounters(), capacity=4, keys=18),
            LimitReading(
                "item.most", "concurrency", LimitCounters(), capacity=64, in_flight=63, waiting=9
            ),
        ]
    )
    found = await samples(metrics(stats))
    rate = {"limit": "item.rate", "kind": "rate"}
    assert found[key("planb_limit_decisions_total", **rate, decision="admitted")] == 5
    assert found[key("planb_limit_decisions_total", **rate, decision="refused")] == 3
    assert found[key("planb_limit_decisions_total", **rate, decision="shadow_refused")] == 2
    assert found[key("planb_limit_tokens", **rate)] == 7.5
    assert found[key("planb_limit_share", limit="shared", kind="rate")] == 65.5
    assert key("planb_limit_keys", **rate) not in found
    assert found[key("planb_limit_keys", limit="item.per-buyer", kind="rate")] == 18
    most = {"limit": "item.most", "kind": "concurrency"}
    assert found[key("planb_limit_in_flight", **most)] == 63
    assert found[key("planb_limit_waiting", **most)] == 9
    assert found[key("planb_limit_capacity", **most)] == 64


FAILURES = {Reason.UPSTREAM_ERROR: 3, Reason.UPSTREAM_TIMEOUT: 0}


async def test_connections_are_told_by_listener_and_upstream() -> None:
    stats = FakeStats(
        listener_rows=[ListenerReading("storefront", "127.0.0.1:8080", 12, 340)],
        upstream_rows=[
            UpstreamReading(
                "shop", "http://127.0.0.1:8000", 7, 2, 40, FAILURES, 0.03, 0.02, advised=65.5
            ),
            UpstreamReading("new", "http://127.0.0.1:8001", 0, 0, 0, FAILURES),
        ],
    )
    found = await samples(metrics(stats))
    assert found[key("planb_downstream_connections", listener="storefront")] == 12
    assert found[key("planb_downstream_connections_accepted_total", listener="storefront")] == 340
    assert found[key("planb_upstream_connections", upstream="shop", state="in_use")] == 7
    assert found[key("planb_upstream_connections", upstream="shop", state="idle")] == 2
    assert found[key("planb_upstream_connects_total", upstream="shop")] == 40
    advised = "planb_upstream_advised_rate"
    assert found[key(advised, upstream="shop")] == 65.5
    assert key(advised, upstream="new") not in found
    latency = "planb_upstream_latency_seconds"
    assert found[key(latency, upstream="shop", of="now")] == 0.03
    assert found[key(latency, upstream="shop", of="baseline")] == 0.02
    assert key(latency, upstream="new", of="now") not in found
    failures = "planb_upstream_failures_total"
    assert found[key(failures, upstream="shop", reason="upstream_error")] == 3
    assert found[key(failures, upstream="shop", reason="upstream_timeout")] == 0


async def test_the_state_of_the_rules_and_of_the_process_is_told() -> None:
    state = ReloadState("a632", 1772366400.0, successful=False, successes=2, failures=1)
    found = await samples(metrics(FakeStats(phase="draining"), state, dropped=4))
    assert found[key("planb_config_last_reload_successful")] == 0
    assert found[key("planb_config_last_reload_success_timestamp_seconds")] == 1772366400.0
    assert found[key("planb_config_reloads_total", result="success")] == 2
    assert found[key("planb_config_reloads_total", result="failure")] == 1
    assert found[key("planb_config_info", version="a632")] == 1
    assert found[key("planb_draining")] == 1
    assert found[key("planb_log_lines_dropped_total")] == 4
    assert any(name == "planb_build_info" for name, _ in found)
    assert any(name == "process_resident_memory_bytes" for name, _ in found)


def families(text: str, openmetrics: bool) -> Iterator[Metric]:
    yield from (parse_openmetrics if openmetrics else parse)(text)


@pytest.mark.parametrize("accept", ["", "text/plain", OPENMETRICS])
async def test_each_family_is_whole_however_many_pieces_it_came_in(accept: str) -> None:
    stats = FakeStats()
    names = [f"route-{number}" for number in range(3 * PIECE + 1)]
    for name in names:
        forward(stats.route(name))
    text, content_type = await metrics(stats).render(accept)
    openmetrics = accept == OPENMETRICS
    assert content_type.startswith("application/openmetrics-text" if openmetrics else "text/plain")
    assert text.endswith(b"# EOF\n") == openmetrics
    found = list(families(text.decode(), openmetrics))
    assert len({family.name for family in found}) == len(found)
    durations = next(each for each in found if each.name == "planb_request_duration_seconds")
    counted = [each.labels["route"] for each in durations.samples if each.name.endswith("_count")]
    assert counted == names


async def test_names_that_need_escapes_survive() -> None:
    stats = FakeStats()
    forward(stats.route('caf\u00e9 "x"\\\n'))
    found = await samples(metrics(stats))
    labels = {"route": 'caf\u00e9 "x"\\\n', "verdict": "forwarded", "reason": ""}
    assert found[key("planb_requests_total", **labels)] == 1


async def test_the_event_loop_turns_during_a_scrape() -> None:
    stats = FakeStats()
    for number in range(20 * PIECE):
        forward(stats.route(f"route-{number}"))
    turns = 0
    scrape = asyncio.create_task(metrics(stats).render())
    while not scrape.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 20 * 4


def test_routes_above_the_bound_are_summed_up() -> None:
    stats = FakeStats()
    for number in range(5):
        forward(stats.route(f"route-{number}"))
    shown = shown_routes(stats.routes(), most=2)
    assert [name for name, _ in shown] == ["route-0", "route-1", "other"]
    assert [counters.forwarded for _, counters in shown] == [1, 1, 3]
    assert len(shown_routes(stats.routes(), most=5)) == 5


def test_limits_above_the_bound_are_summed_up() -> None:
    rows = []
    for number in range(5):
        counters = LimitCounters()
        counters.admitted = counters.refused = counters.shadow_refused = 2
        rows.append(LimitReading(f"limit-{number}", "rate", counters, tokens=1.0))
    shown = shown_limits(rows, most=2)
    assert [limit.name for limit in shown] == ["limit-0", "limit-1", "other"]
    other = shown[-1]
    assert (other.counters.admitted, other.counters.refused, other.tokens) == (6, 6, None)
    assert other.counters.shadow_refused == 6


async def test_shedding_is_told_by_signal_upstream_and_priority() -> None:
    shedder = Shedder()
    spec = SheddingSpec({name: DEFAULT_THRESHOLDS[name] for name in ("cpu", "memory")})
    shedder.configure(Snapshot((), {"shop": UpstreamSpec("shop", "::1", 1)}, shedding=spec), 0.0)
    for step in range(40):
        shedder.update(Signals(step / 4, 0.0, {"cpu": 0.85}, {}))
    shedder.shed[Priority.LOW] = 7
    shedder.probes = 2

    found = await samples(metrics(FakeStats(shedder=shedder)))

    assert found[key("planb_signal", signal="cpu", upstream="")] == 0.85
    assert key("planb_signal", signal="memory", upstream="") not in found
    assert found[key("planb_signal_pressure", signal="cpu", upstream="")] == 3.0
    assert found[key("planb_signal_threshold", signal="memory", threshold="refuse")] == 0.95
    assert found[key("planb_shed_level", upstream="shop")] == 3.0
    assert found[key("planb_shed_total", priority="low")] == 7
    assert found[key("planb_shed_total", priority="critical")] == 0
    assert found[key("planb_shed_probes_total")] == 2


async def test_where_nobody_is_to_be_shed_nothing_is_told_of_it() -> None:
    text, _ = await metrics(FakeStats()).render()
    assert b"planb_signal" not in text
    assert b"planb_shed" not in text


async def test_kept_answers_are_told_by_what_they_were_sent_for() -> None:
    stats = FakeStats()
    item, plain = stats.route("item"), stats.route("plain")
    item.record_stored(200, 0.0)
    item.record_stored(0, 0.0)
    item.last_good += 3
    forward(plain)
    stats.kept = SnapshotsReading(7, 3000, 64000, 2)
    found = await samples(metrics(stats))
    assert found[key("planb_requests_total", route="item", verdict="stored", reason="")] == 1
    assert found[key("planb_requests_total", route="item", verdict="abandoned", reason="")] == 1
    assert found[key("planb_last_good_answers_total", route="item")] == 3
    assert key("planb_last_good_answers_total", route="plain") not in found
    assert found[key("planb_snapshots")] == 7
    assert found[key("planb_snapshots_bytes")] == 3000
    assert found[key("planb_snapshots_limit_bytes")] == 64000
    assert found[key("planb_snapshot_folder_errors_total")] == 2
