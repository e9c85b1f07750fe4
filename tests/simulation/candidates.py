"""Other algorithms that find a limit, as published, for the comparison."""

from math import ceil, log10, sqrt
from statistics import median

from proxy.policy.gradient import GradientLimit

WINDOW = 0.1
"""Seconds of samples that are looked at together, by all of them."""


class Candidate(GradientLimit):
    """What the candidates have in common: a window of samples, then `decide`."""

    def __init__(self) -> None:
        super().__init__(3, 1000, lambda: 0.5)
        self.latencies: list[float] = []
        self.most_in_flight = 0
        self.window_ends_at = 0.0

    def sample(self, latency: float, in_flight: int, pressed: bool, now: float) -> None:
        self.latencies.append(latency)
        self.most_in_flight = max(self.most_in_flight, in_flight)
        if now >= self.window_ends_at and len(self.latencies) >= 10:
            self.latency = sum(self.latencies) / len(self.latencies)
            self.decide(now)
            self.latencies = []
            self.most_in_flight = 0
            self.window_ends_at = now + WINDOW

    def decide(self, now: float) -> None:
        raise NotImplementedError

    def move(self, limit: float) -> None:
        self.limit = max(3.0, min(1000.0, limit))
        self.places = int(self.limit)


class Aimd(Candidate):
    """Netflix concurrency-limits, AIMDLimit: one more for a window without trouble, a tenth less
    for one with. Trouble is a latency above one that is set by hand (there 5 s; here 100 ms).
    """

    def decide(self, now: float) -> None:
        if self.latency > 0.1:
            self.move(self.limit * 0.9)
        elif self.most_in_flight * 2 >= self.limit:
            self.move(self.limit + 1.0)


class Vegas(Candidate):
    """Netflix concurrency-limits, VegasLimit: keeps 3 to 6 times log10(limit) in the upstream's
    queue. The least latency is forgotten every 30 x limit samples.
    """

    def __init__(self) -> None:
        super().__init__()
        self.samples = 0

    def decide(self, now: float) -> None:
        self.samples += len(self.latencies)
        if not self.baseline or self.latency < self.baseline or self.samples > 30 * self.limit:
            self.baseline, self.samples = self.latency, 0
            return
        if self.most_in_flight * 2 < self.limit:
            return
        step = max(1.0, log10(self.limit))
        queue = ceil(self.limit * (1.0 - self.baseline / self.latency))
        if queue <= step:
            self.move(self.limit + 6.0 * step)
        elif queue < 3.0 * step:
            self.move(self.limit + step)
        elif queue > 6.0 * step:
            self.move(self.limit - step)


class Gradient2(Candidate):
    """Netflix concurrency-limits, Gradient2Limit: the baseline is a mean over 600 windows; a
    tolerance of 1.5, a headroom of 4, smoothed by a fifth.
    """

    def decide(self, now: float) -> None:
        self.baseline = self.baseline or self.latency
        self.baseline += (self.latency - self.baseline) * 2.0 / 601.0
        if self.baseline > 2.0 * self.latency:
            self.baseline *= 0.95
        if self.most_in_flight < self.limit / 2.0:
            return
        gradient = max(0.5, min(1.0, 1.5 * self.baseline / self.latency))
        self.move(0.8 * self.limit + 0.2 * (gradient * self.limit + 4.0))


class Envoy(Candidate):
    """Envoy's adaptive_concurrency with its documented numbers: medians; the least latency is
    measured every 60 s, on 50 requests with three in flight, and increased by a quarter.
    """

    def __init__(self) -> None:
        super().__init__()
        self.measure_at = 0.0
        self.resumed = self.limit
        self.measuring = False

    def sample(self, latency: float, in_flight: int, pressed: bool, now: float) -> None:
        if not self.measuring and now >= self.measure_at:
            self.measuring, self.resumed = True, self.limit
            self.latencies = []
            self.move(3.0)
        if not self.measuring:
            super().sample(latency, in_flight, pressed, now)
        elif in_flight <= 3:
            self.latencies.append(latency)
            if len(self.latencies) >= 50:
                self.baseline = median(self.latencies)
                self.measuring, self.latencies = False, []
                self.measure_at = now + 60.0
                self.move(self.resumed)

    def decide(self, now: float) -> None:
        gradient = max(0.5, min(2.0, 1.25 * self.baseline / median(self.latencies)))
        self.move(gradient * self.limit + sqrt(self.limit))


CANDIDATES: dict[str, type[Candidate]] = {
    "AIMD": Aimd,
    "Vegas": Vegas,
    "Gradient2": Gradient2,
    "Envoy": Envoy,
}
