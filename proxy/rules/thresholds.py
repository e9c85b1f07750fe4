"""Thresholds of signals: those that the rules write, and the default ones behind them."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from proxy.policy.signals import BY_DEFAULT, DEFAULT_THRESHOLDS, PLAIN, REPORTED_METRIC, SECONDS
from proxy.policy.snapshot import SheddingSpec, Threshold
from proxy.rules import units
from proxy.rules.document import Value, as_plain, get
from proxy.rules.problems import Step

if TYPE_CHECKING:
    from proxy.rules.shedding_schema import MetricThresholds, Shedding, Signals

_STEPS = ("start", "full", "refuse")


def shedding(rules: "Shedding") -> SheddingSpec:
    """What policy knows of the section."""
    return SheddingSpec(_signals(rules.signals), rules.per, rules.cgroup)


def _signals(written: "Signals | None") -> dict[str, Threshold]:
    if written is None:
        return {name: DEFAULT_THRESHOLDS[name] for name in BY_DEFAULT}
    found: dict[str, Threshold] = {}
    for name, default in DEFAULT_THRESHOLDS.items():
        thresholds = getattr(written, name)
        if thresholds is not None:
            found[name] = Threshold(
                default.start if thresholds.start is None else thresholds.start,
                default.full if thresholds.full is None else thresholds.full,
                default.refuse if thresholds.refuse is None else thresholds.refuse,
            )
    metric: MetricThresholds
    for name, metric in written.reported_metrics.items():
        found[REPORTED_METRIC + name] = Threshold(metric.start, metric.full, metric.refuse)
    return found


def as_written(name: str, value: float) -> str:
    """`value` of the signal `name`, as the rules would write it."""
    if name in SECONDS:
        return f"{value * 1000:g}ms" if value < 1 else f"{value:g}s"
    if name in PLAIN or name.startswith(REPORTED_METRIC):
        return f"{value:g}"
    return f"{value * 100:g}%"


def threshold_problems(data: Value) -> Iterator[tuple[tuple[Step, ...], str]]:
    """Thresholds that do not rise, and signals that are none."""
    section = get(data, "shedding")
    signals = get(section, "signals")
    if isinstance(signals, dict):
        if not signals:
            yield ("shedding", "signals"), "names no signal: leave it out for the default ones"
        for name, thresholds in signals.items():
            yield from _rising(("shedding", "signals", name), name, thresholds)
        metrics = get(signals, "reported_metrics")
        if isinstance(metrics, dict):
            for name, thresholds in metrics.items():
                steps = ("shedding", "signals", "reported_metrics", name)
                yield from _rising(steps, REPORTED_METRIC + name, thresholds)
    per = get(section, "per")
    if isinstance(per, str) and per.startswith("path:"):
        yield ("shedding", "per"), "a part of the path is no client"


def _rising(
    steps: tuple[Step, ...], name: str, thresholds: Value
) -> Iterator[tuple[tuple[Step, ...], str]]:
    default = DEFAULT_THRESHOLDS.get(name)
    for low, high in pairwise(_STEPS):
        lower = _value(name, get(thresholds, low), default, low)
        higher = _value(name, get(thresholds, high), default, high)
        if lower is None or higher is None or lower < higher:
            continue
        if get(thresholds, high) is None:
            yield (*steps, low), f"must be below {high}, {as_written(name, higher)} by default"
        else:
            by_default = " by default" if get(thresholds, low) is None else ""
            yield (*steps, high), f"must be above {low}, {as_written(name, lower)}{by_default}"
        return


def _value(name: str, written: Value, default: Threshold | None, step: str) -> float | None:
    """The number that is meant; None where that is not sure, and another problem."""
    if written is None:
        return None if default is None else float(getattr(default, step))
    try:
        if name in SECONDS:
            return units.positive_duration(written)
        if name in DEFAULT_THRESHOLDS and name not in PLAIN:
            return units.ratio(written)
    except ValueError:
        return None
    plain = as_plain(written)
    return float(plain) if isinstance(plain, int | float) and not isinstance(plain, bool) else None
