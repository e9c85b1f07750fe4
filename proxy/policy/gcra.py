"""The generic cell rate algorithm (GCRA)."""

from typing import Generic, TypeVar

from proxy.policy.key_table import KeyTable
from proxy.policy.snapshot import PaceSpec, RateSpec
from proxy.policy.warm_up import WarmUpClock

S = TypeVar("S", RateSpec, PaceSpec)

Receipt = tuple[float, float]
"""What a charge changed: the key's TAT before and after."""


class Gcra(Generic[S]):
    """One token every 1/`rate` seconds for each key, and up to `burst` saved up.

    The virtual scheduling form of ITU-T Recommendation I.371, annex A: all that is kept of a key
    is its theoretical arrival time (TAT), when its bucket will be full again. A request conforms
    when it comes no more than a tolerance of (burst - 1) / rate before the TAT, and moves it on
    by 1/rate. So no window of any offset and length admits more than burst + rate x length; a
    clock that stands still, jumps or goes back does not change that.

    `slack`, in seconds, is how early a request may come all the same. While the limiter warms up,
    rate and burst are smaller (`WarmUpClock`); it is cold or warm for all keys together, since it
    is the upstream that has to warm up.

    Times are float seconds of one monotonic clock.
    """

    __slots__ = (
        "_burst",
        "_clock",
        "_interval",
        "_live",
        "_slack",
        "_tats",
        "_tolerance",
        "spec",
    )

    def __init__(self, spec: S, burst: int, slack: float) -> None:
        # What counts all requests alike has one key: for that a table of one entry is a dict.
        self._tats = KeyTable(1 if spec.per is None else spec.max_keys)
        self._live = self._tats.live
        self._clock = WarmUpClock(spec.warm_up) if spec.warm_up else None
        self.spec: S
        self._set(spec, burst, slack)

    @property
    def keys(self) -> int:
        """How many keys are kept, those included that have rested long enough to be dropped."""
        return len(self._tats)

    def check(self, key: bytes, now: float) -> float:
        """Seconds until `key` will conform, 0.0 when it does now. Takes nothing.

        Who waits so long will be admitted, unless others with the same key come first.
        """
        if self._clock is None:
            # Hot, so without a call: what `_excess` says where it matters, which is above zero.
            tat = self._live.get(key)
            wait = (self._tats.shared(key) if tat is None else tat) - now - self._tolerance
            return wait if wait > self._slack else 0.0
        wait = self._excess(key, now)
        return 0.0 if wait <= self._slack else self._clock.real_seconds(wait, now)

    def charge(self, key: bytes, now: float) -> Receipt:
        """Takes a token that `check` has found at the same `now`."""
        if self._clock is None:
            # Hot: an entry that is there is changed without a call.
            live = self._live.get(key)
            if live is not None:
                moved = (live if live > now else now) + self._interval  # noqa: FURB136 - a call
                self._live[key] = moved
                return live, moved
        time = self._time(now)
        before = self._tats.get(key)
        after = max(before, time) + self._interval
        self._tats.set(key, after, time)
        if self._clock is not None:
            self._clock.busy(after)
        return before, after

    def refund(self, key: bytes, receipt: Receipt, now: float) -> None:
        """Gives back what `charge` took, if nobody has charged `key` since; else nothing.

        Taking the last charge back leaves the bucket as it would be without it. An earlier charge
        can't be taken back any more: the bucket may have been full since, its token lost all the
        same, and a token given back on top of that would be one too many for some window.
        """
        before, after = receipt
        if self._tats.get(key) == after:
            self._tats.set(key, before, self._time(now))

    def _excess(self, key: bytes, now: float) -> float:
        """How far `key` is over its tolerance, in seconds (slow ones while it warms up);
        -tolerance when its bucket is full.
        """
        until_full = max(self._tats.get(key) - self._time(now), 0.0)
        if self._clock is None:
            return until_full - self._tolerance
        burst = max(1.0, self._burst * self._clock.speed(now))
        return until_full - (burst - 1.0) * self._interval

    def _time(self, now: float) -> float:
        """The time in which TATs are kept."""
        return now if self._clock is None else self._clock.read(now)

    def _set(self, spec: S, burst: int, slack: float) -> None:
        self.spec = spec
        self._interval = 1.0 / spec.rate
        self._burst = float(burst)
        self._tolerance = (self._burst - 1.0) * self._interval
        self._slack = slack

    def _change(self, spec: S, burst: int, slack: float, now: float) -> None:
        """Goes on by another spec with the same `per`: TATs are kept.

        With another `warm_up` the limiter is warm: the upstream has been at work.
        """
        if spec.warm_up != self.spec.warm_up:
            self._tats.shift(now - self._time(now))
            self._clock = WarmUpClock(spec.warm_up, warm_at=now) if spec.warm_up else None
        if spec.per is not None:
            self._tats.max_keys = spec.max_keys
        self._set(spec, burst, slack)
