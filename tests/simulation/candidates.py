"""Other algorithms that find a limit, with their own bounds and constants, for the comparison.

Read in Netflix/concurrency-limits (`AIMDLimit`, `VegasLimit`, `Gradient2Limit`, `WindowedLimit`)
and envoyproxy/envoy (`gradient_controller.cc`), and written anew from what they compute. What
each takes where there was a choice stands in README.md.
"""

from collections.abc import Callable
from math import ceil, log10, sqrt
from random import Random

from proxy.policy.gradient import GradientLimit
from tests.simulation.account import percentile

WINDOW = 0.1
"""Seconds of samples that are looked at together, at least. Netflix's `WindowedLimit` takes no less
(and a second by default), Envoy's documentation shows it.
"""

LONGEST_WINDOW = 1.0
"""The default of Netflix's `maxWindowTime`."""

SAMPLES = 10
"""Without so many Netflix's window says nothing."""


class Candidate(GradientLimit):
    """A limit from `fewest` to `most` that begins with `first`."""

    fewest = 1
    most = 1000
    first = 20

    def __init__(self, jitter: Callable[[], float]) -> None:
        super().__init__(self.fewest, self.most, jitter)
        self.move(self.first)
        self.jitter = jitter
        self.latencies: list[float] = []
        self.window_ends_at = 0.0

    def move(self, limit: float) -> None:
        self.limit = max(float(self.fewest), min(float(self.most), limit))
        self.places = int(self.limit)


class Windowed(Candidate):
    """What Netflix's have in common: the mean and the most in flight of a window, which is twice as
    long as the fastest answer of the one before took, within bounds. A window of too few samples is
    thrown away there, and goes on here: with one slot they would never decide.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        super().__init__(jitter)
        self.most_in_flight = 0

    def sample(self, latency: float, in_flight: int, calm: float, now: float) -> None:
        self.latencies.append(latency)
        self.most_in_flight = max(self.most_in_flight, in_flight)
        if now > self.window_ends_at and len(self.latencies) >= SAMPLES:
            self.latency = sum(self.latencies) / len(self.latencies)
            self.decide()
            self.window_ends_at = now + min(max(2.0 * min(self.latencies), WINDOW), LONGEST_WINDOW)
            self.latencies = []
            self.most_in_flight = 0

    def decide(self) -> None:
        raise NotImplementedError


class Aimd(Windowed):
    """AIMDLimit: one more for a window without trouble, a tenth less for one with. Trouble is a
    latency above one that is set by hand (5 s there, when all have left long since; here 100 ms).
    """

    fewest, most, first = 20, 200, 20

    def decide(self) -> None:
        if self.latency > 0.1:
            self.move(int(self.limit * 0.9))
        elif self.most_in_flight * 2 >= self.limit:
            self.move(self.limit + 1.0)


class Vegas(Windowed):
    """VegasLimit: keeps 3 to 6 times log10(limit) in the upstream's queue. The least latency is
    forgotten after 15 to 30 x limit windows.
    """

    fewest, most, first = 1, 1000, 20

    def __init__(self, jitter: Callable[[], float]) -> None:
        super().__init__(jitter)
        self.windows = 0
        self.forget = self._some()

    def _some(self) -> float:
        return 30.0 * (0.5 + 0.5 * self.jitter())

    def decide(self) -> None:
        self.windows += 1
        if self.windows >= self.forget * self.limit:
            self.windows, self.forget, self.baseline = 0, self._some(), 0.0
        if not self.baseline or self.latency < self.baseline:
            self.baseline = self.latency
            return
        if self.most_in_flight * 2 < self.limit:
            return
        step = max(1, int(log10(self.limit)))
        queue = ceil(self.limit * (1.0 - self.baseline / self.latency))
        if queue <= step:
            self.move(self.limit + 6 * step)
        elif queue < 3 * step:
            self.move(self.limit + step)
        elif queue > 6 * step:
            self.move(self.limit - step)


class Gradient2(Windowed):
    """Gradient2Limit: the baseline is a mean of the first 10 windows, then over 600; a tolerance
    of 1.5, a headroom of 4, smoothed by a fifth.
    """

    fewest, most, first = 20, 200, 20

    def __init__(self, jitter: Callable[[], float]) -> None:
        super().__init__(jitter)
        self.windows = 0

    def decide(self) -> None:
        self.windows += 1
        weight = 1.0 / self.windows if self.windows <= 10 else 2.0 / 601.0
        self.baseline += (self.latency - self.baseline) * weight
        baseline = self.baseline
        if baseline > 2.0 * self.latency:
            self.baseline *= 0.95
        if self.most_in_flight < self.limit / 2.0:
            return
        gradient = max(0.5, min(1.0, 1.5 * baseline / self.latency))
        self.move(0.8 * self.limit + 0.2 * (gradient * self.limit + 4.0))


class Envoy(Candidate):
    """Envoy's adaptive_concurrency, as its documentation's example has it: the 90th percentile of
    each window; the least latency is measured every 60 to 66 s, and after five windows at the
    least limit, on 50 requests with three in flight, and increased by a quarter.
    """

    fewest, most, first = 3, 1000, 3

    share = 0.9
    """The percentile. The default is 0.5, and so is that of `EnvoyByDefault`."""

    spread = 0.1
    """By how much of itself the time between two measurements is longer at most."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        super().__init__(jitter)
        self.measuring = True
        self.resumed = self.limit
        self.measured_since = 0.0
        self.measure_at = 0.0
        self.windows_at_least = 0

    def sample(self, latency: float, in_flight: int, calm: float, now: float) -> None:
        if not self.measuring and now >= self.measure_at:
            self.measuring, self.resumed, self.measured_since = True, self.limit, now
            self.latencies = []
            self.windows_at_least = 0
            self.move(self.fewest)
        if now - latency < self.measured_since:
            return
        self.latencies.append(latency)
        if self.measuring:
            if len(self.latencies) >= 50:
                self._measured(now)
        elif now >= self.window_ends_at:
            self._decide_at(now)

    def _measured(self, now: float) -> None:
        self.baseline = percentile(self.latencies, self.share)
        self.measuring, self.latencies = False, []
        self.measure_at = now + 60.0 * (1.0 + self.spread * self.jitter())
        self.window_ends_at = now + WINDOW
        self.move(self.resumed)

    def _decide_at(self, now: float) -> None:
        self.latency = percentile(self.latencies, self.share)
        self.latencies, self.window_ends_at = [], now + WINDOW
        gradient = max(0.5, min(2.0, 1.25 * self.baseline / self.latency))
        before, limit = self.places, gradient * self.limit
        self.move(int(limit + sqrt(limit)))
        self.windows_at_least += 1
        if not before == self.places == self.fewest:
            self.windows_at_least = 0
        elif self.windows_at_least >= 5:
            self.measure_at = now


class EnvoyByDefault(Envoy):
    """The same with the defaults where the example differs."""

    share, spread = 0.5, 0.15


CANDIDATES: dict[str, Callable[[Callable[[], float]], Candidate]] = {
    "AIMD": Aimd,
    "Vegas": Vegas,
    "Gradient2": Gradient2,
    "Envoy": Envoy,
    "Envoy, median": EnvoyByDefault,
}


def candidate(name: str, seed: int) -> Candidate:
    """One by its name."""
    return CANDIDATES[name](Random(seed).random)
