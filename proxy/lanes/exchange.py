"""One request on the full lane, from its verdict to its settlement."""

import asyncio
import logging
from time import monotonic

from proxy.lanes.errors import DownstreamStalledError, TravelError
from proxy.lanes.flow import drain
from proxy.lanes.relay import Relay
from proxy.lanes.request_feed import LONGEST_DISCARD, Incoming
from proxy.lanes.services import Entry, Services
from proxy.policy.reasons import REQUEST_AT_FAULT, Reason
from proxy.policy.request import Request
from proxy.policy.snapshot import ListenerSpec, PaceSpec, RateSpec
from proxy.policy.verdict import Completion, Kind, State, Verdict
from proxy.wire.answer import render
from proxy.wire.authority import host_name
from proxy.wire.client import client_address, client_key, is_trusted
from proxy.wire.fields import max_forwards
from proxy.wire.negotiation import choose_form
from proxy.wire.rate_limit import rate_limit_fields
from proxy.wire.request_head import RequestHead
from proxy.wire.target import normalise, other_readings

SMALL_BODY_BYTES = 65536
"""A refused request's body up to this size is read to its end and the connection kept."""

FIRST_CHUNK_PATIENCE = 0.1
"""Seconds that a chunked request's head waits for the first chunk, so that a malformed one is
refused before the upstream has seen a byte. Who wants an answer before sending any gets it."""

SAFE_METHODS = frozenset({b"GET", b"HEAD"})
"""A page that answers these may reload itself."""

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
        self._woken: asyncio.Future[None] | None = None
        self._task: asyncio.Task[object] | None = None
        self._verdict: Verdict | None = None
        self._given_up = False
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
                await self._wait(verdict)
            if verdict.state is State.FORWARD and head is not None:
                self.own = monotonic() - self.incoming.received_at - verdict.waited
                if max_forwards(head) == 0:
                    keep_alive = await self._answer_options(head)
                else:
                    keep_alive = await self._forward(verdict, head)
            else:
                assert verdict.reason is not None  # noqa: S101 - a refusal has one
                keep_alive = await self._answer(verdict, verdict.reason)
        except DownstreamStalledError as stalled:
            self.detail = str(stalled)
            self.incoming.connection.abort()
        except (ConnectionError, asyncio.CancelledError) as error:
            if self._given_up:
                self.detail = "no answer before the end of draining"
                keep_alive = await self._answer_after_all(verdict, Reason.UPSTREAM_TIMEOUT)
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
            self._wake()
        elif verdict.state is State.FORWARD:
            self._given_up = True
            self._task.cancel()
        return True

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
        path, query = normalise(head.target)
        request = Request(
            head.method.decode("ascii"),
            host_name(head.host),
            path,
            query,
            head.fields,
            client_key(self.client),
            None if head.chunked else head.length or 0,
            other_paths=other_readings(head.target, path),
        )
        return engine.decide(listener.name, request, now, self._wake)

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    async def _wait(self, verdict: Verdict) -> None:
        """Until the verdict has changed, or its time has come."""
        self._woken = self.loop.create_future()
        timer = self.loop.call_later(max(0.0, verdict.wait_until - monotonic()), self._wake)
        try:
            await self._woken
        finally:
            timer.cancel()
        # uvloop's timers count in milliseconds and may be one early.
        if (now := monotonic()) >= verdict.wait_until:
            self.services.engine.resume(verdict, now)

    def _settle(self, verdict: Verdict) -> None:
        now = monotonic()
        duration = now - self.incoming.received_at
        refused = verdict.state is State.REFUSE
        completion = Completion(
            self.status,
            duration,
            duration - verdict.waited if refused else self.own,
            self.reason,
        )
        self.services.engine.settle(verdict, completion, now)
        kind: Kind = "refused" if refused else "failed" if self.reason is not None else "admitted"
        if self.services.log.wants(kind, now):
            self.services.log.write(
                Entry(
                    verdict,
                    completion,
                    self.incoming.head,
                    self.client,
                    self.upstream_wait,
                    self.bytes_in,
                    self.bytes_out,
                    self.detail,
                )
            )

    # ----------------------------------------------------------------- answer

    async def _forward(self, verdict: Verdict, head: RequestHead) -> bool:
        try:
            if head.chunked and not head.expect_continue:
                await self.incoming.body.wait(FIRST_CHUNK_PATIENCE)
                if (broken := self.incoming.body.exception()) is not None:
                    raise broken
            return await Relay(self, head, verdict).run()
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

    async def _answer(self, verdict: Verdict, reason: Reason) -> bool:
        """Sends the answer to `reason`: one write."""
        head = self.incoming.head
        engine = self.services.engine
        answer = verdict.guard.answers[reason]
        keep_alive = reason not in REQUEST_AT_FAULT and head is not None and self._may_go_on(head)
        accept = accept_language = None
        safe = True
        if head is not None:
            accept, accept_language = _first(head, b"accept"), _first(head, b"accept-language")
            safe = head.method in SAFE_METHODS
        form = choose_form(answer, accept, accept_language, safe=safe)
        refused = verdict.reason is reason
        data = render(
            answer,
            form,
            date=self.services.date(),
            retry_after=verdict.retry_after if refused else engine.retry_after(answer),
            extra=_rate_limit_fields(verdict),
            close=not keep_alive,
            head_only=head is not None and head.method == b"HEAD",
        )
        self.status = answer.status
        self.bytes_out = len(data)
        await self.write(data)
        return keep_alive

    async def _answer_options(self, head: RequestHead) -> bool:
        """Answers in the shop's place, which was not to be asked (RFC 9110 section 7.6.2)."""
        keep_alive = self._may_go_on(head)
        self.status = 200
        close = b"" if keep_alive else b"Connection: close\r\n"
        await self.write(
            b"HTTP/1.1 200 OK\r\nDate: %b\r\nContent-Length: 0\r\n%b\r\n"
            % (self.services.date(), close)
        )
        return keep_alive

    def _may_go_on(self, head: RequestHead) -> bool:
        """Whether the connection may be kept after an answer of our own.

        The rest of the body must be sure to come, and little.
        """
        if not head.keep_alive or head.version != (1, 1) or self.services.engine.draining:
            return False
        if self.incoming.body.is_eof():
            return True
        return (
            not head.expect_continue and head.length is not None and head.length <= SMALL_BODY_BYTES
        )

    async def write(self, data: bytes) -> None:
        """Sends `data` to the client.

        Raises ConnectionError when it has left, DownstreamStalledError when it takes nothing.
        """
        connection = self.incoming.connection
        transport = connection.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client left")
        transport.write(data)
        if connection.writing_paused and not await drain(
            connection, self.incoming.writer, self.listener.timeouts.send
        ):
            raise DownstreamStalledError("the client takes nothing")


def _first(head: RequestHead, name: bytes) -> bytes | None:
    for field, value in head.fields:
        if field.lower() == name:
            return value
    return None


def _rate_limit_fields(verdict: Verdict) -> bytes:
    if isinstance(verdict.limit, RateSpec | PaceSpec):
        spec = verdict.limit
        return rate_limit_fields(spec.name, spec.quota, spec.window, verdict.wait)
    return b""
