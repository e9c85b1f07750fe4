"""What is counted: plain integers that the hot path raises and a scrape reads.

Nothing here takes a lock: the event loop's thread writes; whoever reads from another thread may
see one request half counted, and never a container that changes its size.
"""

from collections import deque
from collections.abc import Sequence
from math import log
from typing import Final

from proxy.policy.reasons import Reason

DURATION_BOUNDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds, in seconds, of what includes an upstream's or a queue's time."""

OWN_BOUNDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)
"""Upper bounds, in seconds, of what Plan B does by itself: finer, and shorter."""

_STEP: Final = log(1.1)
WAIT_BOUNDS: Final = tuple([0.001 * 1.1**step for step in range(116)])
"""Upper bounds, in seconds, where a threshold is compared with a percentile: a millisecond to a
minute, so close that it is known to a tenth. Of `DURATION_BOUNDS`' it would be 2.35 s where every
answer takes 1.05 s.
"""

LATEST_REPORTS: Final = 8
"""How many of an upstream's reports are kept. Of so many answers most are those of one
endpoint of four, asked by lot, in 3 % of cases; of one answer, in 25 %. Each takes some 15 us to
read, four times a second.
"""


class Histogram:
    """Durations in buckets: `counts[i]` of those at or below `bounds[i]` and above the bound
    before it, with one more bucket at the end for the rest; `sum` in seconds.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = DURATION_BOUNDS) -> None:
        if not bounds or list(bounds) != sorted(set(bounds)):
            raise ValueError("the bounds of a histogram rise, and there is at least one")
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        place = 0
        # Short durations are the usual ones, and `bisect_left` is a call.
        for bound in self.bounds:
            if seconds <= bound:
                break
            place += 1
        self.counts[place] += 1
        self.sum += seconds

    def add(self, other: "Histogram") -> None:
        """Count all that `other`, of the same bounds, has counted."""
        if other.bounds != self.bounds:
            raise ValueError("only histograms of the same bounds can be added")
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum


class RouteCounters:
    """What became of one route's requests: each is counted once, by `record`.

    `forwarded` are those that the upstream answered; `refused` those that never reached it;
    `failed` those that it was asked and Plan B had to answer in its place; `abandoned` those
    whose client left before an answer; `stored` those that a stored response answered without
    asking. `last_good` are those that got a stored response, not a page: of the refused
    and the failed, and of the stored those that waited for one that failed.

    `responses` counts the upstream's answers by class: `responses[2]` are the 2xx. `duration` is
    that of requests that went upstream, `own_share` the part of it that Plan B spent itself,
    without waiting for upstream, queue or peer, `refusal_duration` that part of refused ones, and
    `queue_wait` what requests that had to wait for their turn waited, whatever became of them.

    `in_flight` is a gauge that is kept by whoever forwards: +1 before, -1 after.
    """

    __slots__ = (
        "abandoned", "duration", "failed", "forwarded", "in_flight", "last_good", "own_share",
        "queue_wait", "refusal_duration", "refused", "responses", "stored",
    )  # fmt: skip

    def __init__(self) -> None:
        self.forwarded = 0
        self.refused = dict.fromkeys(Reason, 0)
        self.failed = dict.fromkeys(Reason, 0)
        self.abandoned = 0
        self.stored = 0
        self.last_good = 0
        self.responses = [0] * 6
        self.in_flight = 0
        self.duration = Histogram()
        self.refusal_duration = Histogram(OWN_BOUNDS)
        self.own_share = Histogram(OWN_BOUNDS)
        self.queue_wait = Histogram()

    def record(
        self,
        forwarded: bool,
        reason: Reason | None,
        status: int,
        duration: float,
        own: float,
        waited: float,
    ) -> None:
        """Count one request.

        `forwarded` says whether it went upstream, `reason` why Plan B answered by itself (None
        if it did not), `status` what went to the client (0 if nothing did). `duration`, `own`
        and `waited` (for its turn) are seconds; a refused request's `own` is all but its wait.
        """
        if waited > 0.0:
            self.queue_wait.observe(waited)
        if reason is None:
            if status == 0:
                self.abandoned += 1
                return
            self.forwarded += 1
            status_class = status // 100
            self.responses[status_class if status_class < 6 else 0] += 1
        elif forwarded:
            self.failed[reason] += 1
        else:
            self.refused[reason] += 1
            self.refusal_duration.observe(own)
            return
        self.duration.observe(duration)
        self.own_share.observe(own)

    def record_stored(self, status: int, waited: float) -> None:
        """Count one request that a fresh stored response answers; the arguments are `record`'s."""
        if waited > 0.0:
            self.queue_wait.observe(waited)
        if status == 0:
            self.abandoned += 1
        else:
            self.stored += 1

    @property
    def total(self) -> int:
        """All requests counted."""
        return (
            self.forwarded
            + sum(self.refused.values())
            + sum(self.failed.values())
            + self.abandoned
            + self.stored
        )

    def add(self, other: "RouteCounters") -> None:
        """Count all that `other` has counted: for a sum over routes."""
        self.forwarded += other.forwarded
        self.abandoned += other.abandoned
        self.stored += other.stored
        self.last_good += other.last_good
        self.in_flight += other.in_flight
        for reason in Reason:
            self.refused[reason] += other.refused[reason]
            self.failed[reason] += other.failed[reason]
        self.responses = [
            mine + its for mine, its in zip(self.responses, other.responses, strict=True)
        ]
        self.duration.add(other.duration)
        self.refusal_duration.add(other.refusal_duration)
        self.own_share.add(other.own_share)
        self.queue_wait.add(other.queue_wait)


class LimitCounters:
    """What one limit decided; `shadow_refused` is what it would have refused, were it enforced."""

    __slots__ = ("admitted", "refused", "shadow_refused")

    def __init__(self) -> None:
        self.admitted = 0
        self.refused = 0
        self.shadow_refused = 0

    def add(self, other: "LimitCounters") -> None:
        """Count all that `other` has counted."""
        self.admitted += other.admitted
        self.refused += other.refused
        self.shadow_refused += other.shadow_refused


class UpstreamCounters:
    """How one upstream answers: what signals of its load are made of.

    `waits` are the seconds from the request's last byte to the answer's head; `vain_waits` those
    until a request ended without one, so that it would have been more. `server_errors` are the
    answers of 500 and above and those that broke off, `failures` the requests without an answer.
    `reports` are the latest that it told of its load itself (`proxy.wire.load_report`), unread, and
    when each came: monotonic seconds. They are for the event loop's thread alone.
    """

    __slots__ = ("failures", "reports", "server_errors", "vain_waits", "waits")

    def __init__(self) -> None:
        self.waits = Histogram(WAIT_BOUNDS)
        self.vain_waits = Histogram(WAIT_BOUNDS)
        self.server_errors = 0
        self.failures = 0
        self.reports: deque[tuple[bytes, float]] = deque(maxlen=LATEST_REPORTS)

    def answered(self, status: int, wait: float, report: bytes | None, now: float) -> None:
        """Count an answer."""
        _observe(self.waits, wait)
        if status >= 500:
            self.server_errors += 1
        if report is not None:
            self.reports.append((report, now))

    def broke_off(self, status: int) -> None:
        """Count an answer, which was counted as one, as an error if it was none yet."""
        if status < 500:
            self.server_errors += 1

    def unanswered(self, wait: float) -> None:
        """Count a request that ended without an answer, `wait` seconds after it was all sent."""
        _observe(self.vain_waits, wait)


def _observe(waits: Histogram, wait: float) -> None:
    """There are too many bounds for `Histogram.observe`."""
    waits.counts[wait_place(wait)] += 1
    waits.sum += wait


def wait_place(wait: float) -> int:
    """Where in `WAIT_BOUNDS` the first stands that is no shorter, as `bisect_left` has it."""
    if wait <= WAIT_BOUNDS[0]:
        return 0
    if wait > WAIT_BOUNDS[-1]:
        return len(WAIT_BOUNDS)
    # By its rounding the logarithm may be one off at a bound.
    place = int(log(wait * 1000.0) / _STEP)
    while WAIT_BOUNDS[place] < wait:
        place += 1
    return place
