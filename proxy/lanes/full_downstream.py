"""The client's side of the full lane: aiohttp's server protocol, fed by our own parser.

aiohttp parses for applications: it knows a fixed list of methods, rewrites targets and mends what
an intermediary must refuse. So its request handler keeps what it is good at (one task per
connection, answers in order, keep-alive, noticing that a client left) and gets `RequestFeed` in
its parser's place.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

from proxy.lanes.parting import has_left, reset
from proxy.lanes.request_feed import RequestFeed
from proxy.policy.snapshot import ListenerSpec

NO_LOG = logging.Logger("aiohttp's access log, unused", logging.CRITICAL)


class Answered:
    """What aiohttp takes for a response: everything has been written already."""

    __slots__ = ("keep_alive",)

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive

    async def prepare(self, _request: object) -> None:
        """Of aiohttp's response: nothing is left to do."""

    async def write_eof(self) -> None:
        """Of aiohttp's response: nothing is left to do."""


class DownstreamConnection(web.RequestHandler):
    """A client's connection to a listener."""

    __slots__ = ("_end_timer", "_head_timer", "_spec", "feed", "peer", "refusals")

    def __init__(
        self, server: web.Server, loop: asyncio.AbstractEventLoop, spec: Callable[[], ListenerSpec]
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=spec().timeouts.idle,
            lingering_time=0.0,
            access_log=NO_LOG,
        )
        self._spec = spec
        self.feed = RequestFeed(self, loop, spec)
        # The seam: aiohttp's own parser is replaced. Its type is no protocol that we could name.
        parser: Any = self.feed
        self._parser = parser
        self._head_timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self.peer = ""
        # In a row, with nothing forwarded in between.
        self.refusals = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio's protocol."""
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if isinstance(name, tuple) else ""

    def data_received(self, data: bytes) -> None:
        """Of asyncio's protocol; a head that begins must end in time."""
        super().data_received(data)
        if not self.feed.in_head:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(self._spec().timeouts.head, self.end_head)

    def eof_received(self) -> None:
        """Of asyncio's protocol: a client that closes has left.

        An answer that is cut short is worth no waiting for a client that may never take it.
        """
        if (
            self.transport is not None
            and self.transport.get_write_buffer_size()
            and not (self.feed.idle or self.feed.in_tunnel)
        ):
            self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Of asyncio's protocol."""
        for timer in (self._head_timer, self._end_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def force_close(self) -> None:
        """Of aiohttp's: close now."""
        self.expect_end()
        super().force_close()

    def expect_end(self) -> None:
        """The connection closes: cut it if the client does not take the last bytes in time."""
        transport = self.transport
        if transport is not None and self._end_timer is None and transport.get_write_buffer_size():
            patience = self._spec().timeouts.send
            self._end_timer = self._loop.call_later(patience, transport.abort)

    def close_if_idle(self) -> None:
        """Close, unless a request is under way."""
        if self.feed.idle:
            self.force_close()

    def abort(self) -> None:
        """Cut the connection by a reset: an orderly close would end an answer without a length."""
        if self.transport is not None:
            reset(self.transport)

    def notice_departure(self) -> None:
        """Cut the connection if its client has left while nothing was read from it."""
        if self.transport is not None and has_left(self.transport, tunnel=self.feed.in_tunnel):
            self.transport.abort()

    def half_close(self) -> bool:
        """Send the end of our side; the client's may go on. False when nobody is there."""
        if self.transport is None or self.transport.is_closing():
            return False
        self.transport.write_eof()
        return True

    def pause_transport(self) -> None:
        """Stop reading: the client sends faster than it is answered."""
        if self.transport is not None:
            self.transport.pause_reading()

    def resume_transport(self) -> None:
        """Read on."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _process_keepalive(self) -> None:
        """Of aiohttp's: nothing has come for too long, unless a head is coming."""
        if self.feed.in_head:
            self._keepalive_handle = None
        else:
            super()._process_keepalive()

    def end_head(self) -> None:
        """The head takes too long: answered as such."""
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        incoming = self.feed.time_out()
        # What data_received() does with the parser's messages.
        self._messages.append((incoming, incoming.body))  # type: ignore[arg-type]
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
