"""The client's side of the express lane: heads, refusals, and one exchange at a time."""

import asyncio
import logging
import socket
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from proxy.lanes.answering import judge, may_go_on, own_answer, settle
from proxy.lanes.byte_queue import HIGH_WATER_BYTES
from proxy.lanes.client import Client
from proxy.lanes.deadlines import Deadline
from proxy.lanes.express_exchange import ExpressExchange
from proxy.lanes.express_heads import Heads
from proxy.lanes.express_phase import ANSWERING, BODY, ENDING, HEAD, SKIPPING
from proxy.lanes.handoff import hand_off, is_unusual
from proxy.lanes.lingering import LingeringClose
from proxy.lanes.parting import has_left, reset
from proxy.lanes.request_feed import LONGEST_DISCARD
from proxy.lanes.stall import StallWatch
from proxy.policy.snapshot import ListenerSpec
from proxy.policy.verdict import REFUSE, Completion, Verdict
from proxy.wire.errors import BadMessage
from proxy.wire.request_head import RequestHead

if TYPE_CHECKING:
    from proxy.lanes.express import ExpressLane

MOST_AT_ONCE: Final = 32
"""Requests in one piece that are answered before others have their turn: under half a
millisecond's work."""

# A name that is not compiled, nor Final, is looked up each time.
_now: Final = monotonic

logger = logging.getLogger(__name__)


class ExpressConnection:
    """A client's connection to a listener, as long as it asks for nothing unusual.

    An asyncio protocol in all but its base class, which mypyc lets no compiled class have.

    A refusal is written within the `data_received` that completed the head. What is to be
    forwarded gets an `ExpressExchange`. What is unusual (`is_unusual`), malformed or too slow a
    head goes to the full lane with the whole connection: undecided, while no response is in
    flight, with all bytes that were not answered yet, and for good.
    """

    __slots__ = (
        "_ahead", "_exchange", "_heads", "_left", "_phase", "_reading_paused", "_stall", "client",
        "lane", "listener", "loop", "patience", "refusals", "services", "transport",
        "wake", "writing_paused",
    )  # fmt: skip

    def __init__(self, lane: "ExpressLane") -> None:
        self.lane = lane
        self.services = lane.services
        self.listener = lane.listener
        self.loop = lane.loop
        self.transport = cast("asyncio.Transport", None)
        self.writing_paused = False
        self.refusals = 0  # in a row, with nothing forwarded in between
        self.client = Client("")
        self._phase = HEAD
        self._heads = Heads()
        # What came before its time, pipelined. Who leaves the phase HEAD, or puts something here
        # while in it, sees to it that `_go_on_ahead` is called: `proceed` and `_take_heads` by the
        # event loop, `resume_writing` where the client takes no answers.
        self._ahead = bytearray()
        self._exchange: ExpressExchange | None = None
        self._reading_paused = False
        self._left = 0  # of a body that is skipped
        self.wake = self._woken  # made once, not for each request
        # For the client's next head, the rest of one, or of a body.
        self.patience = Deadline(self.services.deadlines, self._late)
        self._stall = StallWatch(self.services.deadlines, self._stalled)

    # ---------------------------------------------------------------- protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio's protocol."""
        # uvloop's are not of asyncio's class.
        self.transport = cast("asyncio.Transport", transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        name = transport.get_extra_info("peername")
        self.client = Client(name[0] if isinstance(name, tuple) else "")
        self.patience.set(monotonic() + self.rules().timeouts.idle)
        if self.services.engine.draining:  # it was accepted just before
            self.loop.call_soon(self.close_if_idle)

    def data_received(self, data: bytes) -> None:
        """Of asyncio's protocol."""
        try:
            if self._phase is HEAD:
                if self._ahead:
                    self._keep(data)
                else:
                    self._take_heads(data)
            elif self._phase is BODY:
                self._take_body(data)
            elif self._phase is ANSWERING:
                self._keep(data)
            else:
                self._skip(data)
        except Exception:
            self._fault()

    def eof_received(self) -> None:
        """Of asyncio's protocol: a client that closes has left. What is complete is still sent."""
        exchange = self._exchange
        try:
            self._abandon("the client left")
        finally:
            if exchange is not None and exchange.is_amid_answer:
                self.abort()
            else:
                self._end().close()

    def pause_writing(self) -> None:
        """Of asyncio's protocol: the client takes its answers more slowly than they come."""
        self.writing_paused = True
        self._stall.begin(self.transport, self.rules().timeouts.send)

    def resume_writing(self) -> None:
        """Of asyncio's protocol."""
        self.writing_paused = False
        self._stall.end()
        try:
            if self._exchange is not None:
                self._exchange.client_has_room()
            else:
                self._go_on_ahead()
        except Exception:
            self._fault()

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002 - asyncio's
        """Of asyncio's protocol."""
        self._leave()
        self._abandon("the client left")

    # ------------------------------------------------- of the lane and exchange

    def write(self, data: bytes) -> None:
        """Sends `data`, if the client is still there."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def proceed(self, *, keep_alive: bool, left: int) -> None:
        """The answer is complete, and its exchange settled: on to the next request, or the end.

        `left` is what is still to come of the request's body.
        """
        self._exchange = None
        if not keep_alive or self.services.engine.draining:
            self._end().begin()
            return
        if left:
            self._phase = SKIPPING
            self._left = left
            self.resume_reading()
            self.patience.set(monotonic() + LONGEST_DISCARD)
            return
        self._phase = HEAD
        self.patience.set(monotonic() + self.rules().timeouts.idle)
        if self._ahead and not self.writing_paused:
            # From the event loop: a long pipeline would go on at the bottom of a deep stack.
            self.loop.call_soon(self._go_on_ahead)
        elif not self._ahead:
            self.resume_reading()

    def pause_reading(self) -> None:
        """The client sends faster than it is answered."""
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.lane.unread.add(self)
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Reads on, unless too much was read already."""
        if self._reading_paused and len(self._ahead) <= HIGH_WATER_BYTES:
            self._reading_paused = False
            self.lane.unread.discard(self)
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def close_if_idle(self) -> None:
        """Closes, unless a request is under way."""
        if self._phase is HEAD and not self._heads.begun and not self._ahead:
            self._end().close()

    def is_forwarding(self) -> bool:
        """Whether its request is on its way upstream, or back."""
        return self._exchange is not None and self._exchange.is_forwarding

    def give_up(self) -> bool:
        """Answers a request that has no answer yet; False when there is none."""
        return self._exchange is not None and self._exchange.give_up()

    def notice_departure(self) -> None:
        """Cuts the connection if its client has left while nothing was read from it."""
        if has_left(self.transport):
            self.transport.abort()

    def abort(self) -> None:
        """Cuts the connection by a reset: an orderly close would end an answer without a length."""
        reset(self.transport)

    # ------------------------------------------------------------------- heads

    def _take_heads(self, data: bytes) -> None:
        """Answers the requests that `data` completes, as long as that can be done at once."""
        listener = self.rules()
        for _ in range(MOST_AT_ONCE):
            if self.writing_paused:
                # Who takes no answers is asked nothing.
                break
            heads = self._heads
            try:
                head = heads.read(data, listener.max_head_bytes)
            except BadMessage:
                # The full lane knows what to say to that.
                self._hand_off(bytes(heads.begun))
                return
            if head is None:
                if len(heads.begun) == len(data):
                    self.patience.set(monotonic() + listener.timeouts.head)
                return
            if is_unusual(head):
                self._hand_off(bytes(heads.begun) or data)
                return
            if heads.begun:
                heads.forget()
            data = heads.rest
            if not self._take_request(listener, head, data) or not data:
                return
        self._keep(data)
        self.loop.call_soon(self._go_on_ahead)

    def _go_on_ahead(self) -> None:
        """On to what was kept."""
        waits = self._phase is HEAD and self._ahead and not self.writing_paused
        if waits and not self.transport.is_closing():
            data = bytes(self._ahead)
            self._ahead.clear()
            self.resume_reading()
            self.data_received(data)

    def _take_request(self, listener: ListenerSpec, head: RequestHead, rest: bytes) -> bool:
        """Decides about a request, of which `rest` follows; False when that is taken care of."""
        now = _now()
        client = self.client
        client.read(listener, head)
        engine, address = self.services.engine, client.address
        verdict = judge(engine, listener, head, client.key, address, now, self.wake)
        if verdict.state is not REFUSE or verdict.lookup is not None:
            self._begin_exchange(head, verdict, now, rest)
            return False
        self.refusals += 1
        length = head.length or 0
        left = max(0, length - len(rest))
        keep_alive = self._refuse(listener, verdict, head, now, left)
        if keep_alive and not length:
            return True
        self._ahead += rest[length:]
        self.proceed(keep_alive=keep_alive, left=left)
        return False

    def _refuse(
        self, listener: ListenerSpec, verdict: Verdict, head: RequestHead, began: float, left: int
    ) -> bool:
        """Says so, in one write, and settles; True when the connection may be kept."""
        services, reason = self.services, verdict.reason
        assert reason is not None  # noqa: S101 - a refusal has one
        keep_alive = may_go_on(services, reason, head, complete=not left, refusals=self.refusals)
        data, status = b"", 0
        try:
            answer = verdict.guard.answers[reason]
            data = own_answer(services, verdict, answer, head, keep_alive=keep_alive)
            status = answer.status
            self.write(data)
        finally:
            now = _now()
            duration = now - began
            completion = Completion(status, duration, duration)
            address = self.client.address
            settle(services, verdict, completion, head, address, now, bytes_out=len(data))
        self.patience.set(now + listener.timeouts.idle)
        return keep_alive

    def _begin_exchange(self, head: RequestHead, verdict: Verdict, now: float, rest: bytes) -> None:
        exchange = self._exchange = ExpressExchange(self, head, verdict, now)
        self.patience.clear()
        self._phase = ANSWERING
        if exchange.body_left:
            self._phase = BODY
            if rest:
                self._take_body(rest)
        elif rest:
            self._keep(rest)
        exchange.start()

    def _woken(self) -> None:
        """What a verdict waits for may have come; from within another's settlement."""
        if self._exchange is not None:
            self.loop.call_soon(self._exchange.resume)

    def _hand_off(self, data: bytes, *, late: bool = False) -> None:
        """Leaves the connection, and `data`, to the full lane; `late`: a head over its time."""
        connection = self.lane.full()
        self._leave()
        self.resume_reading()
        hand_off(self.transport, connection, data, refusals=self.refusals, late=late)

    def rules(self) -> ListenerSpec:
        """The rules of now for the listener."""
        return self.services.listener(self.listener)

    # ------------------------------------------------------------------ bodies

    def _take_body(self, data: bytes) -> None:
        exchange = self._exchange
        assert exchange is not None  # noqa: S101 - that is what the phase says
        left = exchange.body_left
        if len(data) >= left:
            self._phase = ANSWERING
            if len(data) > left:
                self._keep(data[left:])
                data = data[:left]
        exchange.upload(data)

    def _keep(self, data: bytes) -> None:
        self._ahead += data
        if len(self._ahead) > HIGH_WATER_BYTES or self.writing_paused:
            self.pause_reading()

    def _skip(self, data: bytes) -> None:
        if len(data) < self._left:
            self._left -= len(data)
            return
        self._ahead += data[self._left :]
        self.proceed(keep_alive=True, left=0)

    # --------------------------------------------------------------------- end

    def _end(self) -> LingeringClose:
        """All is said: this lane only counts the connection, until it is closed."""
        self._phase = ENDING
        self.patience.close()
        self._stall.close()
        patience = self.rules().timeouts.send
        return LingeringClose(self.services.deadlines, self.transport, patience, self._leave)

    def _leave(self) -> None:
        """The connection is lost, or the full lane's: nothing of it is answered any more."""
        self._phase = ENDING
        self._ahead.clear()
        self.patience.close()
        self._stall.close()
        self.lane.forget(self)

    # --------------------------------------------------------------- deadlines

    def _late(self, now: float) -> None:
        """Of `patience`."""
        try:
            if self._phase is HEAD and (self.writing_paused or self._ahead):
                # It is to take its answers first, for which it has a patience of its own.
                self.patience.set(now + self.rules().timeouts.send)
            elif self._phase is HEAD and self._heads.begun:
                self._hand_off(bytes(self._heads.begun), late=True)
            elif self._phase is HEAD:
                self._end().close()
            elif self._phase is SKIPPING:
                self._end().begin()
            elif self._exchange is not None:
                self._exchange.body_late()
        except Exception:
            self._fault()

    def _stalled(self) -> None:
        try:
            self._abandon("the client takes nothing")
        finally:
            self.abort()

    def _fault(self) -> None:
        """Something of ours went wrong with what this client asked for."""
        if self._exchange is not None:
            self._exchange.fault()
        else:
            logger.exception("a request could not be handled")
            self.abort()

    def _abandon(self, why: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon(why)
