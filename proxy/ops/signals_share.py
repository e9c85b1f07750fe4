"""How much of one counter's growth another's is: what utilisation is made of."""

from collections import deque
from typing import Final

SAMPLES: Final = 4
"""Samples that a share is a mean over, a second's worth: DAGOR's window (Zhou et al., SoCC 2018,
section 4.1). A shorter one follows noise."""


class Share:
    """The growth of `part` over that of `whole` in the last `SAMPLES` samples."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=SAMPLES + 1)

    def take(self, part: float, whole: float) -> float | None:
        """The share, 0 or more; None at first, and while `whole` does not grow.

        Counters that go back, a container's after its restart or another quota's, begin anew.
        """
        seen = self._seen
        if seen and (part < seen[-1][0] or whole < seen[-1][1]):
            seen.clear()
        seen.append((part, whole))
        first_part, first_whole = seen[0]
        if whole <= first_whole:
            return None
        return (part - first_part) / (whole - first_whole)
