"""A visitor who asks for one page after the other, and waits for each."""

import asyncio
import time
from types import TracebackType
from typing import Self

from proxy.surge.connection import Attempt, Connection, Outcome
from proxy.surge.target import Target


class Visitor:
    """One connection to `target`, kept as long as the server keeps it: `async with Visitor(...)`.

    One request at a time.
    """

    def __init__(self, target: Target, timeout: float) -> None:
        self._target = target
        self._timeout = timeout
        self._connection: Connection | None = None
        self._answer: asyncio.Future[Outcome] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._connection:
            self._connection.abort()
            await asyncio.sleep(0)

    async def ask(self, request: bytes) -> Outcome:
        """The outcome of one request; `connect` and `timeout` are kinds of failure too."""
        try:
            async with asyncio.timeout(self._timeout):
                connection = self._connection
                if connection is None or not connection.reusable:
                    connection = await self._connect()
                self._answer = asyncio.get_running_loop().create_future()
                connection.send(Attempt(request, time.perf_counter()))
                return await self._answer
        except TimeoutError:
            if self._connection:
                self._connection.abort()
                self._connection = None
            return "timeout"
        except OSError:
            return "connect"

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self._finished), self._target.address, self._target.port
        )
        self._connection = connection
        return connection

    def _finished(self, _: Connection, attempt: Attempt | None, outcome: Outcome) -> None:
        if attempt and self._answer and not self._answer.done():
            self._answer.set_result(outcome)
