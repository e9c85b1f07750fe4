"""One request on the full lane, from its verdict to its settlement."""

import asyncio
import logging
from functools import partial
from time import monotonic

from proxy.lanes.answering import judge, may_go_on, settle
from proxy.lanes.attempts import Attempts, attempts_of
from proxy.lanes.errors import DownstreamStalledError, TravelError
from proxy.lanes.flow import drain
from proxy.lanes.relay import Relay
from proxy.lanes.request_feed import LONGEST_DISCARD, Incoming
from proxy.lanes.services import Services
from proxy.lanes.stored_answers import in_place
from proxy.lanes.tap import Tap
from proxy.lanes.waiting import Waiter
from proxy.policy.deadline import NO_DEADLINE
from proxy.policy.reasons import Reason
from proxy.policy.retrying import Failure
from proxy.policy.snapshot import ListenerSpec
from proxy.policy.verdict import Completion, State, Verdict
from proxy.wire.client import client_address, client_key, is_trusted
from proxy.wire.fields import max_forwards
from proxy.wire.request_head import RequestHead

FIRST_CHUNK_PATIENCE = 0.1
"""Seconds that a chunked request's head waits for the first chunk, so that a malformed one is
refused before the upstream has seen a byte. Who wants an answer before sending any gets it."""

logger = logging.getLogger(__name__)


class Exchange:
    """Carries out the verdict on one request. Everything that it took is settled when it ends."""

    def __init__(
        self,
        services: Services,
        listener: str,
        incoming: Incoming,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.services = services
        self.incoming = incoming
        self.loop = loop
        self.listener: ListenerSpec = services.listener(listener)
        self._waiter = Waiter(services.engine, loop)
        self._task: asyncio.Task[object] | None = None
        self._verdict: Verdict | None = None
        # Why its task is cancelled, if not because the client left.
        self._given_up: tuple[Reason, str] | None = None
        self._attempts: Attempts | None = None
        # What is known of how it went, for the settlement and the log.
        self.peer = incoming.connection.peer
        self.trusted = is_trusted(self.peer, self.listener.trusted_proxies)
        self.client = self.peer
        self.status = 0
        self.reason: Reason | None = None
        self.detail = ""
        self.bytes_in = 0
        self.bytes_out = 0
        self.upstream_wait = 0.0
        self.silence = 0.0
        self.ends_with_close = False
        self.own = 0.0

    async def run(self) -> bool:
        """Answers the request; True when the connection may go on to the next."""
        head = self.incoming.head
        verdict = self._verdict = self._decide(head)
        self._task = asyncio.current_task()
        keep_alive = False
        try:
            while verdict.state is State.WAIT:
                await self._waiter.wait(verdict)
            if verdict.state is State.FORWARD and head is not None:
                self.own = monotonic() - self.incoming.received_at - verdict.waited
                if max_forwards(head) == 0:
                    keep_alive = await self._answer_options()
                else:
                    keep_alive = await self._forward(verdict, head)
            else:
                keep_alive = await self._answer(verdict, verdict.reason)
        except DownstreamStalledError as stalled:
            self.detail = str(stalled)
            self.incoming.connection.abort()
        except (ConnectionError, asyncio.CancelledError) as error:
            if self._given_up is not None:
                reason, self.detail = self._given_up
                if self._task is not None:
                    # It is the connection's as well, which goes on.
                    self._task.uncancel()
                keep_alive = await self._answer_after_all(verdict, reason)
            else:
                self.detail = self.detail or "the client left"
                if isinstance(error, asyncio.CancelledError):
                    raise
        except Exception:
            logger.exception("a request could not be handled")
            keep_alive = await self._answer_after_all(verdict, Reason.INTERNAL)
        finally:
            self._settle(verdict)
        return await self._end(keep_alive=keep_alive)

    def give_up(self) -> bool:
        """The time to drain is over: who has no answer yet gets one now. False when it has begun,
        or has ended.
        """
        verdict = self._verdict
        if self.status or verdict is None or self._task is None:
            return False
        if verdict.state is State.WAIT:
            self.services.engine.dismiss(verdict, monotonic())
            self._waiter.wake()
        elif verdict.state is State.FORWARD:
            self._given_up = Reason.UPSTREAM_TIMEOUT, "no answer before the end of draining"
            self._task.cancel()
        return True

    def _out_of_time(self) -> None:
        """The caller waits no longer. What waits for its turn is told by the verdict."""
        verdict, task = self._verdict, self._task
        if not self.status and verdict is not None and verdict.state is State.FORWARD and task:
            self._given_up = Reason.DEADLINE, "no answer within the caller's time"
            task.cancel()

    async def _answer_after_all(self, verdict: Verdict, reason: Reason) -> bool:
        """The answer when forwarding has failed for good; a cut where that can't be given."""
        self.reason = reason
        try:
            if not self.status:
                return await self._answer(verdict, reason)
        except Exception:  # noqa: S110 - what went wrong first is what counts, and is known
            pass
        self.incoming.connection.abort()
        return False

    async def _end(self, *, keep_alive: bool) -> bool:
        """After the settlement: on to the next request, or a close that loses no answer."""
        connection = self.incoming.connection
        if keep_alive and await self._skip_body() and not self.services.engine.draining:
            connection.feed.next()
            return True
        if self.status:
            await connection.feed.discard()
        connection.expect_end()
        return False

    async def _skip_body(self) -> bool:
        """Reads the rest of a body; False when it does not come soon."""
        if self.incoming.body.is_eof():
            self.incoming.body.read_nowait()
            return True
        try:
            async with asyncio.timeout(LONGEST_DISCARD):
                while await self.incoming.body.read():
                    pass
        except (TimeoutError, TravelError, ConnectionError):
            return False
        return True

    # ---------------------------------------------------------------- verdict

    def _decide(self, head: RequestHead | None) -> Verdict:
        engine, listener = self.services.engine, self.listener
        now = self.incoming.received_at
        if head is None:
            error = self.incoming.error
            assert error is not None  # noqa: S101 - it has one or the other
            self.detail = str(error)
            return engine.reject(listener.name, error.reason, now)
        self.client = client_address(self.peer, head.fields, listener.trusted_proxies)
        if head.method == b"CONNECT":
            self.detail = "no tunnels to elsewhere"
            return engine.reject(listener.name, Reason.NOT_IMPLEMENTED, now)
        if head.method == b"TRACE" and max_forwards(head) == 0:
            self.detail = "a TRACE for us, which would show what clients don't send themselves"
            return engine.reject(listener.name, Reason.NOT_IMPLEMENTED, now)
        broken = self.incoming.body.exception()
        if isinstance(broken, TravelError):
            self.detail = str(broken)
            return engine.reject(listener.name, broken.reason, now)
        key, wake = client_key(self.client), self._waiter.wake
        return judge(engine, listener, head, key, self.client, now, wake)

    def _settle(self, verdict: Verdict) -> None:
        now = monotonic()
        duration = now - self.incoming.received_at
        own = duration - verdict.waited if verdict.state is State.REFUSE else self.own
        settle(
            self.services,
            verdict,
            Completion(self.status, duration, own, self.reason, self.silence),
            self.incoming.head,
            self.client,
            now,
            upstream_wait=self.upstream_wait,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            detail=self.detail,
        )

    # ----------------------------------------------------------------- answer

    async def _forward(self, verdict: Verdict, head: RequestHead) -> bool:
        self.incoming.connection.refusals = 0
        timer: asyncio.TimerHandle | None = None
        if verdict.deadline != NO_DEADLINE:
            left = max(0.0, verdict.deadline - monotonic())
            timer = self.loop.call_later(left, self._out_of_time)
        try:
            if head.chunked and not head.expect_continue:
                await self.incoming.body.wait(FIRST_CHUNK_PATIENCE)
                if (broken := self.incoming.body.exception()) is not None:
                    raise broken
            return await self._relay(verdict, head)
        except TravelError as error:
            self.reason = error.reason
            self.detail = str(error)
            if self.status:
                # The answer has begun: all that is left is to show that it is not complete,
                # which a mere close would not if it is what ends the answer.
                if self.ends_with_close:
                    self.incoming.connection.abort()
                return False
            return await self._answer(verdict, error.reason)
        finally:
            if timer is not None:
                timer.cancel()

    async def _relay(self, verdict: Verdict, head: RequestHead) -> bool:
        """Forwards the request, again if it fails and may be. Raises TravelError."""
        self._attempts = attempts_of(verdict, head)
        while True:
            relay = Relay(self, head, verdict, self._attempts)
            keep_alive = await relay.run()
            if relay.failed is None:
                return keep_alive
            self.incoming.body.put_back(relay.held)
            self.bytes_in = 0
            self.silence = self.upstream_wait = 0.0
            while verdict.state is State.WAIT:
                await self._waiter.wait(verdict)
            if verdict.state is not State.FORWARD:
                raise relay.failed

    def goes_again(self, failure: Failure) -> bool:
        """Whether the request has another turn, after an attempt that failed so."""
        if self.status or self._attempts is None or self._attempts.begun:
            return False
        engine, verdict = self.services.engine, self._verdict
        if verdict is None:
            return False
        return engine.retry(verdict, failure, monotonic(), self._waiter.wake)

    async def _answer(self, verdict: Verdict, reason: Reason | None) -> bool:
        """Answers in the shop's place; without a `reason` because there is no need to ask it."""
        connection = self.incoming.connection
        if verdict.state is State.REFUSE:
            connection.refusals += 1
        keep_alive = self._may_go_on(reason)
        head = self.incoming.head
        reply = in_place(self.services, verdict, reason, head, keep_alive=keep_alive)
        self.status, data, body = reply
        self.bytes_out = len(data) + len(body)
        await self.write(data)
        if body:
            await self.write(body)
        return keep_alive

    async def _answer_options(self) -> bool:
        """Answers in the shop's place, which was not to be asked (RFC 9110 section 7.6.2)."""
        keep_alive = self._may_go_on(None)
        self.status = 200
        close = b"" if keep_alive else b"Connection: close\r\n"
        await self.write(
            b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: 0\r\n%b\r\n"
            % (self.services.date(), close)
        )
        return keep_alive

    def _may_go_on(self, reason: Reason | None) -> bool:
        return may_go_on(
            self.services,
            reason,
            self.incoming.head,
            complete=self.incoming.body.is_eof(),
            refusals=self.incoming.connection.refusals,
        )

    async def write(self, data: bytes, tap: Tap | None = None) -> None:
        """Sends `data` to the client, once it takes it, or does not while `tap` runs ahead of it.

        Raises ConnectionError when it has left, DownstreamStalledError when it takes nothing.
        """
        connection = self.incoming.connection
        transport = connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left")
        transport.write(data)
        if not connection.writing_paused:
            return
        followed: asyncio.Future[None] | None = None
        if tap is not None:
            followed = self.loop.create_future()
            if tap.runs_ahead(transport, partial(_set, followed)):
                return
        patience = self.listener.timeouts.send
        if not await drain(connection, self.incoming.writer, patience, unless=followed):
            raise DownstreamStalledError("the client takes nothing")


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
