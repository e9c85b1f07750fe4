"""A request that has to wait for its turn: between an engine and a coroutine."""

import asyncio
from time import monotonic

from proxy.policy.engine import Engine
from proxy.policy.verdict import Verdict


class Waiter:
    """Who waits with one verdict; `wake` is what the engine is told to call."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop
        self._woken: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """The verdict has changed."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def wait(self, verdict: Verdict) -> None:
        """Until `verdict`, which waits, has changed, or its time has come."""
        self._woken = self._loop.create_future()
        timer = self._loop.call_later(max(0.0, verdict.wait_until - monotonic()), self.wake)
        try:
            await self._woken
        finally:
            timer.cancel()
        # uvloop's timers count in milliseconds and may be one early.
        if (now := monotonic()) >= verdict.wait_until:
            self._engine.resume(verdict, now)
