"""What Prometheus reads of breakers and throttles."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from proxy.ops.stats import BreakerStateWord, Stats

MOST_ROWS: Final = 1000
"""As of routes: the first of the rules. States can't be summed up."""

_NUMBERS: Final[dict[BreakerStateWord, int]] = {
    "closed": 0,
    "probing": 1,
    "recovering": 1,
    "open": 2,
}

_LABELS: Final = ("upstream", "route")


def gate_families(stats: Stats) -> Iterator[Metric]:
    """All families. The label `route` is empty for what stands before a whole upstream."""
    state = GaugeMetricFamily(
        "planb_breaker_state", "Circuit breakers: 0 closed, 1 half-open, 2 open.", labels=_LABELS
    )
    share = GaugeMetricFamily(
        "planb_breaker_share",
        "Share of requests that circuit breakers let through, beside probes.",
        labels=_LABELS,
    )
    opened = CounterMetricFamily(
        "planb_breaker_opened", "How often circuit breakers have opened.", labels=_LABELS
    )
    for breaker in islice(stats.breakers(), MOST_ROWS):
        labels = (breaker.upstream, breaker.route)
        state.add_metric(labels, _NUMBERS[breaker.state])
        share.add_metric(labels, breaker.share)
        opened.add_metric(labels, breaker.opened)
    probability = GaugeMetricFamily(
        "planb_throttle_probability",
        "Probability with which a request is refused before it is sent.",
        labels=_LABELS,
    )
    for throttle in islice(stats.throttles(), MOST_ROWS):
        probability.add_metric((throttle.upstream, throttle.route), throttle.probability)
    yield from (state, share, opened, probability)
