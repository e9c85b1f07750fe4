"""The full lane: all of HTTP/1.1, on aiohttp, one coroutine for each exchange."""

import asyncio
import logging
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from proxy.lanes.byte_queue import ByteQueue
from proxy.lanes.exchange import Exchange
from proxy.lanes.full_downstream import Answered, DownstreamConnection
from proxy.lanes.request_feed import Incoming
from proxy.lanes.services import Services

logger = logging.getLogger(__name__)


class FullLane(web.Server):
    """An aiohttp server that relays. Call it for a protocol: one per connection.

    aiohttp hands our own `Incoming` and `Answered` about as its request and response.
    """

    def __init__(self, services: Services, listener: str, loop: asyncio.AbstractEventLoop) -> None:
        relay: Any = self._relay
        make: Any = self._make
        super().__init__(relay, request_factory=make, handler_cancellation=True, loop=loop)
        self._services = services
        self._listener = listener
        self._exchanges: set[Exchange] = set()
        self.open = 0

    def clients(self) -> list[DownstreamConnection]:
        """The connections that are open now."""
        return [each for each in self.connections if isinstance(each, DownstreamConnection)]

    def give_up(self) -> None:
        """Answers those that have no answer yet, and cuts all other connections."""
        answered = {each.incoming.connection for each in self._exchanges if each.give_up()}
        for connection in self.clients():
            if connection not in answered:
                connection.abort()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Of aiohttp's server: a connection stands."""
        super().connection_made(handler, transport)
        if self._services.engine.draining and isinstance(handler, DownstreamConnection):
            # It was accepted just before, and would keep the process for nothing; unless a request
            # comes with it (`hand_off`).
            self._loop.call_soon(handler.close_if_idle)

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Of aiohttp's server: a connection has ended."""
        super().connection_lost(handler, exc)
        self.open -= 1
        self._services.closed()

    def __call__(self) -> DownstreamConnection:
        """A protocol for one connection, which counts from now on."""
        self.open += 1
        self._services.opened()
        return DownstreamConnection(
            self, self._loop, lambda: self._services.listener(self._listener)
        )

    def _make(
        self,
        incoming: Incoming,
        _body: ByteQueue,
        _connection: DownstreamConnection,
        writer: AbstractStreamWriter,
        _task: object,
    ) -> Incoming:
        incoming.writer = writer
        return incoming

    async def _relay(self, incoming: Incoming) -> Answered:
        exchange = Exchange(self._services, self._listener, incoming, self._loop)
        self._exchanges.add(exchange)
        try:
            return Answered(keep_alive=await exchange.run())
        except Exception:
            # aiohttp would want to answer, to a request of its own.
            logger.exception("an exchange failed")
            incoming.connection.abort()
            return Answered(keep_alive=False)
        finally:
            self._exchanges.discard(exchange)
