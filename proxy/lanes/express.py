"""The express lane: the usual request, without a task, a future or a stream."""

import asyncio
import logging
from collections.abc import Callable

from proxy.lanes.express_downstream import ExpressConnection
from proxy.lanes.full_downstream import DownstreamConnection
from proxy.lanes.services import Services

logger = logging.getLogger(__name__)


class ExpressLane:
    """Call it for a protocol: one per connection. `full` makes one of the full lane.

    It speaks whole requests of HTTP/1.1 with a Content-Length or no body, and no upgrade;
    whatever else a connection asks for, `full` goes on with it.
    """

    def __init__(
        self,
        services: Services,
        listener: str,
        full: Callable[[], DownstreamConnection],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.services = services
        self.listener = listener
        self.full = full
        self.loop = loop
        self._connections: set[ExpressConnection] = set()
        # Those of them that nobody is reading from.
        self.unread: set[ExpressConnection] = set()

    def __call__(self) -> ExpressConnection:
        """A protocol for one connection, which counts from now on."""
        connection = ExpressConnection(self)
        self._connections.add(connection)
        self.services.opened()
        return connection

    @property
    def open(self) -> int:
        """Connections that are open and have not been handed off."""
        return len(self._connections)

    def clients(self) -> list[ExpressConnection]:
        """The connections that are open now: of one that was just accepted the event loop tells a
        turn later.
        """
        return [each for each in self._connections if each.transport is not None]

    def forget(self, connection: ExpressConnection) -> None:
        """`connection` has ended, or was handed off."""
        self._connections.discard(connection)
        self.unread.discard(connection)
        self.services.closed()

    def give_up(self) -> None:
        """Answers those that have no answer yet, and cuts all other connections."""
        # Those first that wait for a place: it will not be theirs when the others end.
        for connection in sorted(self.clients(), key=ExpressConnection.is_forwarding):
            try:
                answered = connection.give_up()
            except Exception:
                logger.exception("a connection could not be given up")
                answered = False
            if not answered:
                connection.abort()
