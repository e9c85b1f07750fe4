"""A limit on requests in flight that finds itself, by how latency answers to it.

Constants without another source are this module's own, found in the simulation: "worst" is what the
trial that fares worst has of what is within reach (tests/simulation), 92 % as they are.
"""

from collections.abc import Callable
from math import sqrt
from typing import Final

from proxy.policy.priority_queue import CALM

INITIAL: Final = 16
"""Requests in flight at first. Netflix's concurrency-limits begin with 20; less is grown from in a
few windows, and more would be too much for a small shop.
"""

TOLERANCE: Final = 1.1
"""So many times the baseline is no sign of a queue yet. Envoy's adaptive_concurrency calls it the
buffer (25 % unless told otherwise), Netflix's Gradient2 the tolerance (1.5): 1.1 kept a shop whose
work gets slower by its queue at more than 95 % of its capacity, 1.2 did not.
"""

STEEPEST: Final = 0.5
"""The least gradient: that of both as well."""

WINDOW: Final = 0.1
"""Seconds of samples at least that make a decision; as Envoy's sample aggregation."""

FEWEST: Final = 20
PRECISION: Final = 0.08
MOST: Final = 250
"""Samples that make a decision: until their mean has a standard error of so much of itself, and as
many at most. Even latencies need few, fast and slow routes together need many.
"""

PRESSED: Final = CALM
"""Seconds after a refusal in which the limit may fall (not by much: `STEEP`), and a baseline not
rise by itself: overload is overload while chance lets nobody be refused for a moment. As long as
for the queue, whose sign of it this is.
"""

REFUSING: Final = 0.2
"""Seconds after a refusal, or an answer's time if that is more (but no more than PRESSED), in which
a dip may begin: so few are refused for it who would not have been. With PRESSED instead, a queue
that chance had made a second after a burst led to a dip at 0.9 times the capacity, which refused
270.
"""

FALL: Final = 0.2
RISE: Final = 0.1
"""Of the way to a window's mean that the baseline goes: down to a lesser one (0.05 to 1.0 are
alike), and up to a greater one while nobody is refused. With a RISE of 0.5 a limit of 10 slots goes
to 80 at 1.1 times their capacity, instead of 26; with 0.02 a shop that is slower, and bears it, has
half as many refused again until that is believed.
"""

STEEP: Final = 0.8
"""Of the limit: a window that would leave less makes a dip at once, due or not; when the last
refusal is too long ago for a dip (REFUSING), it leaves the limit as it is. If that fell then,
nearly half would be refused when a shop gets three times as slow half a second after a burst, and
bears it. With 0.7 a shop that got slower is taken for an overloaded one for longer (worst 78 %),
with 0.9 chance makes dips (88 %).
"""

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 8.0
"""Seconds between two dips, doubled with each that found nothing new, and spread by a quarter to
either side. A dip lasts some two to four latencies: a percent of the time where answers take 20 ms.
"""

DEPTH: Final = 0.8
DEEPEST: Final = 0.5
"""What a dip leaves of what the upstream is believed to take without a queue; and of the limit."""

DRAINED: Final = 1.5
"""Latencies until a lowered limit shows in the answers: those in flight before have ended, and the
upstream's queue is shorter. With 1.0 some of those are counted (one slot: 92 instead of 99 %), with
2.0 dips last longer (worst 90 %).
"""

LONGEST_WAIT: Final = 1.0
"""Seconds that are waited for that at most: an upstream that was stuck for a minute, and answers
all at once, must not leave the limit deaf for another.
"""

INSENSITIVE: Final = 0.93
"""Of the mean latency: a dip that leaves more says that there was no queue. Less than one, because
a mean's noise is PRECISION: 0.88 is as good, with 0.97 noise passes for a queue (worst 85 %).
"""

SATURATED: Final = 0.92
"""Of the rate (places against what the upstream takes without a queue): a dip that leaves more was
not deep enough, there is a queue still. With 0.85 more dips go deeper than they need (worst 90 %),
with 0.98 fewer than do (92 %, and half a percent less on average).
"""

NEWS: Final = 0.2
"""Of the baseline: when a dip shows one that is so far off, the next comes soon. With 0.1 noise is
news (worst 91 %).
"""

HALF_WAY: Final = 0.5
"""Of the way to a dip's mean that the baseline goes (all of it, to one that is less by `NEWS`).
With 0.25 a shop that got slower is believed too late (worst 83 %), with 1.0 noise is believed
(87 %).
"""

SILENCE: Final = 1.0
"""Seconds, and four latencies, without a sample after which what was begun is worth nothing."""


class GradientLimit:
    """`places` may be in flight: from `least` to `most`, found by itself.

    Told of every answer (`sample`), it decides once a window. As Envoy's adaptive_concurrency and
    Netflix's Gradient2, it multiplies the `limit` by the gradient `TOLERANCE` x `baseline` /
    mean latency, at most 1, and adds the root of the limit as headroom: so the upstream has a
    small queue under overload, and never runs dry. Means and not quantiles, because it is the
    mean that belongs to rate and number (Little's law), with fast and slow routes as well.

    The `baseline` is the latency without a queue. Where that comes from is what tells the
    gradients apart. Gradient2's is a long-term mean, which takes in the queue itself under
    lasting overload. Envoy's is measured with three requests in flight, at the cost of refusals.
    Here the limit dips, as BBR's does (ProbeRTT), but by a part of itself, for a few latencies, and
    only while requests are refused in any case (`REFUSING`). What the latency does then, says what
    it consists of:

    - It falls, and the rate with it: what is left is the upstream's own. The baseline may fall.
    - It falls, and the rate stays: a queue is left. The dip goes on, half as deep.
    - It stays: there was no queue. The upstream has become slower, and the baseline rises.

    A mean that would lower the limit by more than a fifth does not: it is a reason to dip at once,
    if requests are being refused. So a shop that has got slower is told from one that is overloaded
    within half a second, and in no other way does overload ever raise the baseline. With several
    sidecars before one upstream a dip shows a part of the queue only: dips at different times, and
    a baseline that a fall of the latency does not raise, keep them from driving each other up.

    The limit grows only when it was reached, and falls only within a second of a refusal
    (`PRESSED`): a shop that serves all that comes needs no limit, however long it takes.

    Times are seconds. `jitter` returns a number in [0, 1). Cost: some additions for a sample.
    """

    __slots__ = (
        "_before",
        "_begins_at",
        "_count",
        "_dip_at",
        "_dipping",
        "_from",
        "_jitter",
        "_last_at",
        "_least",
        "_most",
        "_pause",
        "_reached",
        "_squares",
        "_sum",
        "baseline",
        "latency",
        "limit",
        "places",
    )

    def __init__(self, least: int, most: int, jitter: Callable[[], float]) -> None:
        self._least = least
        self._most = most
        self._jitter = jitter
        self.limit = float(min(max(INITIAL, least), most))
        self.places = int(self.limit)
        # Of the last window; 0.0 as long as nothing is known.
        self.baseline = 0.0
        self.latency = 0.0
        # The window: of what ended since a moment, how many, and how many with all places taken.
        self._begins_at = 0.0
        self._last_at = 0.0
        self._count = 0
        self._reached = 0
        self._sum = 0.0
        self._squares = 0.0
        # The dip, if there is one: what it began from. And when the next is due.
        self._dipping = False
        self._from = 0.0
        self._before = 0.0
        self._pause = FIRST_PAUSE
        self._dip_at = 0.0

    def sample(self, latency: float, in_flight: int, calm: float, now: float) -> None:
        """An answer came after `latency`. `in_flight` were, when its request was sent, with it; the
        last refusal was `calm` ago.
        """
        silence = now - self._last_at
        self._last_at = now
        if silence > SILENCE + 4.0 * min(LONGEST_WAIT, self.latency):
            self._begin_anew(now)
        if now < self._begins_at:
            return
        self._count += 1
        self._sum += latency
        self._squares += latency * latency
        if in_flight >= self.places:
            self._reached += 1
        count = self._count
        if count < FEWEST:
            if not self.latency:
                self.latency = latency
            return
        if now - self._begins_at < WINDOW and not self._dipping:
            return
        mean = self._sum / count
        if count < MOST:
            allowed = PRECISION * self._sum
            if self._squares - self._sum * mean > allowed * allowed:
                return
        if mean <= 0.0:
            self._watch(now)
        elif self._dipping:
            self._after_dip(mean, now)
        else:
            self._decide(mean, calm, now)

    def reconfigure(self, least: int, most: int) -> None:
        """Goes on between other bounds, from where it is."""
        self._least = least
        self._most = most
        self._dipping = False
        self._move(self.limit)

    def _decide(self, mean: float, calm: float, now: float) -> None:
        """At the end of a window with this mean latency."""
        pressed = calm < PRESSED
        self.latency = mean
        baseline = self.baseline
        if not baseline:
            baseline = mean
        elif mean < baseline:
            # Less than what was thought to be the least.
            baseline += FALL * (mean - baseline)
        elif not pressed:
            # All that come are served: if it takes longer, then not because of our limit.
            baseline += RISE * (mean - baseline)
        self.baseline = baseline
        limit = self.limit
        gradient = max(STEEPEST, min(1.0, TOLERANCE * baseline / mean))
        new = gradient * limit + sqrt(limit)
        steep = new < STEEP * limit
        queued = calm < max(REFUSING, min(PRESSED, mean)) and mean > TOLERANCE * baseline
        if queued and (steep or now >= self._dip_at):
            self._dip(limit, mean, max(DEEPEST, DEPTH * baseline / mean), now)
        elif (pressed and new < limit and not steep) or (self._reached and new > limit):
            self._move(new)
            # What is in flight already will take as long as before.
            self._watch(now + min(LONGEST_WAIT, mean))
        else:
            self._watch(now)

    def _dip(self, limit: float, mean: float, depth: float, now: float) -> None:
        self._dipping = True
        self._from = limit
        self._before = mean
        self.places = max(self._least, int(limit * depth))
        self._watch(now + min(LONGEST_WAIT, DRAINED * mean))

    def _after_dip(self, mean: float, now: float) -> None:
        """At the end of a dip with this mean latency."""
        baseline = self.baseline
        off = abs(mean - baseline) > NEWS * baseline
        if mean > INSENSITIVE * self._before:
            # Not all the way, for it may be noise: the next dip comes soon.
            self.baseline += HALF_WAY * (mean - baseline)
        else:
            if mean < baseline:
                self.baseline += (1.0 if off else HALF_WAY) * (mean - baseline)
            # What the upstream takes without a queue: rate times latency.
            knee = self._from / self._before * mean
            if self.places > max(1, self._least) and self.places > SATURATED * knee:
                self.limit = float(self.places)
                self._dip(self.limit, mean, DEEPEST, now)
                return
            if off:
                self.limit = min(self.limit, knee)
        self._pause = FIRST_PAUSE if off else min(LONGEST_PAUSE, 2.0 * self._pause)
        self._dip_at = now + self._pause * (0.75 + 0.5 * self._jitter())
        self._dipping = False
        self._move(self.limit)
        self._watch(now + min(LONGEST_WAIT, mean))

    def _begin_anew(self, now: float) -> None:
        """Nothing is known of the moment: nobody came, or the clock stood still."""
        self._dipping = False
        self._dip_at = now + FIRST_PAUSE
        self._move(self.limit)
        self._watch(now)

    def _move(self, limit: float) -> None:
        self.limit = max(float(self._least), min(float(self._most), limit))
        self.places = int(self.limit)

    def _watch(self, begins_at: float) -> None:
        """A window of what ends from `begins_at` on."""
        self._begins_at = begins_at
        self._count = 0
        self._reached = 0
        self._sum = 0.0
        self._squares = 0.0
