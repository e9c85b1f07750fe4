"""For how much of the time a CPU quota has held a control group up."""

from math import inf
from pathlib import Path
from typing import Final

from proxy.ops.signals_share import Share
from proxy.ops.signals_system import one, read_numbers

LONGEST_PERIOD: Final = 1.0
"""Seconds of a quota's longest period (max_cfs_quota_period, kernel/sched/core.c)."""


class Throttling:
    """The share of time in which a group was throttled, from its `cpu.stat`.

    That says how many of the quota's periods did not suffice, and for how long the group's run
    queues, of which each CPU has one, were throttled, all added up (docs.kernel.org, "CFS Bandwidth
    Control", Statistics, and "Control Group v2", `cpu.stat`; kernel/sched/fair.c adds a queue's
    time when it goes on). Neither is what is wanted, and neither is below it but for what stands
    at this moment: a period is lost as a whole at most, and where one queue stood the sum has its
    time. So the smaller one holds. A group that is stopped for the last millisecond of each period
    has all of its periods throttled, and a hundredth of its time; one with four CPUs that stand
    together has four times as much time as there is.
    """

    def __init__(self, stat: Path, time: bytes, a_second: float) -> None:
        """`time` is what the throttled time is called there, of which `a_second` are one."""
        self._stat = stat
        self._name = time
        self._a_second = a_second
        self._periods = Share()
        self._time = Share()
        self._last = 0.0
        self._holds_until = -inf

    def share(self, now: float) -> float | None:
        """The share, 0 to 1; None at first, and of a group that did nothing. Raises Unreadable.

        Where a period is as long as what the share is taken over, none may end in that time: the
        last value holds until one must have.
        """
        numbers = read_numbers(self._stat)
        throttled, periods, time = (
            one(numbers, name, self._stat) for name in (b"nr_throttled", b"nr_periods", self._name)
        )
        of_periods = self._periods.take(throttled, periods)
        of_time = self._time.take(time / self._a_second, now)
        if of_periods is not None and of_time is not None:
            self._last = min(of_periods, of_time)
            self._holds_until = now + LONGEST_PERIOD
        return self._last if now <= self._holds_until else None
