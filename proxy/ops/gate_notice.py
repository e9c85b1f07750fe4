"""Tells in the log that a circuit breaker has opened, and that it is closed again, or gone."""

import asyncio
import logging

from proxy.ops.gate_view import callee
from proxy.ops.stats import Stats

log = logging.getLogger("planb")

INTERVAL_SECONDS = 0.5
"""How late the log may tell that a breaker has opened."""


class GateNotice:
    """One line when a breaker opens, and one when it is closed, or gone: what it tries in between
    is told on the status page.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        # How often each had opened when it was last seen closed.
        self._opened: dict[str, int] = {}
        self._told: set[str] = set()

    async def run(self) -> None:
        """Tells for ever."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            self.tell()

    def tell(self) -> None:
        """Looks at all of them. What opened and closed since the last call is told all the same."""
        opened: dict[str, int] = {}
        for row in self._stats.breakers():
            name = callee(row)
            opened[name] = row.opened
            if row.opened > self._opened.get(name, 0) and name not in self._told:
                self._told.add(name)
                log.warning("the breaker of %s is open: %s", name, row.cause)
            if row.state == "closed" and name in self._told:
                self._told.discard(name)
                log.warning("the breaker of %s is closed again", name)
        self._opened = opened
        for name in sorted(self._told - opened.keys()):
            self._told.discard(name)
            log.warning("the breaker of %s is gone: the rules have none any more", name)
