"""How much is shed: a level that follows the pressure, fast up and slowly down."""

from math import inf
from typing import Final

RISE: Final = 0.5
"""Priorities a second that the level rises at most: a signal answers a second late (what it is a
mean of), and a level that runs away from it meanwhile sheds far more than it should."""

FALL: Final = 0.25
"""Priorities a second that it falls at most. Slower than it rises, as with DAGOR, which admits 5 %
less after a second of overload and 1 % more after one without (Zhou et al., "Overload Control for
Scaling WeChat Microservices", SoCC 2018, section 4.2), and userver, with 5 % and 2 %
(USERVER_RPS_CCONTROL). Both hold for services that hundreds of others wait for; one shop should be
open again in a third of a minute."""

RISE_IN_NEED: Final = 2.0
NEED: Final = 2.0
"""Seconds of nothing but `refuse` after which it rises faster: what has been shed was not enough.
Then nobody is served four seconds after a wave that leaves nothing else."""

SAMPLES_OF_NEED: Final = 16
"""Samples of those four seconds: ops takes four in one (`proxy.ops.signals.INTERVAL_SECONDS`). In
need a level rises no further than to the share of them that ask for as much as it is: to two
priorities, if it is half. So a signal that jumps in pulses shorter than that does not lock the
door; a longer one is a wave, and has to be met."""

DWELL: Final = 1.0
"""Seconds for which the pressure must have been lower before the level falls."""

SHRINK: Final = 0.5
SLOWEST: Final = 0.05
"""A level that turns goes on at half the speed, down to this share of the highest: so it closes in
on what the shop bears and stays there, where it would swing for ever at one speed. The rule of
RPROP for finding a minimum (Riedmiller and Braun, ICNN 1993)."""

PATIENCE: Final = 4.0
"""Seconds of going one way after which its speed doubles with each second: the load has changed.
That is longer than a swing takes at the delays that signals have."""

SAMPLES: Final = 8
"""The last ones, of two seconds. A level that goes at the slowest rises no further than to the
share of them that ask for half of it at least. A signal that jumps for ever lifts it at each peak,
and leaves no second of calm to fall in; so it would creep up to the peaks, and lock the door. One
that has closed in on what the shop bears hardly meets a sample that asks for so little. (With two
thirds, or over more samples, it meets enough of them at 20 times what the shop can serve to swing
between all and nothing.)"""


class ShedLevel:
    """What one upstream's clients meet: `level` priorities are shed, of those 4.0 is all.

    `wanted` is what the pressure asked for last, and `blame` names the signal that did. A signal
    that jumps for one sample changes nothing: the lower one of two counts. One that goes on jumping
    sheds no larger share than that of the samples in which it jumps, or twice what others ask for.
    """

    __slots__ = (
        "_at",
        "_falls_from",
        "_in_need_from",
        "_latest",
        "_speed",
        "_turned_at",
        "_up",
        "blame",
        "level",
        "wanted",
    )

    def __init__(self) -> None:
        self.open()

    def open(self) -> None:
        """Nobody is shed, and what was before is forgotten."""
        self.level = 0.0
        self.wanted = 0.0
        self.blame = ""
        self._latest = [0.0] * SAMPLES_OF_NEED
        self._at = inf
        self._falls_from = 0.0
        self._in_need_from = inf
        self._speed = 1.0
        self._turned_at = 0.0
        self._up = True

    def follow(self, wanted: float, blame: str, now: float) -> None:
        """Takes the pressure of a sample at `now`, monotonic seconds: later than the last one."""
        passed = max(0.0, now - self._at)
        self._at = now
        self.wanted = wanted
        target = min(wanted, self._latest[-1])
        del self._latest[0]
        self._latest.append(wanted)
        self._pace(target, now, passed)
        if wanted < 4.0:
            self._in_need_from = inf
        elif self._in_need_from == inf:
            self._in_need_from = now
        if target >= self.level:
            rise, most = RISE * self._speed, 4.0
            if now - self._in_need_from >= NEED:
                rise, most = RISE_IN_NEED, _share(self._latest, self.level)
            elif self._speed == SLOWEST:
                most = _share(self._latest[-SAMPLES:], self.level / 2.0)
            if target > 0.0:
                self.blame = blame
            self.level = min(target, max(self.level, most), self.level + rise * passed)
            self._falls_from = now + DWELL
        elif now >= self._falls_from:
            self.level = max(target, self.level - FALL * self._speed * passed)

    def jump(self, wanted: float, blame: str, now: float) -> None:
        """The same, at once: the rules have changed, and not the load."""
        self.open()
        self.level = self.wanted = wanted
        self._latest = [wanted] * SAMPLES_OF_NEED
        self.blame = blame
        self._at = now

    def _pace(self, target: float, now: float, passed: float) -> None:
        """How fast to go."""
        if target == self.level:
            # All calm: the next wave is a new one.
            if target == 0.0:
                self._speed = min(1.0, self._speed * 2.0**passed)
            return
        up = target > self.level
        if up != self._up:
            self._up = up
            self._turned_at = now
            self._speed = max(SLOWEST, self._speed * SHRINK)
        elif now - self._turned_at > PATIENCE:
            self._speed = min(1.0, self._speed * 2.0**passed)


def _share(samples: list[float], least: float) -> float:
    """Of the four priorities the share that `samples` are in which `least` or more is asked for."""
    return 4.0 * sum([1 for each in samples if each >= least]) / len(samples)
