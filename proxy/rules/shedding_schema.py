"""The section `shedding`: every key, what it means, and what it may hold."""

from typing import Any

from proxy.policy.signals import DEFAULT_THRESHOLDS
from proxy.rules.section import Section
from proxy.rules.section import key as _key
from proxy.rules.thresholds import as_written
from proxy.rules.values import Name, Per, PositiveDuration, PositiveNumber, Ratio

_START = "From here on the lowest priorities are shed first, the more the higher it is."
_FULL = "From here on all but critical ones are."
_REFUSE = "From here on all are."


def _signal(what: str, name: str) -> Any:
    """The key of a signal, with what holds where its thresholds say nothing."""
    threshold = DEFAULT_THRESHOLDS[name]
    defaults = (
        as_written(name, value) for value in (threshold.start, threshold.full, threshold.refuse)
    )
    return _key(f"{what}. start, full and refuse are {', '.join(defaults)} by default.", None)


class _Thresholds(Section):
    """From `start` the lowest priorities go first; at `full` only critical stays; at `refuse`
    nobody does.
    """


class ShareThresholds(_Thresholds):
    """Thresholds of a share."""

    start: Ratio | None = _key(_START, None)
    full: Ratio | None = _key(_FULL, None)
    refuse: Ratio | None = _key(_REFUSE, None)


class NumberThresholds(_Thresholds):
    """Thresholds of a number."""

    start: PositiveNumber | None = _key(_START, None)
    full: PositiveNumber | None = _key(_FULL, None)
    refuse: PositiveNumber | None = _key(_REFUSE, None)


class TimeThresholds(_Thresholds):
    """Thresholds of a time."""

    start: PositiveDuration | None = _key(_START, None)
    full: PositiveDuration | None = _key(_FULL, None)
    refuse: PositiveDuration | None = _key(_REFUSE, None)


class MetricThresholds(_Thresholds):
    """Thresholds of a metric that the upstream reports: all three, since nobody else knows it."""

    start: PositiveNumber = _key("From here on the lowest priorities are shed first.")
    full: PositiveNumber = _key("From here on all but critical ones are.")
    refuse: PositiveNumber = _key("From here on all are.")


class Signals(Section):
    """What is looked at to see whether there is too much load; of several the worst counts.
    A signal with no thresholds ({}) takes those that its description tells.
    """

    cpu: ShareThresholds | None = _signal(
        "CPU time, of the container's quota if there is one, else of the machine", "cpu"
    )
    load: NumberThresholds | None = _signal(
        "Load average of the machine over a minute, for each of its CPUs, while there is load",
        "load",
    )
    memory: ShareThresholds | None = _signal(
        "Memory, of the container's limit if there is one, else of the machine", "memory"
    )
    loop_lag: TimeThresholds | None = _signal("How late Plan B's own event loop is", "loop_lag")
    throttled: ShareThresholds | None = _signal(
        "Time for which the container's CPU quota held it up, over a second", "throttled"
    )
    cpu_pressure: ShareThresholds | None = _signal(
        "Time in which something waited for a CPU, over ten seconds", "cpu_pressure"
    )
    memory_pressure: ShareThresholds | None = _signal(
        "Time in which something waited for memory, over ten seconds", "memory_pressure"
    )
    queueing: NumberThresholds | None = _signal(
        "Requests in the queue of a listener's concurrency limit, of an upstream's adaptive one or "
        "of its pool, for each that it lets in flight",
        "queueing",
    )
    upstream_latency: TimeThresholds | None = _signal(
        "How long nine of ten answers of the listener's upstream take at most, over two seconds",
        "upstream_latency",
    )
    upstream_errors: ShareThresholds | None = _signal(
        "Requests that the listener's upstream fails, or answers with a 5xx, over two seconds",
        "upstream_errors",
    )
    reported_cpu: ShareThresholds | None = _signal(
        "The cpu_utilization that the upstream reports in endpoint-load-metrics (ORCA)",
        "reported_cpu",
    )
    reported_memory: ShareThresholds | None = _signal(
        "The mem_utilization that the upstream reports", "reported_memory"
    )
    reported_utilization: ShareThresholds | None = _signal(
        "The application_utilization that the upstream reports", "reported_utilization"
    )
    reported_metrics: dict[Name, MetricThresholds] = _key(
        "Metrics of its own that the upstream reports (named_metrics), by name.", {}
    )


class Shedding(Section):
    """When there is too much load, requests are refused by priority."""

    signals: Signals | None = _key(
        "What shows that there is too much load. Without it cpu, load, memory and loop_lag.", None
    )
    per: Per = _key(
        "What is a client: one is served whole visits while another is refused, for five minutes. "
        "client_address, cookie:NAME, header:NAME or query:NAME; a request without it counts by "
        "its client address. Who can make up a session may try until one is served.",
        "client_address",
    )
    cgroup: str | None = _key(
        "The control group of the shop, below /sys/fs/cgroup, such as system.slice/shop.service. "
        "Without it Plan B's own.",
        None,
        min_length=1,
    )
