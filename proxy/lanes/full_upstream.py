"""The upstream's side of the full lane: aiohttp's connections, read by our own parser.

An aiohttp `ClientSession` would rewrite targets, invent fields, decompress and follow. Its
connector has the parts that are hard to make and easy to share (connecting over several
addresses, TLS, a pool), and a connection takes any parser: `ResponseFeed`.
"""

import asyncio
import contextlib
import os
import select
import ssl
from collections import deque
from weakref import WeakSet

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from yarl import URL

from proxy.lanes.byte_queue import ByteQueue
from proxy.lanes.errors import TravelError, UpstreamError
from proxy.lanes.flow import drain
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import TlsSpec, UpstreamSpec
from proxy.wire.body import BodyDecoder, ChunkedDecoder, LengthDecoder, UntilCloseDecoder
from proxy.wire.errors import BadMessage, BadResponse
from proxy.wire.grammar import Field
from proxy.wire.response_head import Framing, ResponseHead, ResponseHeadReader, body_framing

MAX_HEAD_BYTES = 262144
"""Largest response head. Shops set many cookies; a head without end must end somewhere."""

LONGEST_FLUSH = 5.0
"""Seconds that an upstream has to take a tunnel's last bytes before its connection is cut."""

MOST_UNREAD_BYTES = 1 << 20
"""Read from a connection that is lost already: enough for the answer to a refused upload."""

MOST_INTERIM_RESPONSES = 32
"""1xx responses before a final one, so that they can't go on for ever."""


class ResponseFeed:
    """Parses what an upstream sends in answer to one request.

    Stands in for the WebSocket parser that aiohttp's connections take from outside.
    """

    def __init__(
        self, protocol: ResponseHandler, loop: asyncio.AbstractEventLoop, method: bytes
    ) -> None:
        self._protocol = protocol
        self._loop = loop
        self._method = method
        self._reader: ResponseHeadReader | None = ResponseHeadReader(MAX_HEAD_BYTES)
        self._decoder: BodyDecoder | None = None
        self._heads: deque[ResponseHead] = deque()
        self._interim = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: TravelError | None = None
        self._reusable = False
        self.body = ByteQueue(protocol.transport, loop)

    @property
    def reusable(self) -> bool:
        """Whether the response is complete and the connection good for another."""
        return self._reusable and self.body.is_eof()

    @property
    def trailers(self) -> list[Field]:
        """The fields after a chunked body, once it is complete."""
        return [] if self._decoder is None else self._decoder.trailers

    async def head(self) -> ResponseHead:
        """The next head: any number of interim ones (1xx), then the final one, or 101.

        Raises UpstreamError when none will come.
        """
        while not self._heads:
            if self._error is not None:
                raise self._error
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._heads.popleft()

    def fail(self, error: TravelError) -> None:
        """Ends it: whoever waits for a head or for the body gets `error`."""
        if self._error is None:
            self._error = error
        self.body.set_exception(error)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Of aiohttp's payload parsers: never done by itself, nothing left over."""
        if data and self._error is None:
            try:
                self._feed(data)
            except BadMessage as error:
                self.fail(UpstreamError(Reason.UPSTREAM_ERROR, error.reason))
        return False, b""

    def feed_eof(self) -> None:
        """Of aiohttp's payload parsers: the connection is lost. It will know how in a moment."""
        self.feed_data(_unread(self._protocol.transport))
        self._loop.call_soon(self._lost)

    def _feed(self, data: bytes) -> None:
        while data and self._reader is not None:
            head = self._reader.feed(data)
            if head is None:
                return
            data = self._reader.rest
            self._take_head(head)
        if data:
            self._feed_body(data)

    def _take_head(self, head: ResponseHead) -> None:
        if head.status < 200 and head.status != 101:
            self._interim += 1
            if self._interim > MOST_INTERIM_RESPONSES:
                raise BadResponse("too many interim responses")
            self._reader = ResponseHeadReader(MAX_HEAD_BYTES)
        else:
            self._reader = None
            self._reusable = head.keep_alive
            self._begin_body(head)
        self._heads.append(head)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin_body(self, head: ResponseHead) -> None:
        framing = body_framing(head, self._method)
        if head.status == 101 or framing is Framing.UNTIL_CLOSE:
            self._reusable = False
            self._decoder = UntilCloseDecoder()
        elif framing is Framing.CHUNKED:
            self._decoder = ChunkedDecoder(strict=False)
        elif framing is Framing.LENGTH and head.length:
            self._decoder = LengthDecoder(head.length)
        else:
            self.body.feed_eof()

    def _feed_body(self, data: bytes) -> None:
        if self._decoder is None or self.body.is_eof():
            # Bytes that nobody asked for: whatever they are, they are no answer to the next.
            self._reusable = False
            return
        self.body.feed(self._decoder.feed(data))
        if self._decoder.done:
            if self._decoder.rest:
                self._reusable = False
            self.body.feed_eof()

    def _lost(self) -> None:
        self._reusable = False
        reset = isinstance(self._protocol.exception(), aiohttp.ClientOSError)
        if isinstance(self._decoder, UntilCloseDecoder) and not reset:
            self.body.feed_eof()
        elif self._reader is not None:
            how = "reset" if reset else "closed"
            self.fail(
                UpstreamError(Reason.UPSTREAM_ERROR, f"{how} the connection before answering")
            )
        else:
            self.fail(UpstreamError(Reason.UPSTREAM_ERROR, "the response was cut short"))


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

    async def write(self, data: bytes) -> None:
        """Sends `data`. Raises UpstreamError when the upstream takes nothing for too long, and
        ConnectionError when it has gone.
        """
        if self.transport.is_closing():
            raise ConnectionResetError("the upstream has gone")
        self.transport.write(data)
        patience = self._upstream.spec.timeouts.body
        if self.protocol.writing_paused and not await drain(self.protocol, self._writer, patience):
            raise UpstreamError(Reason.UPSTREAM_TIMEOUT, "takes no more bytes")

    def release(self, *, reusable: bool, flush: bool = False) -> None:
        """Ends the exchange. A connection that is not `reusable` is cut: neither unsent bytes nor
        a TLS goodbye keep it open; only with `flush` they have a few seconds to go.
        """
        self._upstream.in_use -= 1
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
    """Connections to one upstream: `in_use` carry an exchange, `connects` were ever made."""

    def __init__(self, spec: UpstreamSpec, loop: asyncio.AbstractEventLoop) -> None:
        self.spec = spec
        self.in_use = 0
        self.connects = 0
        self._loop = loop
        self._users = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None
        self._known: WeakSet[ResponseHandler] = WeakSet()
        context = tls_context(spec.tls)
        # limit=0: how many go upstream at once is policy's business.
        self._connector: aiohttp.BaseConnector = (
            aiohttp.UnixConnector(spec.unix_path, limit=0, keepalive_timeout=spec.timeouts.idle)
            if spec.unix_path
            else aiohttp.TCPConnector(
                limit=0, keepalive_timeout=spec.timeouts.idle, ssl=context or False
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

    @property
    def idle(self) -> int:
        """Open connections that carry nothing."""
        return sum(1 for protocol in self._known if protocol.is_connected()) - self.in_use

    async def connect(self) -> UpstreamConnection:
        """A connection that was open a moment ago; to be released. Raises UpstreamError.

        A pooled one that the upstream has closed meanwhile is not taken: nothing of the request
        has been sent over it. Once something has, the request may have been processed, and is
        never sent again (RFC 9110 section 9.2.2 leaves that to the client).
        """
        # Counted before there is one, so that a reload does not close the pool meanwhile.
        self._users += 1
        try:
            connection = UpstreamConnection(self, await self._connect(), self._loop)
        except BaseException:
            self.done()
            raise
        self.in_use += 1
        return connection

    async def _connect(self) -> Connection:
        while True:
            try:
                connection = await self._connector.connect(self._whom, [], self._timeout)
            except TimeoutError as error:
                raise UpstreamError(Reason.UPSTREAM_TIMEOUT, "no connection in time") from error
            except (aiohttp.ClientError, OSError) as error:
                raise UpstreamError(Reason.UPSTREAM_ERROR, f"no connection: {error}") from error
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

    def done(self) -> None:
        """A connection that `connect` gave, or was to give, is not used any more."""
        self._users -= 1
        self._close_if_unused()

    def retire(self) -> None:
        """No longer in the rules: closes once nothing uses it."""
        self._retired = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            self._closing = self._loop.create_task(self.close())

    async def close(self) -> None:
        """Closes all connections."""
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


def _unread(transport: asyncio.Transport | None) -> bytes:
    """What a lost connection still has to read.

    A failed write ends a transport at once, whatever it could have read: the answer, say, of an
    upstream that refuses an upload and closes.
    """
    if transport is None or transport.get_extra_info("sslcontext") is not None:
        return b""
    descriptor = transport.get_extra_info("socket").fileno()
    data = bytearray()
    with contextlib.suppress(OSError):
        while len(data) < MOST_UNREAD_BYTES and (piece := os.read(descriptor, 65536)):
            data += piece
    return bytes(data)


def _is_readable(transport: asyncio.Transport | None) -> bool:
    """Whether the kernel has something to read that the event loop has not seen: bytes, the end."""
    if transport is None or transport.is_closing():
        return True
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(poll.poll(0))
