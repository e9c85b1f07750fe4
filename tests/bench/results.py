"""What was measured, by contender."""

from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple


class Speed(NamedTuple):
    """One run as fast as it goes; `core_ratio` is the share of its core that the proxy used."""

    per_second: float
    core_ratio: float


class Wait(NamedTuple):
    """Latencies of one run, seconds."""

    p50: float
    p99: float


class Flooded(NamedTuple):
    """What admitted requests wait, without and with a flood of refused ones of so many a second."""

    alone: Wait
    flooded: Wait
    flood_per_second: float


class Memory(NamedTuple):
    """Resident bytes with no client, and with `connections` idle ones."""

    idle_bytes: int
    connected_bytes: int
    connections: int

    @property
    def bytes_per_connection(self) -> float:
        """What each connection takes."""
        return (self.connected_bytes - self.idle_bytes) / self.connections


@dataclass
class Results:
    """All of it; a part that was not asked for is empty.

    `speeds` are by case, `waits` by rate (requests a second) and then, besides the contenders,
    for `NO_PROXY`. `opened` are connections to the upstream for so many forwarded requests.
    """

    contenders: list[str]
    rounds: int
    seconds: int
    speeds: dict[str, dict[str, list[Speed]]] = field(default_factory=dict)
    opened: dict[str, tuple[int, int]] = field(default_factory=dict)
    waits: dict[int, dict[str, list[Wait]]] = field(default_factory=dict)
    floods: dict[str, list[Flooded]] = field(default_factory=dict)
    memory: dict[str, Memory] = field(default_factory=dict)

    def add_speed(self, case: str, who: str, speed: Speed) -> None:
        """One more run of a case."""
        self.speeds.setdefault(case, {}).setdefault(who, []).append(speed)

    def add_opened(self, who: str, connections: int, requests: int) -> None:
        """One more run that forwarded."""
        before = self.opened.get(who, (0, 0))
        self.opened[who] = (before[0] + connections, before[1] + requests)

    def add_wait(self, rate: int, who: str, wait: Wait) -> None:
        """One more run at a constant rate."""
        self.waits.setdefault(rate, {}).setdefault(who, []).append(wait)

    def per_second(self, case: str, who: str) -> float:
        """The median speed."""
        return median(speed.per_second for speed in self.speeds[case][who])

    def ratio(self, case: str, who: str, measure: str) -> float:
        """The median speed of `who` in that of `measure`."""
        return self.per_second(case, who) / self.per_second(case, measure)


NO_PROXY = "no proxy"


def median_wait(waits: list[Wait]) -> Wait:
    """The medians of p50 and of p99."""
    return Wait(median(wait.p50 for wait in waits), median(wait.p99 for wait in waits))
