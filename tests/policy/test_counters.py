from bisect import bisect_left
from collections.abc import Sequence
from math import inf, nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.counters import (
    DURATION_BOUNDS,
    LATEST_REPORTS,
    OWN_BOUNDS,
    WAIT_BOUNDS,
    Histogram,
    RouteCounters,
    UpstreamCounters,
    wait_place,
)
from proxy.policy.reasons import Reason


def test_a_duration_on_a_bound_belongs_to_the_bucket_below() -> None:
    histogram = Histogram((0.1, 1.0))
    for seconds in (0.1, 0.100001, 1.0, 1.1):
        histogram.observe(seconds)
    assert histogram.counts == [1, 2, 1]
    assert histogram.sum == pytest.approx(2.300001)


@pytest.mark.parametrize("bounds", [(), (2.0, 1.0), (1.0, 1.0)])
def test_bounds_must_rise(bounds: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="rise"):
        Histogram(bounds)


@given(st.lists(st.floats(0, 100, allow_nan=False)))
def test_every_duration_is_in_the_one_bucket_whose_bounds_hold_it(durations: list[float]) -> None:
    histogram = Histogram()
    for seconds in durations:
        histogram.observe(seconds)
    at_or_below = 0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        at_or_below += count
        assert at_or_below == sum(seconds <= bound for seconds in durations)
    assert sum(histogram.counts) == len(durations)


def test_histograms_of_other_bounds_are_not_added() -> None:
    with pytest.raises(ValueError, match="same bounds"):
        Histogram(DURATION_BOUNDS).add(Histogram(OWN_BOUNDS))


def record(
    route: RouteCounters,
    forwarded: bool,
    status: int,
    reason: Reason | None = None,
    *,
    duration: float = 0.02,
    own: float = 0.0002,
    waited: float = 0.0,
) -> None:
    route.record(
        forwarded=forwarded,
        reason=reason,
        status=status,
        duration=duration,
        own=own,
        waited=waited,
    )


def test_a_forwarded_request_is_counted_by_its_status_class() -> None:
    route = RouteCounters()
    for status in (200, 204, 302, 404, 500, 999):
        record(route, True, status)
    assert route.forwarded == 6
    assert route.responses == [1, 0, 2, 1, 1, 1]
    assert sum(route.duration.counts) == 6
    assert route.own_share.sum == pytest.approx(0.0012)
    assert sum(route.queue_wait.counts) == 0


def test_a_refusal_leaves_the_durations_of_forwarded_requests_alone() -> None:
    route = RouteCounters()
    record(route, False, 429, Reason.RATE, own=0.00004)
    assert route.refused[Reason.RATE] == 1
    assert route.forwarded == 0
    assert route.responses == [0] * 6
    assert sum(route.duration.counts) == 0
    assert sum(route.own_share.counts) == 0
    assert route.refusal_duration.counts[0] == 1


def test_an_upstream_too_slow_shows_in_the_durations() -> None:
    route = RouteCounters()
    record(route, True, 504, Reason.UPSTREAM_TIMEOUT, duration=2.0)
    assert route.failed[Reason.UPSTREAM_TIMEOUT] == 1
    assert route.refused[Reason.UPSTREAM_TIMEOUT] == 0
    assert route.duration.sum == 2.0


@pytest.mark.parametrize("forwarded", [True, False])
def test_a_client_that_leaves_without_an_answer_abandons(forwarded: bool) -> None:
    route = RouteCounters()
    record(route, forwarded, 0)
    assert route.abandoned == 1
    assert route.total == 1
    assert sum(route.duration.counts) == 0


def test_only_requests_that_had_to_wait_are_in_the_queue_wait() -> None:
    route = RouteCounters()
    record(route, True, 200)
    record(route, True, 200, waited=0.05)
    record(route, False, 503, Reason.QUEUE_TIMEOUT, waited=0.2)
    assert sum(route.queue_wait.counts) == 2
    assert route.queue_wait.sum == pytest.approx(0.25)


def test_a_refusal_s_wait_in_a_queue_is_not_in_its_duration() -> None:
    route = RouteCounters()
    record(route, False, 503, Reason.QUEUE_TIMEOUT, duration=0.2003, own=0.0003, waited=0.2)
    assert route.refusal_duration.sum == 0.0003
    assert route.queue_wait.sum == 0.2


def test_the_total_has_every_request_once() -> None:
    route = RouteCounters()
    record(route, True, 200)
    record(route, False, 429, Reason.RATE)
    record(route, True, 502, Reason.UPSTREAM_ERROR)
    record(route, True, 0)
    assert route.total == 4


def test_a_sum_over_routes_has_all_that_each_has_counted() -> None:
    one, other, both = RouteCounters(), RouteCounters(), RouteCounters()
    for route in (one, other):
        for counters in (route, both):
            record(counters, True, 201, waited=0.01)
            record(counters, False, 429, Reason.RATE)
            record(counters, True, 502, Reason.UPSTREAM_ERROR)
            record(counters, False, 0)
            counters.in_flight += 1
    one.add(other)
    for name in ("forwarded", "refused", "failed", "abandoned", "responses", "in_flight", "total"):
        assert getattr(one, name) == getattr(both, name)
    for name in ("duration", "refusal_duration", "own_share", "queue_wait"):
        assert getattr(one, name).counts == getattr(both, name).counts
        assert getattr(one, name).sum == pytest.approx(getattr(both, name).sum)


def test_an_upstream_s_answers_are_counted_and_its_latest_reports_kept() -> None:
    upstream = UpstreamCounters()
    upstream.answered(200, 0.02, b"TEXT cpu_utilization=0.5", 10.0)
    upstream.answered(500, 0.02, None, 11.0)
    upstream.answered(499, 0.02, None, 12.0)
    assert (sum(upstream.waits.counts), upstream.server_errors) == (3, 1)
    assert list(upstream.reports) == [(b"TEXT cpu_utilization=0.5", 10.0)]
    for second in range(LATEST_REPORTS):
        upstream.answered(200, 0.02, b"TEXT", 20.0 + second)
    assert list(upstream.reports) == [(b"TEXT", 20.0 + each) for each in range(LATEST_REPORTS)]


def test_a_request_without_an_answer_is_a_wait_apart() -> None:
    upstream = UpstreamCounters()
    upstream.unanswered(2.0)
    assert (sum(upstream.waits.counts), sum(upstream.vain_waits.counts)) == (0, 1)
    assert upstream.vain_waits.sum == 2.0


def test_a_wait_is_counted_at_the_first_bound_that_is_no_shorter() -> None:
    for bound in (*WAIT_BOUNDS, 0.0, -1.0, 1e9):
        for wait in (nextafter(bound, -inf), bound, nextafter(bound, inf), bound * 1.05):
            assert wait_place(wait) == bisect_left(WAIT_BOUNDS, wait)
