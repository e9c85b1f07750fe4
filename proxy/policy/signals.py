"""What is known of the load at one moment, and what of it can be too much."""

from collections.abc import Mapping
from math import isfinite
from typing import Final

from proxy.policy.snapshot import Threshold

DEFAULT_THRESHOLDS: Final[Mapping[str, Threshold]] = {
    # The product's own figures: everything is refused at 90 % CPU, or at a load of 2 per core.
    "cpu": Threshold(0.75, 0.85, 0.90),
    "load": Threshold(1.2, 1.6, 2.0),
    # Beyond it the kernel kills what has no memory left.
    "memory": Threshold(0.80, 0.90, 0.95),
    # DAGOR calls a service overloaded when requests wait 20 ms on average (Zhou et al., "Overload
    # Control for Scaling WeChat Microservices", SoCC 2018, section 4.1).
    "loop_lag": Threshold(0.020, 0.100, 0.500),
    # Shares of time.
    "throttled": Threshold(0.25, 0.50, 0.80),
    "cpu_pressure": Threshold(0.50, 0.70, 0.90),
    # systemd-oomd kills at 60 % for half a minute (oomd.conf(5)).
    "memory_pressure": Threshold(0.20, 0.40, 0.60),
    # Requests that wait for each place upstream: by Little's law, service times to wait.
    "queueing": Threshold(1.0, 2.0, 4.0),
    # People notice a second and leave after ten (Nielsen, "Usability Engineering", chapter 5).
    "upstream_latency": Threshold(1.0, 2.5, 5.0),
    "upstream_errors": Threshold(0.20, 0.50, 0.80),
    "reported_cpu": Threshold(0.75, 0.85, 0.90),
    "reported_memory": Threshold(0.80, 0.90, 0.95),
    "reported_utilization": Threshold(0.75, 0.85, 0.95),
}
"""Every signal but those that are named by who reports them, and what holds where the rules say
nothing: ratios, seconds for `loop_lag` and `upstream_latency`, plain numbers for `load` (tasks per
core) and `queueing` (waiting for each place upstream)."""

SECONDS: Final = frozenset({"loop_lag", "upstream_latency"})
PLAIN: Final = frozenset({"load", "queueing"})
"""Which of them are no ratios."""

BY_DEFAULT: Final = ("cpu", "load", "memory", "loop_lag")
"""What is looked at where the rules name no signal: what every system can tell."""

REPORTED_METRIC: Final = "reported_metrics."
"""Before the name of a metric that an upstream reports, to tell it from signals of our own."""

IMPLAUSIBLE: Final = 1000.0
"""A value of more than so many times `refuse` is a mistake and no load: a counter that was set
back, a clock that was set forward, a unit that was mixed up."""


class Signals:
    """One sample. `at` is monotonic seconds, `wall` Unix seconds.

    `values` are those of the process, its container or its machine, by name; `of_upstreams` those
    of each upstream by its name. A signal that can't be read is not there.
    """

    __slots__ = ("at", "of_upstreams", "values", "wall")

    def __init__(
        self,
        at: float,
        wall: float,
        values: Mapping[str, float],
        of_upstreams: Mapping[str, Mapping[str, float]],
    ) -> None:
        self.at = at
        self.wall = wall
        self.values = values
        self.of_upstreams = of_upstreams


def pressure(value: float, threshold: Threshold) -> float:
    """How many priorities `value` wants shed: 0.0 to 4.0.

    0 up to `start`, 3 at `full` (all but critical), 4 from `refuse` on, straight in between: 1.5
    is all low ones and half of the normal ones. What can't be a measurement presses not at all.
    """
    if not isfinite(value) or value <= threshold.start:
        return 0.0
    if value < threshold.full:
        return 3.0 * (value - threshold.start) / (threshold.full - threshold.start)
    if value < threshold.refuse:
        return 3.0 + (value - threshold.full) / (threshold.refuse - threshold.full)
    return 4.0 if value <= IMPLAUSIBLE * threshold.refuse else 0.0
