"""What an upstream sends in answer to one request, parsed."""

import asyncio
import contextlib
import os
from collections import deque

import aiohttp
from aiohttp.client_proto import ResponseHandler

from proxy.lanes.byte_queue import ByteQueue
from proxy.lanes.errors import TravelError, UpstreamError
from proxy.policy.reasons import Reason
from proxy.wire.body import BodyDecoder, ChunkedDecoder, LengthDecoder, UntilCloseDecoder
from proxy.wire.errors import BadMessage, BadResponse
from proxy.wire.grammar import Field
from proxy.wire.response_head import Framing, ResponseHead, ResponseHeadReader, body_framing

MAX_HEAD_BYTES = 262144
"""Largest response head. Shops set many cookies; a head without end must end somewhere."""

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
        self.feed_data(unread(self._protocol.transport))
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


def unread(transport: asyncio.Transport | None) -> bytes:
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
