"""What a client sends, parsed: one request at a time, the next only after the answer."""

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from time import monotonic
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractStreamWriter

from proxy.lanes.byte_queue import HIGH_WATER_BYTES, ByteQueue
from proxy.lanes.errors import DownstreamError
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import ListenerSpec
from proxy.wire.body import ChunkedDecoder, LengthDecoder
from proxy.wire.errors import BadMessage, HeadTooLarge, UnsupportedCoding
from proxy.wire.grammar import Field
from proxy.wire.request_head import RequestHead, RequestHeadReader

if TYPE_CHECKING:
    from proxy.lanes.full_downstream import DownstreamConnection

MOST_DISCARDED_BYTES = 16 << 20
"""Read and dropped of a refused upload, at most, so that its client gets to read the answer.

More than kernels hold of it on both sides (Linux' own tcp_wmem and tcp_rmem let it be 10 MiB): a
client that looks for an answer while it sends has found it by then.
"""

LONGEST_DISCARD = 2.0
"""Seconds that the discarding may take."""


class Phase(Enum):
    """Where a connection is. `ANSWERING`: the request is complete, its answer is not."""

    HEAD = auto()
    BODY = auto()
    ANSWERING = auto()
    TUNNEL = auto()
    DISCARD = auto()


class Incoming:
    """A request as it comes in: its head, or what is wrong with it; and its body.

    aiohttp passes it around as its request, hence the names with an underscore.
    """

    __slots__ = ("_task", "body", "connection", "error", "head", "received_at", "writer")

    def __init__(
        self,
        connection: "DownstreamConnection",
        head: RequestHead | None,
        error: DownstreamError | None,
        body: ByteQueue,
    ) -> None:
        self.connection = connection
        self.head = head
        self.error = error
        self.body = body
        self.received_at = monotonic()
        self.writer: AbstractStreamWriter
        self._task: object = None

    def _finish(self) -> None:
        """Of aiohttp's request: the answer is ready."""

    def _cancel(self, _exc: BaseException) -> None:
        """Of aiohttp's request: the client left, in whatever way."""
        self.body.set_exception(ConnectionResetError("the client left"))


class RequestFeed:
    """Parses what a client sends, one request at a time: the next only after the answer.

    Takes the place of aiohttp's request parser and keeps to its interface.
    """

    def __init__(
        self,
        connection: "DownstreamConnection",
        loop: asyncio.AbstractEventLoop,
        spec: Callable[[], ListenerSpec],
    ) -> None:
        self._connection = connection
        self._spec = spec
        self._loop = loop
        self._phase = Phase.HEAD
        self._reader: RequestHeadReader | None = None
        self._decoder: LengthDecoder | ChunkedDecoder | None = None
        self._queue = ByteQueue(None, loop)
        # What came before its time: the next requests, pipelined.
        self._ahead = bytearray()
        self._discarded = 0
        self._discard_done: asyncio.Future[None] | None = None

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and is not complete."""
        return self._phase is Phase.HEAD and self._reader is not None and self._reader.started

    @property
    def trailers(self) -> list[Field]:
        """The fields after a chunked body, once it is complete."""
        return [] if self._decoder is None else self._decoder.trailers

    @property
    def idle(self) -> bool:
        """Whether the connection is between two requests."""
        return self._phase is Phase.HEAD and not self.in_head

    @property
    def in_tunnel(self) -> bool:
        """Whether the connection is no longer HTTP's."""
        return self._phase is Phase.TUNNEL

    def feed_data(self, data: bytes) -> tuple[list[tuple[Incoming, ByteQueue]], bool, bytes]:
        """Of aiohttp's parser: the requests that `data` completes, at most one."""
        incoming: Incoming | None = None
        if self._phase is Phase.HEAD:
            if self._ahead:
                data = bytes(self._ahead) + data
                self._ahead.clear()
            incoming, data = self._feed_head(data)
        if data:
            if self._phase is Phase.BODY:
                self._feed_body(data)
            elif self._phase is Phase.TUNNEL:
                self._queue.feed(data)
            elif self._phase is Phase.ANSWERING:
                self._keep(data)
            else:
                self._discard(data)
        return ([] if incoming is None else [(incoming, incoming.body)]), False, b""

    def feed_eof(self) -> None:
        """Of aiohttp's parser: a client that closes has left, which `connection_lost` tells."""

    def message_consumed(self) -> None:
        """Of aiohttp's parser: we never hold more than one."""

    def next(self) -> None:
        """The answer is complete: on to the next request."""
        self._phase = Phase.HEAD
        if len(self._ahead) > HIGH_WATER_BYTES:
            self._connection.resume_transport()
        if self._ahead:
            self._connection.data_received(b"")

    def time_out(self) -> Incoming:
        """The head takes too long: what stands for its request."""
        self._reader = None
        self._phase = Phase.DISCARD
        error = DownstreamError(Reason.REQUEST_TIMEOUT, "the head did not end in time")
        return self._broken(error)

    def tunnel(self) -> ByteQueue:
        """From now on bytes are passed on as they come; those that came early are first."""
        self._phase = Phase.TUNNEL
        self._queue = ByteQueue(self._connection.transport, self._loop)
        self._queue.feed(bytes(self._ahead))
        self._ahead.clear()
        return self._queue

    async def discard(self) -> None:
        """Sends the end of our side, then reads and drops what comes until the client closes, for
        a bounded while.

        Closing with bytes unread, or before the last have come, would reset the connection, and
        the answer would be lost with it (RFC 9112 section 9.6).
        """
        self._phase = Phase.DISCARD
        if not self._connection.half_close():
            return
        self._connection.resume_transport()
        self._discard_done = self._loop.create_future()
        timer = self._loop.call_later(LONGEST_DISCARD, self._end_discard)
        try:
            await self._discard_done
        finally:
            timer.cancel()

    def _feed_head(self, data: bytes) -> tuple[Incoming | None, bytes]:
        if self._reader is None:
            self._reader = RequestHeadReader(self._spec().max_head_bytes)
        try:
            head = self._reader.feed(data)
        except BadMessage as error:
            self._phase = Phase.DISCARD
            return self._broken(translated(error)), b""
        if head is None:
            return None, b""
        rest = self._reader.rest
        self._reader = None
        queue = self._queue = ByteQueue(self._connection.transport, self._loop)
        if head.chunked:
            self._decoder = ChunkedDecoder(strict=True)
        elif head.length:
            self._decoder = LengthDecoder(head.length)
        else:
            self._decoder = None
            self._queue.feed_eof()
        self._phase = Phase.ANSWERING if self._decoder is None else Phase.BODY
        return Incoming(self._connection, head, None, queue), rest

    def _broken(self, error: DownstreamError) -> Incoming:
        queue = ByteQueue(None, self._loop)
        queue.feed_eof()
        return Incoming(self._connection, None, error, queue)

    def _feed_body(self, data: bytes) -> None:
        decoder = self._decoder
        assert decoder is not None  # noqa: S101 - set together with the phase
        try:
            content = decoder.feed(data)
        except BadMessage as error:
            self._phase = Phase.DISCARD
            self._queue.set_exception(translated(error))
            return
        self._queue.feed(content)
        if decoder.done:
            self._phase = Phase.ANSWERING
            self._queue.feed_eof()
            self._keep(decoder.rest)

    def _keep(self, data: bytes) -> None:
        self._ahead += data
        if len(self._ahead) > HIGH_WATER_BYTES:
            self._connection.pause_transport()

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > MOST_DISCARDED_BYTES:
            self._end_discard()

    def _end_discard(self) -> None:
        if self._discard_done is not None and not self._discard_done.done():
            self._discard_done.set_result(None)


def translated(error: BadMessage) -> DownstreamError:
    """What is wrong with a request, in the words of policy."""
    if isinstance(error, HeadTooLarge):
        return DownstreamError(Reason.HEAD_TOO_LARGE, error.reason)
    if isinstance(error, UnsupportedCoding):
        return DownstreamError(Reason.NOT_IMPLEMENTED, error.reason)
    return DownstreamError(Reason.BAD_REQUEST, error.reason)
