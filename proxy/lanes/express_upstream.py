"""The upstream's side of the express lane: connections that rest between exchanges."""

import asyncio
import select
from time import monotonic
from typing import TYPE_CHECKING

from proxy.lanes.deadlines import Deadline, DeadlineWheel
from proxy.lanes.errors import UpstreamError
from proxy.lanes.full_upstream import Upstream, UpstreamConnection
from proxy.lanes.response_feed import MAX_HEAD_BYTES, MOST_INTERIM_RESPONSES, unread
from proxy.lanes.stall import StallWatch
from proxy.policy.reasons import Reason
from proxy.wire.body import ChunkedDecoder
from proxy.wire.errors import BadMessage, BadResponse
from proxy.wire.response_head import (
    Framing,
    ResponseHead,
    ResponseHeadReader,
    body_framing,
    whole_response_head,
)

if TYPE_CHECKING:
    from proxy.lanes.express_exchange import ExpressExchange


class UpstreamLink:
    """A connection to an upstream: carries one exchange at a time, and rests in between.

    An asyncio protocol in all but its base class, which mypyc lets no compiled class have.

    It is made of a connection of the full lane, whose transport it takes over: there is one way
    to look up, connect and speak TLS. While it carries an exchange it reads the response and hands
    it on: `respond` for the final head with the first of the body, `relay` for the rest, `fail`.
    `reusable`: the response is complete and the connection good for another.
    """

    __slots__ = (
        "_chunks", "_connection", "_counters", "_early", "_exchange", "_framing", "_head",
        "_interim", "_left", "_lost", "_poll", "_reader", "_reading_paused", "_resting", "_stall",
        "reusable", "silence", "timeouts", "transport", "writing_paused",
    )  # fmt: skip

    def __init__(
        self, upstream: Upstream, connection: UpstreamConnection, wheel: DeadlineWheel
    ) -> None:
        self.timeouts = upstream.spec.timeouts
        self.transport = connection.transport
        self.writing_paused = False
        self.reusable = False
        # Of the exchange, while there is one: no response, or silence within it.
        self.silence = Deadline(wheel, self._silent)
        self._resting = upstream.resting
        self._counters = upstream.counters
        self._connection: UpstreamConnection | None = connection
        self._exchange: ExpressExchange | None = None
        self._stall = StallWatch(wheel, self._stalled)
        self._reading_paused = False
        self._lost = False
        self._reader: ResponseHeadReader | None = None
        self._head: ResponseHead | None = None
        self._framing = Framing.NONE
        self._left = 0
        self._chunks: ChunkedDecoder | None = None
        self._interim = 0
        self._poll = select.poll()
        self._poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._early = connection.hand_over(self)

    # ---------------------------------------------------------------- exchange

    def carry(self, exchange: "ExpressExchange", data: bytes) -> None:
        """Sends `data`, with which the request of `exchange` begins, and reads its response."""
        self._exchange = exchange
        self._head = None
        self._chunks = None
        self._reader = None
        self._interim = 0
        self.reusable = False
        self.transport.write(data)
        if self._early:
            # Who speaks first: as if it were an answer, for what else could it be.
            early, self._early = self._early, b""
            asyncio.get_running_loop().call_soon(self.data_received, early)

    def send(self, data: bytes) -> bool:
        """Sends more of the request; False when the upstream has said its last.

        Of such a one all is read, but as long as it does not take what is unsent the connection
        would not end, and nobody be told that it has.
        """
        if self.transport.is_closing():
            self.transport.abort()
            return False
        self.transport.write(data)
        return True

    def pause_reading(self) -> None:
        """The client takes the response more slowly than it comes."""
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Goes on."""
        if self._reading_paused:
            self._reading_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def release(self, *, reusable: bool, asked_at: float = 0.0) -> None:
        """Ends the exchange: the connection rests, or is cut when it is not `reusable`.

        `asked_at` is when the request had been sent, 0.0 if it was not, or not all of it.
        """
        self._exchange = None
        if asked_at and self._head is None and not self.writing_paused:
            self._counters.unanswered(monotonic() - asked_at)
        if reusable and self.reusable and self._rest():
            return
        self.close()

    def is_alive(self) -> bool:
        """Whether a connection that rests can be used.

        What is there to read is the end, or bytes that nobody asked for, which must not become
        the answer to the next request; the event loop may not have seen it yet.
        """
        return not self.transport.is_closing() and not self._poll.poll(0)

    def close(self) -> None:
        """Cuts the connection; for one that neither rests nor carries."""
        self._exchange = None
        self.silence.close()
        self._stall.close()
        if self._connection is not None:
            self._connection.release(reusable=False)
            self._connection = None

    def _rest(self) -> bool:
        if self._lost or self.transport.is_closing() or self.writing_paused:
            return False
        self.resume_reading()
        if not self._resting.add(self):
            return False
        self.silence.set(monotonic() + self.timeouts.idle)
        return True

    def _leave_rest(self) -> None:
        self._resting.remove(self)
        self.close()

    # ---------------------------------------------------------------- protocol

    def data_received(self, data: bytes) -> None:
        """Of asyncio's protocol."""
        exchange = self._exchange
        if exchange is None:
            if not self._lost:
                self._leave_rest()
            return
        try:
            if self._head is None:
                self._take_head(exchange, data)
            else:
                self._take_body(exchange, data)
        except BadMessage as error:
            exchange.fail(UpstreamError(Reason.UPSTREAM_ERROR, error.reason))
        except Exception:
            exchange.fault()

    def eof_received(self) -> None:
        """Of asyncio's protocol: the transport closes, once what is unsent has gone."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Of asyncio's protocol."""
        self._lost = True
        exchange = self._exchange
        if exchange is None:
            self._leave_rest()
            return
        if data := unread(self.transport):
            self.data_received(data)
        if self._exchange is exchange:
            try:
                self._end(exchange, reset=isinstance(exc, OSError))
            except Exception:
                exchange.fault()

    def pause_writing(self) -> None:
        """Of asyncio's protocol: the upstream takes the request more slowly than it comes."""
        self.writing_paused = True
        self._stall.begin(self.transport, self.timeouts.body)

    def resume_writing(self) -> None:
        """Of asyncio's protocol."""
        self.writing_paused = False
        self._stall.end()
        if self._exchange is not None:
            try:
                self._exchange.upstream_has_room()
            except Exception:
                self._exchange.fault()

    def _stalled(self) -> None:
        self._fail("takes no more bytes")

    def _silent(self, _now: float) -> None:
        if self._exchange is None:
            self._leave_rest()
        elif self._head is None:
            self._fail("no response in time")
        else:
            self._fail("fell silent in a response")

    def _fail(self, why: str) -> None:
        """The upstream is too slow."""
        exchange = self._exchange
        if exchange is not None:
            try:
                exchange.fail(UpstreamError(Reason.UPSTREAM_TIMEOUT, why))
            except Exception:
                exchange.fault()

    # ---------------------------------------------------------------- response

    def _take_head(self, exchange: "ExpressExchange", data: bytes) -> None:
        while data:
            reader = self._reader
            whole = whole_response_head(data, MAX_HEAD_BYTES) if reader is None else None
            if whole is not None:
                head: ResponseHead | None = whole[0]
                data = data[whole[1] :]
            else:
                if reader is None:
                    reader = self._reader = ResponseHeadReader(MAX_HEAD_BYTES)
                head = reader.feed(data)
                self._reader = None if head is not None else reader
                data = reader.rest
            if head is None:
                return
            if head.status >= 200 or head.status == 101:
                self._begin_body(exchange, head, data)
                return
            self._interim += 1
            if self._interim > MOST_INTERIM_RESPONSES:
                raise BadResponse("too many interim responses")
            exchange.relay_interim(head)

    def _begin_body(self, exchange: "ExpressExchange", head: ResponseHead, data: bytes) -> None:
        self._head = head
        self.reusable = head.keep_alive
        framing = self._framing = body_framing(head, exchange.head.method)
        complete = False
        if framing is Framing.LENGTH:
            assert head.length is not None  # noqa: S101 - that is what the framing says
            self._left = head.length
            data, complete = self._within_length(data)
        elif framing is Framing.CHUNKED:
            self._chunks = ChunkedDecoder(strict=False)
            data, complete = self._within_chunks(self._chunks, data)
        elif framing is Framing.UNTIL_CLOSE or head.status == 101:
            self.reusable = False
        else:
            complete = True
            if data:
                # Bytes that nobody asked for: whatever they are, they are no answer to the next.
                self.reusable = False
                data = b""
        exchange.respond(head, framing, data, complete=complete)

    def _take_body(self, exchange: "ExpressExchange", data: bytes) -> None:
        if exchange.complete:
            self.reusable = False
            return
        complete = False
        if self._framing is Framing.LENGTH:
            data, complete = self._within_length(data)
        elif self._chunks is not None:
            data, complete = self._within_chunks(self._chunks, data)
        if data or complete:
            exchange.relay(data, complete=complete)

    def _within_length(self, data: bytes) -> tuple[bytes, bool]:
        left = self._left
        size = len(data)
        if size > left:
            self.reusable = False
            data = data[:left]
            size = left
        self._left = left - size
        return data, size == left

    def _within_chunks(self, chunks: ChunkedDecoder, data: bytes) -> tuple[bytes, bool]:
        data = chunks.feed(data)
        if chunks.done and chunks.rest:
            self.reusable = False
        return data, chunks.done

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        """The fields after a chunked body, once it is complete."""
        return [] if self._chunks is None else self._chunks.trailers

    def _end(self, exchange: "ExpressExchange", *, reset: bool) -> None:
        """The connection is lost, and with it what was missing of the response."""
        self.reusable = False
        if self._head is None:
            how = "reset" if reset else "closed"
            exchange.fail(
                UpstreamError(Reason.UPSTREAM_ERROR, f"{how} the connection before answering")
            )
        elif self._framing is Framing.UNTIL_CLOSE and not reset:
            exchange.relay(b"", complete=True)
        elif not exchange.complete:
            exchange.fail(UpstreamError(Reason.UPSTREAM_ERROR, "the response was cut short"))


async def connected(upstream: Upstream, wheel: DeadlineWheel) -> UpstreamLink:
    """A new connection to `upstream`, ready to carry, for who has entered. Raises UpstreamError,
    and it is left then; but who cancels this leaves it by itself (`Upstream.ended`).
    """
    try:
        connection = await upstream.connect_entered()
    except Exception:
        upstream.done()
        raise
    try:
        return UpstreamLink(upstream, connection, wheel)
    except Exception:
        connection.release(reusable=False)
        raise
