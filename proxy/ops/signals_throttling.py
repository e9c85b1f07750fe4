"""For how much of the time a CPU quota has held a control group up."""

from pathlib import Path

from proxy.ops.signals_share import Share
from proxy.ops.signals_system import one, read_numbers


class Throttling:
    """The share of time in which a group was throttled, from its `cpu.stat`.

    That says how many of the quota's periods did not suffice, and for how long the group's run
    queues, of which each CPU has one, were throttled, all added up (docs.kernel.org, "CFS Bandwidth
    Control", Statistics, and "Control Group v2", `cpu.stat`; kernel/sched/fair.c adds a queue's
    time when it goes on). Neither is what is wanted, and neither is below it: a period is lost as
    a whole at most, and where one queue stood the sum has its time. So the smaller one holds. A
    group that is stopped for the last millisecond of each period has all of its periods throttled,
    and a hundredth of its time; one with four CPUs that stand together has four times as much time
    as there is.
    """

    def __init__(self, stat: Path, time: bytes, a_second: float) -> None:
        """`time` is what the throttled time is called there, of which `a_second` are one."""
        self._stat = stat
        self._name = time
        self._a_second = a_second
        self._periods = Share()
        self._time = Share()

    def share(self, now: float) -> float | None:
        """It, 0 to 1; None at first, and of a group that did nothing. Raises Unreadable."""
        numbers = read_numbers(self._stat)
        throttled, periods, time = (
            one(numbers, name, self._stat) for name in (b"nr_throttled", b"nr_periods", self._name)
        )
        of_periods = self._periods.take(throttled, periods)
        of_time = self._time.take(time / self._a_second, now)
        if of_periods is None or of_time is None:
            return None
        return min(of_periods, of_time)
