"""Requests spaced evenly."""

from proxy.policy.gcra import Gcra
from proxy.policy.snapshot import PaceSpec

_ROUNDING = 1e-6


class PaceLimiter(Gcra[PaceSpec]):
    """Gives out slots 1/`rate` seconds apart, for each key: the leaky bucket as a queue.

    A GCRA without a tolerance (ITU-T I.371 calls it a shaper when it delays): `check` tells how
    long a request has to wait for the next slot, which starts so long after `now`. `charge` takes
    that slot, unless `retry_after` says that the wait is over `max_wait`. `refund` gives it back
    if it is still the last one.
    """

    __slots__ = ()

    def __init__(self, spec: PaceSpec) -> None:
        super().__init__(spec, burst=1, slack=0.0)

    def retry_after(self, wait: float) -> float:
        """What a `wait` told by `check` means: 0.0 when it is no longer than `max_wait`, else
        the seconds after which it will be.
        """
        if wait <= self.spec.max_wait:
            return 0.0
        # Without it, who comes back in time could meet a wait longer by the last bit of a float.
        return wait - self.spec.max_wait + _ROUNDING

    def reconfigure(self, spec: PaceSpec, now: float) -> None:
        """Goes on by `spec`, which has the same `per`; the slots given out stand. O(1), or
        O(keys) with another `warm_up`.
        """
        self._change(spec, 1, 0.0, now)
