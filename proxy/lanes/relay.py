"""A request on its way upstream, and the response on its way back."""

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from proxy.lanes.advising import share_lines, with_lines
from proxy.lanes.answering import answered
from proxy.lanes.attempts import Attempts
from proxy.lanes.errors import DownstreamError, ServerFailedError, TravelError, UpstreamError
from proxy.lanes.full_upstream import UpstreamConnection
from proxy.lanes.outgoing import head_to_send, upstream_for
from proxy.lanes.response_feed import ResponseFeed
from proxy.lanes.stored_answers import is_failure
from proxy.lanes.tap import Tap, tap_on
from proxy.lanes.tunnel import tunnel
from proxy.policy.reasons import Reason
from proxy.policy.verdict import Verdict
from proxy.wire.body import encode_chunk, last_chunk
from proxy.wire.fields import (
    forward_response_head,
    passable_upgrade,
    sent_chunked,
    trailer_fields,
)
from proxy.wire.request_head import RequestHead
from proxy.wire.response_head import Framing, ResponseHead, body_framing

if TYPE_CHECKING:
    from proxy.lanes.exchange import Exchange

_SIZED = frozenset({Framing.NONE, Framing.LENGTH})

logger = logging.getLogger(__name__)


class Relay:
    """Forwards one request over one upstream connection.

    `failed` is why that failed where it is to be done once more; `held` then what has been read of
    the request's body.
    """

    def __init__(
        self,
        exchange: "Exchange",
        head: RequestHead,
        verdict: Verdict,
        attempts: Attempts | None = None,
    ) -> None:
        self._exchange = exchange
        self._incoming = exchange.incoming
        self._head = head
        self._verdict = verdict
        self._most = verdict.guard.max_body_bytes
        self._lookup = verdict.lookup
        self._loop = exchange.loop
        self._listener = exchange.services.listener(exchange.listener.name)
        self._upstream = upstream_for(exchange.services, self._listener, head, monotonic())
        self._timeouts = self._upstream.spec.timeouts
        self._sent = False
        self._sent_at = 0.0
        self._status = 0
        self._body_waited = 0.0
        self._due: asyncio.Timeout | None = None
        self._tap: Tap | None = None
        self._upload: asyncio.Task[None] | None = None
        self._attempts = attempts
        self._holds = attempts is not None and attempts.holds_body
        self._begun = False
        self.failed: UpstreamError | None = None
        self.held = b""

    async def run(self) -> bool:
        """True when the response has been relayed and the client's connection may go on.

        Raises TravelError when it could not be relayed: the exchange's `status` tells whether an
        answer has begun. Or the verdict waits, and `failed` is set.
        """
        try:
            return await self._relay()
        except UpstreamError as error:
            self._upstream.failed(error, monotonic(), self._status)
            if self._attempts is None or isinstance(error, ServerFailedError):
                raise
            silence = self._exchange.silence
            failure = self._attempts.broke(error, sent=self._begun, silence=silence)
            if not self._exchange.goes_again(failure):
                raise
            self.failed = error
            return False

    async def _relay(self) -> bool:
        connection = await self._connect()
        feed = connection.expect(self._head.method)
        keep_alive = reusable = upgraded = False
        try:
            head = await self._exchange_heads(connection, feed)
            if head.status == 101:
                upgraded = True
                await self._upgrade(head, connection, feed)
            elif self._is_refused(head):
                self.failed = ServerFailedError(head.status)
                reusable = feed.reusable and self._sent
            elif is_failure(self._lookup, head, monotonic()):
                raise ServerFailedError(head.status)
            else:
                keep_alive = await self._relay_response(head, feed)
                # Both are unfit for another request while a part of this one's body is missing.
                reusable = feed.reusable and self._sent
        finally:
            if self._sent and not self._exchange.upstream_wait:
                self._upstream.counters.unanswered(monotonic() - self._sent_at)
            if self._tap is not None:
                self._tap.end()
            if self._upload is not None:
                self._upload.cancel()
            connection.release(reusable=reusable, flush=upgraded)
            if self._upload is not None:
                # Its place in the body's queue may be needed.
                await asyncio.gather(self._upload, return_exceptions=True)
        return keep_alive

    async def _connect(self) -> UpstreamConnection:
        try:
            return await self._upstream.connect()
        except UpstreamError as error:
            other = self._upstream.another(error, monotonic())
            if other is None:
                raise
        self._upstream = other
        return await other.connect()

    def _is_refused(self, head: ResponseHead) -> bool:
        """Whether the upstream's answer is one for which it is asked once more."""
        failure = None if self._attempts is None else self._attempts.refused(head)
        return failure is not None and self._exchange.goes_again(failure)

    # ---------------------------------------------------------------- request

    async def _exchange_heads(
        self, connection: UpstreamConnection, feed: ResponseFeed
    ) -> ResponseHead:
        """Sends the request, or begins to, and returns the response's final head."""
        begun = monotonic()
        exchange, body = self._exchange, self._incoming.body
        data = head_to_send(
            self._listener,
            self._upstream,
            self._verdict,
            self._head,
            exchange.peer,
            exchange.trusted,
            self._attempts,
            begun,
        )
        complete = body.is_eof() and not self._head.chunked
        if complete:
            content = body.read_nowait()
            exchange.bytes_in = len(content)
            data += content
            if self._holds:
                self.held = content
        self._begun = True
        connection.transport.write(data)
        self._sent = complete
        now = self._sent_at = monotonic()
        exchange.own += now - begun
        # Time counts from the request's end, or until the upstream asks for its body.
        counts = complete or self._head.expect_continue
        try:
            async with asyncio.timeout(self._timeouts.response if counts else None) as due:
                if not complete:
                    self._due = due
                    self._upload = self._loop.create_task(self._send_body(connection, feed))
                while (head := await feed.head()).status < 200 and head.status != 101:
                    await self._relay_interim(head)
        except TimeoutError:
            raise UpstreamError(Reason.UPSTREAM_TIMEOUT, "no response in time") from None
        finally:
            self._due = None
            if self._sent:
                exchange.silence = monotonic() - self._sent_at
        now = monotonic()
        self._status = head.status
        exchange.upstream_wait = now - self._sent_at
        services, wait = exchange.services, exchange.upstream_wait
        answered(services, self._upstream, self._verdict, head, wait, now)
        return head

    async def _send_body(self, connection: UpstreamConnection, feed: ResponseFeed) -> None:
        """Relays the request's body. What goes wrong ends the wait for the response, and whoever
        waits for it after the body's end, or its failure, waits in `timeouts.response`.
        """
        try:
            if self._head.expect_continue:
                await self._incoming.body.wait()
                if self._due is not None:
                    self._due.reschedule(None)
            await self._copy_body(connection)
            self._sent = True
        except TravelError as error:
            feed.fail(error)
        except ConnectionError:
            # The upstream reads no more; it may have answered all the same, as the feed will tell.
            pass
        except Exception:
            logger.exception("a request's body could not be relayed")
            feed.fail(TravelError(Reason.INTERNAL, "the body could not be relayed"))
        self._sent_at = monotonic()
        if self._due is not None:
            self._due.reschedule(self._loop.time() + self._timeouts.response)

    async def _copy_body(self, connection: UpstreamConnection) -> None:
        exchange, chunked = self._exchange, self._head.chunked
        while data := await self._read_request_body():
            exchange.bytes_in += len(data)
            if self._holds:
                self.held += data
            if self._most is not None and exchange.bytes_in > self._most:
                raise DownstreamError(Reason.BODY_TOO_LARGE, f"a body over {self._most} bytes")
            await connection.write(encode_chunk(data) if chunked else data)
        if chunked:
            trailers = trailer_fields(self._incoming.connection.feed.trailers)
            await connection.write(last_chunk(trailers))

    async def _read_request_body(self) -> bytes:
        """The next part of the body, from a client that must keep up a least rate.

        As in Apache's mod_reqtimeout: a grace, and a second more for every so many bytes. Only
        the time in which we wait for the client counts. Whatever it has earned, it is never
        silent for longer than the grace.
        """
        body, exchange = self._incoming.body, self._exchange
        if data := body.read_nowait():
            return data
        listener = exchange.listener
        earned = exchange.bytes_in / listener.min_body_bytes_per_second
        grace = listener.timeouts.body
        begun = monotonic()
        try:
            async with asyncio.timeout(min(grace, grace + earned - self._body_waited)):
                return await body.read()
        except TimeoutError:
            raise DownstreamError(Reason.REQUEST_TIMEOUT, "the body comes too slowly") from None
        finally:
            self._body_waited += monotonic() - begun

    # --------------------------------------------------------------- response

    async def _relay_interim(self, head: ResponseHead) -> None:
        """A 1xx goes on, but not to a 1.0 client, which knows none (RFC 9110 section 15.2)."""
        if self._attempts is not None:
            self._attempts.begun = True
        version = self._head.version
        if version == (1, 1):
            await self._exchange.write(
                forward_response_head(head, to_version=version, chunked=False, close=False)
            )
        if head.status == 100:
            self._incoming.body.wake()

    async def _upgrade(
        self, head: ResponseHead, connection: UpstreamConnection, feed: ResponseFeed
    ) -> None:
        for offered_or_chosen in (self._head.upgrade, head.upgrade):
            if passable_upgrade(offered_or_chosen) is None:
                raise UpstreamError(Reason.UPSTREAM_ERROR, "switched protocols unasked")
        if not self._sent:
            raise UpstreamError(Reason.UPSTREAM_ERROR, "switched protocols within the request")
        self._exchange.status = head.status
        data = forward_response_head(head, to_version=(1, 1), chunked=False, close=False)
        await self._exchange.write(data)
        await tunnel(self._exchange, connection, feed.body, self._timeouts.tunnel)

    async def _relay_response(self, head: ResponseHead, feed: ResponseFeed) -> bool:
        """Relays head and body; True when the client's connection may go on after that."""
        begun = monotonic()
        exchange, client = self._exchange, self._head
        framing = body_framing(head, client.method)
        chunked = sent_chunked(framing, client.version)
        exchange.ends_with_close = not chunked and framing not in _SIZED
        content = feed.body.read_nowait()
        if (error := feed.body.exception()) is not None:
            # Nothing has been sent yet: an answer of our own is better than half of theirs.
            raise error
        keep_alive = (
            client.keep_alive
            # Who answers early may not want the rest, and we don't know how much is to come.
            and self._sent
            and not exchange.ends_with_close
            and not exchange.services.engine.draining
        )
        # What a GET would have been sent in chunks is announced so to a HEAD, too.
        announced = head.chunked and client.method == b"HEAD" and client.version == (1, 1)
        data = forward_response_head(
            head,
            to_version=client.version,
            chunked=chunked or announced,
            close=not keep_alive,
            date=exchange.services.date(),
        )
        data = with_lines(data, share_lines(self._verdict))
        complete = feed.body.is_eof()
        exchange.status = head.status
        exchange.bytes_out = len(content)
        if self._lookup is not None:
            services, wait = exchange.services, exchange.upstream_wait
            self._tap = tap_on(
                *(services, self._lookup, head, framing, content, monotonic()),
                delay=wait,
                complete=complete,
            )
        data += encode_chunk(content) if chunked else content
        if complete and chunked:
            data += last_chunk(trailer_fields(feed.trailers))
        await exchange.write(data, self._tap)
        exchange.own += monotonic() - begun
        if not complete:
            await self._relay_body(feed, chunked=chunked)
        return keep_alive

    async def _relay_body(self, feed: ResponseFeed, *, chunked: bool) -> None:
        exchange, patience = self._exchange, self._timeouts.body
        try:
            async with asyncio.timeout(None) as silence:
                while True:
                    silence.reschedule(self._loop.time() + patience)
                    content = await feed.body.read()
                    # A client that reads slowly is not the upstream's silence.
                    silence.reschedule(None)
                    if self._tap is not None:
                        complete = feed.body.is_eof()
                        self._tap = self._tap.take(content, monotonic(), complete=complete)
                    if not content:
                        break
                    exchange.bytes_out += len(content)
                    data = encode_chunk(content) if chunked else content
                    await exchange.write(data, self._tap)
        except TimeoutError:
            raise UpstreamError(Reason.UPSTREAM_TIMEOUT, "fell silent in a response") from None
        if chunked:
            await exchange.write(last_chunk(trailer_fields(feed.trailers)))
