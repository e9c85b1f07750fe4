"""What Prometheus reads of requests that were sent again."""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from proxy.ops.stats import UpstreamReading


def retry_metrics(upstreams: Iterable[UpstreamReading]) -> Iterator[Metric]:
    """The families; of upstreams where nothing is sent again there are no samples."""
    retries = CounterMetricFamily(
        "planb_retries",
        "Requests sent again: answered, or failed again; or not sent, as a limit or breaker let "
        "nothing through (held_back), or as there were too many (over_budget).",
        labels=("upstream", "result"),
    )
    left = GaugeMetricFamily(
        "planb_retry_budget_left",
        "Retries that the budget would allow at once.",
        labels=("upstream",),
    )
    for upstream in upstreams:
        if upstream.retries is not None:
            for result, count in upstream.retries.by_result.items():
                retries.add_metric((upstream.name, result), count)
            left.add_metric((upstream.name,), upstream.retries.budget_left)
    yield retries
    yield left
