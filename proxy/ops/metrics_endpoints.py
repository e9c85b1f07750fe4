"""What Prometheus reads of upstreams' endpoints."""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from proxy.ops.stats import EndpointReading, UpstreamReading

MOST_ROWS = 1000
"""Endpoints that are shown by name; the others are summed up as `OTHER`."""

OTHER = "other"

_LABELS = ("upstream", "endpoint")


def endpoint_metrics(upstreams: Iterable[UpstreamReading]) -> Iterator[Metric]:
    """Of upstreams that have several."""
    rows = [(each.name, endpoint) for each in upstreams for endpoint in each.endpoints]
    in_flight = GaugeMetricFamily(
        "planb_endpoint_requests_in_flight", "Requests that an endpoint has.", labels=_LABELS
    )
    ejected = GaugeMetricFamily(
        "planb_endpoint_ejected", "1 while an endpoint gets no requests.", labels=_LABELS
    )
    ejections = CounterMetricFamily(
        "planb_endpoint_ejections", "How often an endpoint was ejected.", labels=_LABELS
    )
    failures = CounterMetricFamily(
        "planb_endpoint_failures",
        "Failures of an endpoint, those that another made up for among them.",
        labels=_LABELS,
    )
    for labels, some in _shown(rows):
        in_flight.add_metric(labels, sum(each.in_flight for each in some))
        ejected.add_metric(labels, sum(each.standing == "ejected" for each in some))
        ejections.add_metric(labels, sum(each.ejections for each in some))
        failures.add_metric(labels, sum(each.failures for each in some))
    if rows:
        yield from (in_flight, ejected, ejections, failures)


def _shown(
    rows: list[tuple[str, EndpointReading]],
) -> Iterator[tuple[tuple[str, str], list[EndpointReading]]]:
    for upstream, endpoint in rows[:MOST_ROWS]:
        yield (upstream, endpoint.address), [endpoint]
    if len(rows) > MOST_ROWS:
        yield (OTHER, OTHER), [endpoint for _, endpoint in rows[MOST_ROWS:]]
