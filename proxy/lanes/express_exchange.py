"""One request on the express lane that is not refused at once, until its settlement."""

from time import monotonic
from typing import TYPE_CHECKING

from proxy.lanes.advising import share_lines, with_lines
from proxy.lanes.answering import answered
from proxy.lanes.attempts import attempts_of
from proxy.lanes.errors import DownstreamError, ServerFailedError, TravelError, UpstreamError
from proxy.lanes.express_ending import ExpressEnding
from proxy.lanes.express_upload import Upload
from proxy.lanes.express_upstream import UpstreamLink, connected
from proxy.lanes.full_upstream import Upstream
from proxy.lanes.outgoing import head_to_send, upstream_for
from proxy.lanes.stored_answers import is_failure
from proxy.lanes.tap import tap_on
from proxy.policy.deadline import NO_DEADLINE
from proxy.policy.reasons import Reason
from proxy.policy.verdict import FORWARD, REFUSE, WAIT, Verdict
from proxy.wire.body import encode_chunk, last_chunk
from proxy.wire.errors import BadResponse
from proxy.wire.fields import forward_response_head, trailer_fields
from proxy.wire.request_head import RequestHead
from proxy.wire.response_head import Framing, ResponseHead

if TYPE_CHECKING:
    from proxy.lanes.express_downstream import ExpressConnection


class ExpressExchange(ExpressEnding):
    """Carries out the verdict on one request. Everything that it took is settled when it ends.

    It waits for its turn, then for a connection, then for the response (`carry`, `respond`), and
    relays (`relay`) until the response is complete. From any of these it may end in `fail`, or with
    its client (`abandon`). `complete`: the response is, though the client may not have taken it.
    """

    __slots__ = ("_chunked", "_keep_alive")

    def __init__(
        self,
        downstream: "ExpressConnection",
        head: RequestHead,
        verdict: Verdict,
        received_at: float,
    ) -> None:
        super().__init__(downstream, head, verdict, received_at)
        self._chunked = False
        self._keep_alive = False

    @property
    def is_forwarding(self) -> bool:
        """Whether it has had its turn."""
        return self._verdict.state is FORWARD

    @property
    def is_amid_answer(self) -> bool:
        """Whether an answer has begun, of which more is to come."""
        return bool(self._status) and not self.complete

    def start(self) -> None:
        """Goes on as the verdict says: at the beginning, and whenever that may have changed."""
        if self._over or self._upstream is not None:
            # Its client has left, or it went on already, when its time came.
            return
        self._stop_timer()
        verdict = self._verdict
        # uvloop's timers count in milliseconds and may be one early.
        if verdict.state is WAIT and (now := monotonic()) >= verdict.wait_until:
            self._services.engine.resume(verdict, now)
        if verdict.state is WAIT:
            loop = self._downstream.loop
            self._timer = loop.call_later(max(0.0, verdict.wait_until - monotonic()), self.resume)
        elif verdict.state is FORWARD:
            self._downstream.refusals = 0
            self._forward()
        elif self._error is not None:
            self.fail(self._error)
        else:
            if verdict.state is REFUSE:
                self._downstream.refusals += 1
            self._answer(verdict.reason)

    # ---------------------------------------------------------------- request

    def _forward(self) -> None:
        verdict, now = self._verdict, monotonic()
        if verdict.attempts <= 1:
            self._own = now - self._received_at - verdict.waited
        if verdict.attempts == 1:
            self._attempts = attempts = attempts_of(verdict, self.head)
            if attempts is not None and self._upload is not None:
                self._upload.holds = attempts.holds_body
        if verdict.deadline != NO_DEADLINE:
            left = max(0.0, verdict.deadline - now)
            self._timer = self._downstream.loop.call_later(left, self._out_of_time)
        try:
            self._go_to(upstream_for(self._services, self._downstream.rules(), self.head, now))
        except TravelError as error:
            self.fail(error)

    def _go_to(self, upstream: Upstream, last: bool = False) -> None:
        self._upstream = upstream
        link = upstream.resting.take()
        if link is None:
            upstream.enter()
            connecting = self._downstream.loop.create_task(self._connect(upstream, last))
            connecting.add_done_callback(upstream.ended)
            self._connecting = connecting
        else:
            self._carry(link, upstream)

    async def _connect(self, upstream: Upstream, last: bool) -> None:
        try:
            try:
                link = await connected(upstream, self._services.deadlines)
            except UpstreamError as error:
                self._connecting = None
                if last or (other := upstream.another(error, monotonic())) is None:
                    self.fail(error)
                else:
                    self._go_to(other, True)
                return
            self._connecting = None
            self._carry(link, upstream)
        except Exception:
            self._connecting = None
            self.fault()

    def _carry(self, link: UpstreamLink, upstream: Upstream) -> None:
        begun = monotonic()
        self._link = link
        client = self._downstream.client
        data = head_to_send(
            self._downstream.rules(),
            upstream,
            self._verdict,
            self.head,
            client.peer,
            client.trusted,
            self._attempts,
            begun,
        )
        upload = self._upload
        if upload is not None:
            data += upload.begin()
        link.carry(self, data)
        now = self._sent_at = monotonic()
        self._own += now - begun
        if upload is None:
            link.silence.set(now + link.timeouts.response)
        else:
            link.silence.clear()
            self._wait_after_upload(link, upload, now)

    def upload(self, data: bytes) -> None:
        """Takes more of the body, from the client: never more than what is left of it."""
        link, upload = self._link, self._upload
        assert upload is not None  # noqa: S101 - or there would be no body
        upload.take(data, link)
        if link is not None:
            self._wait_after_upload(link, upload, monotonic())

    def upstream_has_room(self) -> None:
        """The upstream takes more of the body, or has taken the last."""
        link, upload = self._link, self._upload
        if link is not None and upload is not None and not self._over:
            self._wait_after_upload(link, upload, monotonic())

    def _wait_after_upload(self, link: UpstreamLink, upload: Upload, now: float) -> None:
        """Waits for more of the body, or for the response: its time counts from the request's end,
        once the upstream has taken it, or from when it wants no more.
        """
        if not upload.over:
            upload.wait_for_more(link, now)
        elif not link.writing_paused:
            self._sent_at = now
            if not self._status:
                link.silence.set(now + link.timeouts.response)

    def body_late(self) -> None:
        """The client did not send the body in time."""
        self.fail(DownstreamError(Reason.REQUEST_TIMEOUT, "the body comes too slowly"))

    # --------------------------------------------------------------- response

    def relay_interim(self, head: ResponseHead) -> None:
        """Passes a 1xx on."""
        if self._attempts is not None:
            self._attempts.begun = True
        self._downstream.write(
            forward_response_head(head, to_version=(1, 1), chunked=False, close=False)
        )
        if self._downstream.writing_paused and self._link is not None:
            self._link.pause_reading()

    def respond(self, head: ResponseHead, framing: Framing, data: bytes, *, complete: bool) -> None:
        """Passes the response's final head on, and `data`, the first of its body."""
        now = monotonic()
        link, upstream = self._link, self._upstream
        assert link is not None  # noqa: S101 - it calls
        assert upstream is not None  # noqa: S101
        if head.status == 101:
            raise BadResponse("switched protocols unasked")
        self._upstream_wait = now - self._sent_at
        answered(self._services, upstream, self._verdict, head, self._upstream_wait, now)
        downstream, services = self._downstream, self._services
        if self._attempts is not None and (failure := self._attempts.refused(head)) is not None:
            self.complete = complete
            if self._goes_again(failure, ServerFailedError(head.status)):
                return
        lookup = self._verdict.lookup
        if lookup is not None:
            if is_failure(lookup, head, now):
                self.complete = complete
                self.fail(ServerFailedError(head.status))
                return
            wait = self._upstream_wait
            self._tap = tap_on(
                services, lookup, head, framing, data, now, delay=wait, complete=complete
            )
        self._chunked = framing is Framing.CHUNKED or framing is Framing.UNTIL_CLOSE
        # Who answers early may not want the rest, and we don't know how much is to come.
        self._keep_alive = self.head.keep_alive and self._sent() and not services.engine.draining
        self.complete = complete
        # What a GET would have been sent in chunks is announced so to a HEAD, too.
        announced = head.chunked and self.head.method == b"HEAD"
        chunked, close, date = self._chunked or announced, not self._keep_alive, services.date()
        answer = forward_response_head(
            head, to_version=(1, 1), chunked=chunked, close=close, date=date
        )
        answer = with_lines(answer, share_lines(self._verdict))
        answer += self._in_chunks(data) if self._chunked else data
        self._status = head.status
        self._bytes_out = len(data)
        downstream.write(answer)
        after = monotonic()
        self._own += after - now
        self._after_write(link, after)

    def relay(self, data: bytes, *, complete: bool) -> None:
        """Passes more of the response's body on; `complete` with the last of it."""
        link = self._link
        assert link is not None  # noqa: S101 - it calls
        self.complete = complete
        self._bytes_out += len(data)
        self._downstream.write(self._in_chunks(data) if self._chunked else data)
        now = monotonic()
        if self._tap is not None:
            self._tap = self._tap.take(data, now, complete=complete)
        self._after_write(link, now)

    def client_has_room(self) -> None:
        """The client takes more, or others wait for what it does not take."""
        link = self._link
        if link is not None and not self._over:
            link.resume_reading()
            if self._status:
                self._after_write(link, monotonic())

    def _in_chunks(self, data: bytes) -> bytes:
        data = encode_chunk(data)
        if self.complete and self._link is not None:
            data += last_chunk(trailer_fields(self._link.trailers))
        return data

    def _after_write(self, link: UpstreamLink, now: float) -> None:
        """Once something was written: the end, or a wait for either side."""
        tap, downstream = self._tap, self._downstream
        if downstream.writing_paused and (
            tap is None or not tap.runs_ahead(downstream.transport, self.client_has_room)
        ):
            # A client that reads slowly is not the upstream's silence.
            link.silence.clear()
            link.pause_reading()
        elif self.complete:
            self._end()
            downstream.proceed(keep_alive=self._keep_alive, left=self.body_left)
        else:
            link.silence.set(now + link.timeouts.body)
