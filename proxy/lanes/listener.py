"""A bound address: accepting connections, turning them away, letting them end."""

import asyncio
import logging
from time import monotonic
from typing import cast

from proxy.lanes.express import ExpressLane
from proxy.lanes.express_downstream import ExpressConnection
from proxy.lanes.full import FullLane
from proxy.lanes.full_downstream import DownstreamConnection
from proxy.lanes.services import Services
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import ListenerSpec
from proxy.policy.verdict import Completion
from proxy.wire.negotiation import choose_form

BACKLOG = 4096
"""Connections that the kernel keeps until we accept them; it takes net.core.somaxconn at most."""

MOST_TURNED_AWAY = 128
"""Connections over the limit that are kept a moment, so that their clients read the answer.

They take spare file descriptors, of which the rest must have some.
"""

TURN_AWAY_SECONDS = 1.0

LOOK_INTERVAL = 1.0
"""Seconds between two looks after clients that have left while their bytes were not read."""

WARN_INTERVAL = 10.0
"""Seconds between two warnings that a listener is full."""

FOR_BROWSERS = b"text/html, */*;q=0.1"
"""Nobody knows yet what the client accepts. People can't read JSON, programs go by the status."""

log = logging.getLogger(__name__)


class Listener:
    """Accepts connections for one listener of the rules."""

    def __init__(
        self, services: Services, spec: ListenerSpec, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.name = spec.name
        self.address = ""
        self.accepted = 0
        self._warn_again_at = 0.0
        self._services = services
        self._spec = spec
        self._loop = loop
        self._full = FullLane(services, spec.name, loop)
        self._express = ExpressLane(services, spec.name, self._full, loop)
        self._server: asyncio.Server | None = None
        self._turned_away: set[TurnAway] = set()

    async def bind(self) -> None:
        """Begins to accept. Raises OSError when the address can't be had."""
        self._server = await self._loop.create_server(
            self._accept, self._spec.host, self._spec.port, backlog=BACKLOG, reuse_address=True
        )
        host, port, *_ = self._server.sockets[0].getsockname()
        self._look_after_clients()
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def connections(self) -> int:
        """Open connections that were let in."""
        return self._full.open + self._express.open

    def close(self) -> None:
        """Accepts no more, and closes the connections that carry nothing."""
        if self._server is not None:
            self._server.close()
        for connection in self._clients():
            connection.close_if_idle()

    def give_up(self) -> None:
        """Answers the requests that have no answer yet, and cuts all other connections."""
        self._express.give_up()
        self._full.give_up()

    def abort(self) -> None:
        """Cuts all connections."""
        for connection in self._clients():
            connection.abort()

    def _clients(self) -> list[ExpressConnection | DownstreamConnection]:
        return [*self._express.clients(), *self._full.clients()]

    def _look_after_clients(self) -> None:
        self._loop.call_later(LOOK_INTERVAL, self._look_after_clients)
        unread: list[ExpressConnection | DownstreamConnection] = [*self._express.unread]
        for connection in [*unread, *self._full.clients()]:
            try:
                connection.notice_departure()
            except Exception:
                log.exception("a connection could not be looked after")

    def _accept(self) -> asyncio.Protocol:
        self.accepted += 1
        services = self._services
        most = services.most_connections
        if services.connections < most:
            if services.express:
                return cast("asyncio.Protocol", self._express())
            return self._full()
        if (now := monotonic()) >= self._warn_again_at:
            self._warn_again_at = now + WARN_INTERVAL
            log.warning("listener %s is full: all %d connections are in use", self.name, most)
        return TurnAway(services, self.name, self._turned_away)


class TurnAway(asyncio.Protocol):
    """A connection too many: gets its answer at once, whatever it was going to ask."""

    def __init__(self, services: Services, listener: str, others: "set[TurnAway]") -> None:
        self._services = services
        self._listener = listener
        self._others = others
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio's protocol."""
        # uvloop's are not of asyncio's class.
        transport = cast("asyncio.Transport", transport)
        engine, now = self._services.engine, monotonic()
        verdict = engine.reject(self._listener, Reason.CONNECTIONS, now)
        answer = verdict.guard.answers[Reason.CONNECTIONS]
        transport.write(
            self._services.prepared.render(
                answer,
                choose_form(answer, FOR_BROWSERS, None),
                date=self._services.date(),
                retry_after=verdict.retry_after,
                close=True,
                head_only=False,
            )
        )
        engine.settle(verdict, Completion(answer.status, 0.0, 0.0), now)
        if len(self._others) >= MOST_TURNED_AWAY:
            transport.close()
            return
        # Closing before the request has come would reset the connection, the answer with it.
        self._others.add(self)
        transport.write_eof()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TURN_AWAY_SECONDS, transport.abort)

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002 - asyncio's
        """Of asyncio's protocol."""
        self._others.discard(self)
        if self._timer is not None:
            self._timer.cancel()
