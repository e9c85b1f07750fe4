"""The upstream's side of the full lane: aiohttp's connections, read by our own parser.

An aiohttp `ClientSession` would rewrite targets, invent fields, decompress and follow. Its
connector has the parts that are hard to make and easy to share (connecting over several
addresses, TLS, a pool), and a connection takes any parser: `ResponseFeed`.
"""

import asyncio
import logging
import select
import ssl
from typing import TYPE_CHECKING, cast
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from yarl import URL

from proxy.lanes.errors import ServerFailedError, UpstreamError
from proxy.lanes.flow import drain
from proxy.lanes.forbidden_addresses import GuardedResolver
from proxy.lanes.response_feed import ResponseFeed
from proxy.lanes.resting_links import RestingLinks
from proxy.policy.counters import UpstreamCounters
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import TlsSpec, UpstreamSpec
from proxy.wire.authority import named
from proxy.wire.response_head import ResponseHead

LONGEST_FLUSH = 5.0
"""Seconds that an upstream has to take a tunnel's last bytes before its connection is cut."""

WELL_AFTER = 5.0
"""Seconds without a failure after which an upstream that answers is well: a line in the log for
each state is enough when it fails now and then."""

if TYPE_CHECKING:
    from proxy.lanes.express_upstream import UpstreamLink

log = logging.getLogger(__name__)


class _Early:
    """Takes what an aiohttp connection has read while nobody wanted it."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Of aiohttp's payload parsers."""
        self.data += data
        return False, b""


class UpstreamConnection:
    """A connection that carries one exchange, then returns to the pool or closes."""

    def __init__(
        self, upstream: "Upstream", connection: Connection, loop: asyncio.AbstractEventLoop
    ) -> None:
        protocol, transport = connection.protocol, connection.transport
        assert protocol is not None  # noqa: S101 - aiohttp clears them when it is released
        assert transport is not None  # noqa: S101
        self._upstream = upstream
        self._connection = connection
        self._loop = loop
        self.protocol = protocol
        self.transport = transport
        self._writer = StreamWriter(protocol, loop)

    def expect(self, method: bytes) -> ResponseFeed:
        """Reads from now on the response to a request of `method`."""
        feed = ResponseFeed(self.protocol, self._loop, method)
        self.protocol.set_parser(feed, None)
        return feed

    def hand_over(self, protocol: "UpstreamLink") -> bytes:
        """Has `protocol` told from now on what happens; what was read before is returned."""
        early = _Early()
        self.protocol.set_parser(early, None)
        self.transport.set_protocol(cast("asyncio.Protocol", protocol))
        return early.data

    async def write(self, data: bytes) -> None:
        """Sends `data`. Raises UpstreamError when the upstream takes nothing for too long, and
        ConnectionError when it has gone.
        """
        if self.transport.is_closing():
            # Of an upstream that has said its last all is read, but as long as it does not take
            # what is unsent the connection would not end, and nobody be told that it has.
            self.transport.abort()
            raise ConnectionResetError("the upstream has gone")
        self.transport.write(data)
        patience = self._upstream.spec.timeouts.body
        if self.protocol.writing_paused and not await drain(self.protocol, self._writer, patience):
            raise UpstreamError(Reason.UPSTREAM_TIMEOUT, "takes no more bytes")

    def release(self, *, reusable: bool, flush: bool = False) -> None:
        """Ends the exchange. A connection that is not `reusable` is cut: neither unsent bytes nor
        a TLS goodbye keep it open; only with `flush` they have a few seconds to go.
        """
        self._upstream.taken -= 1
        if reusable:
            self.protocol.set_parser(None, None)
            self._connection.release()
        else:
            self._connection.close()
            if flush:
                self._loop.call_later(LONGEST_FLUSH, self.transport.abort)
            else:
                self.transport.abort()
        self._upstream.done()


class Upstream:
    """Connections to one upstream: `connects` were ever made, `taken` have not been released since
    `connect` gave them. Those of them that the express lane has in stock are `resting`.

    `tls` is how to talk TLS, if the rules want it and somebody has found out already.
    """

    def __init__(
        self,
        spec: UpstreamSpec,
        loop: asyncio.AbstractEventLoop,
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.spec = spec
        # What the log calls it.
        self.title = spec.name
        # What a request without a Host is taken to ask for.
        self.authority = named(spec.host, spec.port, tls=spec.tls is not None)
        self.taken = 0
        self.connects = 0
        self.counters = UpstreamCounters()
        self.resting = RestingLinks()
        self.failures = dict.fromkeys((Reason.UPSTREAM_ERROR, Reason.UPSTREAM_TIMEOUT), 0)
        self._loop = loop
        self._users = 0
        self._most = None if spec.pool is None else spec.pool.concurrency
        self._retired = False
        self._closing: asyncio.Task[None] | None = None
        self._failed_at: float | None = None
        self._known: WeakSet[ResponseHandler] = WeakSet()
        context = tls or tls_context(spec.tls)
        # limit=0: how many go upstream at once is policy's business, `pool` included.
        self._connector: aiohttp.BaseConnector = (
            aiohttp.UnixConnector(spec.unix_path, limit=0, keepalive_timeout=spec.timeouts.idle)
            if spec.unix_path
            else aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=spec.timeouts.idle,
                ssl=context or False,
                resolver=GuardedResolver(aiohttp.ThreadedResolver(loop)),
            )
        )
        scheme = "https" if spec.tls else "http"
        # All that the connector asks a request for is whom to connect to.
        self._whom = ClientRequest(
            "GET",
            URL.build(scheme=scheme, host=spec.host, port=spec.port),
            loop=loop,
            ssl=context or False,
            server_hostname=spec.tls.server_name if spec.tls else None,
        )
        self._timeout = aiohttp.ClientTimeout(
            connect=spec.timeouts.connect, ceil_threshold=float("inf")
        )

    def endpoint(self, now: float) -> "Upstream":  # noqa: ARG002 - see `BalancedUpstream`
        """Where the next request goes."""
        return self

    def another(self, error: UpstreamError, now: float) -> "Upstream | None":  # noqa: ARG002
        """It could not be connected to: where else the request may go at once, since nothing of
        it has been sent. None, and nothing was counted, if there is nowhere.
        """
        return None

    @property
    def in_flight(self) -> int:
        """Exchanges that have a connection, or wait until one is made."""
        return self._users - len(self.resting)

    @property
    def in_use(self) -> int:
        """Connections that carry an exchange."""
        return self.taken - len(self.resting)

    @property
    def idle(self) -> int:
        """Open connections that carry nothing."""
        open_now = sum(1 for protocol in self._known if protocol.is_connected())
        return max(0, open_now - self.in_use)

    async def connect(self) -> UpstreamConnection:
        """A connection that was open a moment ago; to be released. Raises UpstreamError.

        A pooled one that the upstream has closed meanwhile is not taken: nothing of the request
        has been sent over it. Once something has, the request may have been processed, and is
        not sent again but by rules that say so (RFC 9110 section 9.2.2; `Engine.retry`).
        """
        self.enter()
        try:
            return await self.connect_entered()
        except BaseException:
            self.done()
            raise

    def enter(self) -> None:
        """An exchange is to have a connection: `connect_entered`, and `done` when that fails.

        It counts before there is one, so that a reload does not close the pool meanwhile, and so
        that whoever is next in the same turn of the event loop sees it.
        """
        self._users += 1
        self._make_room()

    async def connect_entered(self) -> UpstreamConnection:
        """As `connect`, for one that is counted already."""
        connection = UpstreamConnection(self, await self._connect(), self._loop)
        self.taken += 1
        return connection

    def ended(self, connecting: "asyncio.Task[None]") -> None:
        """What was to connect has ended; if it was cancelled, it may not even have begun."""
        if connecting.cancelled():
            self.done()

    def limit_connections(self, most: int | None) -> None:
        """So many connections may be open from now on, resting ones included; None: any number.

        That no more carry an exchange is policy's business: a limit of `most` requests in flight.
        Those over a lower limit that aiohttp's pool holds are used up first, or time out.
        """
        self._most = most
        self._make_room()

    def _make_room(self) -> None:
        """Closes connections that rest, the longest unused first, where they and those in use
        would be too many. What aiohttp's pool holds, it gives before it opens another.
        """
        if self._most is not None:
            while self._users > self._most and self.resting.close_oldest():
                pass

    async def _connect(self) -> Connection:
        while True:
            try:
                connection = await self._connector.connect(self._whom, [], self._timeout)
            except TimeoutError as error:
                raise UpstreamError(Reason.UPSTREAM_TIMEOUT, "no connection in time") from error
            except (aiohttp.ClientError, OSError) as error:
                why = getattr(error, "strerror", None) or str(error)
                raise UpstreamError(Reason.UPSTREAM_ERROR, f"no connection: {why}") from error
            protocol, transport = connection.protocol, connection.transport
            assert protocol is not None  # noqa: S101 - aiohttp clears it with the release
            fresh = protocol not in self._known
            if fresh:
                self._known.add(protocol)
                self.connects += 1
            alive = transport is not None and not transport.is_closing()
            # Bytes that nobody asked for must not become the answer to this request: neither
            # those that the connection has read already, nor those that it is about to.
            if alive and (fresh or not (protocol.should_close or _is_readable(transport))):
                return connection
            connection.close()
            if fresh:
                raise UpstreamError(Reason.UPSTREAM_ERROR, "closed the connection at once")

    def failed(self, error: UpstreamError, now: float, status: int = 0) -> None:
        """It did not answer, or not to the end: what it `answered` had this `status`, if it did.
        Told once, until it `answered` for a while.

        `now` is monotonic seconds, here and there.
        """
        self.failures[error.reason] += 1
        if status:
            self.counters.broke_off(status)
        elif not isinstance(error, ServerFailedError):  # which `answered` has counted
            self.counters.failures += 1
        if self._failed_at is None:
            log.warning("upstream %s fails: %s", self.title, error)
        self._failed_at = now

    def answered(self, head: ResponseHead, wait: float, now: float) -> None:
        """It answered, after `wait` seconds: well again if the last failure is some time ago."""
        self.counters.answered(head.status, wait, head.load_report, now)
        if self._failed_at is not None and now - self._failed_at >= WELL_AFTER:
            self._failed_at = None
            log.info("upstream %s answers again", self.title)

    def done(self) -> None:
        """A connection that `connect` gave, or was to give, is not used any more."""
        self._users -= 1
        self._close_if_unused()

    def retire(self) -> None:
        """No longer in the rules: closes once nothing uses it."""
        self._retired = True
        self.resting.close()
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            self._closing = self._loop.create_task(self.close())

    async def close(self) -> None:
        """Closes all connections."""
        self.resting.close()
        await self._connector.close()


def tls_context(spec: TlsSpec | None) -> ssl.SSLContext | None:
    """How to talk TLS. Raises OSError (ssl.SSLError is one) when `ca_file` can't be used."""
    if spec is None:
        return None
    context = ssl.create_default_context(cafile=spec.ca_file)
    if not spec.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _is_readable(transport: asyncio.Transport | None) -> bool:
    """Whether the kernel has something to read that the event loop has not seen: bytes, the end."""
    if transport is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))
