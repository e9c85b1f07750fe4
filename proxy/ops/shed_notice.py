"""Tells in the log that load is shed, and that it is no more."""

import logging
from math import ceil
from typing import Final

from proxy.ops.shed_view import blamed, shed_priorities
from proxy.policy.shedder import Shedder

log = logging.getLogger("planb")

QUIET_SAMPLES: Final = 40
"""Ten seconds without shedding before it is told to be over: or a shop at its limit would fill the
log with both."""


class ShedNotice:
    """One line when shedding begins, when it reaches further, and when it is over."""

    def __init__(self, shedder: Shedder) -> None:
        self._shedder = shedder
        self._reached = 0
        self._quiet = 0

    def tell(self) -> None:
        """After a sample, and after new rules."""
        levels = self._shedder.levels
        worst = max(levels, key=lambda name: levels[name].level, default="")
        level = levels[worst].level if worst else 0.0
        # No further than it can be put into words: to the per cent.
        reached = ceil(round(level, 2))
        if reached > self._reached:
            self._reached = reached
            why = blamed(self._shedder, worst)
            log.warning("shedding %s (upstream %s): %s", shed_priorities(level), worst, why)
        self._quiet = 0 if reached else self._quiet + 1
        over = self._quiet >= QUIET_SAMPLES or self._shedder.spec is None
        if self._reached and over:
            self._reached = 0
            log.warning("nothing is shed any more")
