"""What Prometheus reads of requests that were sent again."""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from proxy.ops.stats import UpstreamReading

NOT_SENT = frozenset(("held_back", "over_budget"))
"""Results without a request. Who adds up `planb_retries_total` must get what was sent."""


def retry_metrics(upstreams: Iterable[UpstreamReading]) -> Iterator[Metric]:
    """The families; of upstreams where nothing is sent again there are no samples."""
    retries = CounterMetricFamily(
        "planb_retries",
        "Requests sent again: answered, or failed again.",
        labels=("upstream", "result"),
    )
    not_sent = CounterMetricFamily(
        "planb_retries_not_sent",
        "Requests that failed and were not sent again: there were too many (over_budget), or a "
        "limit, a breaker or the time that was left allowed for none (held_back).",
        labels=("upstream", "reason"),
    )
    left = GaugeMetricFamily(
        "planb_retry_budget_left",
        "Retries that the budget would allow at once.",
        labels=("upstream",),
    )
    for upstream in upstreams:
        if upstream.retries is not None:
            for result, count in upstream.retries.by_result.items():
                family = not_sent if result in NOT_SENT else retries
                family.add_metric((upstream.name, result), count)
            left.add_metric((upstream.name,), upstream.retries.budget_left)
    yield retries
    yield not_sent
    yield left
