"""How an exchange on the express lane ends, or begins anew."""

import asyncio
import logging
from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING

from proxy.lanes.answering import may_go_on, settle
from proxy.lanes.attempts import Attempts
from proxy.lanes.errors import ServerFailedError, TravelError, UpstreamError
from proxy.lanes.express_upload import Upload
from proxy.lanes.express_upstream import UpstreamLink
from proxy.lanes.full_upstream import Upstream
from proxy.lanes.stored_answers import in_place
from proxy.lanes.tap import Tap
from proxy.policy.reasons import Reason
from proxy.policy.retrying import Failure
from proxy.policy.verdict import FAIL, REFUSE, WAIT, Completion, Verdict
from proxy.wire.request_head import RequestHead

if TYPE_CHECKING:
    from proxy.lanes.express_downstream import ExpressConnection

logger = logging.getLogger(__name__)


class ExpressEnding(ABC):
    """What an exchange holds, and how it lets go of it: in an answer of our own (`fail`), with its
    client (`abandon`), or when the response is `complete`, though the client may not have taken it.

    An attempt that fails may be followed by another (`_goes_again`): it lets go of what this one
    held, and waits as before its first turn.
    """

    __slots__ = (
        "_attempts", "_bytes_out", "_connecting", "_detail", "_downstream", "_error", "_link",
        "_over", "_own", "_reason", "_received_at", "_sent_at", "_services", "_status", "_tap",
        "_timer", "_upload", "_upstream", "_upstream_wait", "_verdict", "complete", "head",
    )  # fmt: skip

    def __init__(
        self,
        downstream: "ExpressConnection",
        head: RequestHead,
        verdict: Verdict,
        received_at: float,
    ) -> None:
        self.head = head
        self.complete = False
        self._downstream = downstream
        self._services = downstream.services
        self._verdict = verdict
        self._received_at = received_at
        self._attempts: Attempts | None = None
        self._upstream: Upstream | None = None
        self._link: UpstreamLink | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._upload = Upload(downstream, head.length) if head.length else None
        self._tap: Tap | None = None
        self._over = False
        # Why the last attempt failed, if it did.
        self._error: UpstreamError | None = None
        # What is known of how it went, for the settlement and the log.
        self._status = 0
        self._reason: Reason | None = None
        self._detail = ""
        self._bytes_out = 0
        self._upstream_wait = 0.0
        self._own = 0.0
        self._sent_at = 0.0

    @property
    def body_left(self) -> int:
        """Bytes of the request's body that the client has not sent yet."""
        return 0 if self._upload is None else self._upload.left

    @abstractmethod
    def start(self) -> None:
        """Goes on as the verdict says: at the beginning, and whenever that may have changed."""

    def resume(self) -> None:
        """What the verdict waited for may have come. From the event loop, as `start` is not."""
        try:
            self.start()
        except Exception:
            self.fault()

    def fault(self) -> None:
        """Something of ours went wrong: told as such, or the connection is cut."""
        logger.exception("a request could not be handled")
        if self._over:
            self._downstream.abort()
            return
        try:
            self.fail(TravelError(Reason.INTERNAL, "it could not be handled"))
        except Exception:
            # What went wrong first is what counts, and is known.
            try:
                if not self._over:
                    self._end()
            finally:
                self._downstream.abort()

    def abandon(self, detail: str) -> None:
        """The client is gone, or as good as gone."""
        if not self._over:
            self._detail = detail
            self._end()

    def give_up(self) -> bool:
        """The time to drain is over: who has no answer yet gets one now. False if it has begun."""
        if self._status:
            return False
        if self._verdict.state is WAIT:
            self._services.engine.dismiss(self._verdict, monotonic())
        if self._verdict.state is REFUSE or self._verdict.state is FAIL:
            self.start()
        else:
            self.fail(TravelError(Reason.UPSTREAM_TIMEOUT, "no answer before the end of draining"))
        return True

    def fail(self, error: TravelError) -> None:
        """It can't be forwarded, or not to the end: answered so, or cut if an answer has begun."""
        if self._over:
            return
        upstream = self._upstream
        if isinstance(error, UpstreamError) and upstream is not None:
            upstream.failed(error, monotonic(), self._status)
            if self._attempts is not None and not isinstance(error, ServerFailedError):
                silence = monotonic() - self._sent_at if self._sent_at and self._sent() else 0.0
                sent = self._link is not None
                failure = self._attempts.broke(error, sent=sent, silence=silence)
                if self._goes_again(failure, error):
                    return
        self._reason = error.reason
        self._detail = str(error)
        if self._status:
            self._end()
            self._downstream.proceed(keep_alive=False, left=self.body_left)
        else:
            self._release(reusable=self.complete and self._sent())
            self._answer(error.reason)

    def _goes_again(self, failure: Failure, error: UpstreamError) -> bool:
        """Whether the request has another turn, after an attempt that failed so."""
        attempts, upload, now = self._attempts, self._upload, monotonic()
        if self._status or attempts is None or attempts.begun:
            return False
        if not self._services.engine.retry(self._verdict, failure, now, self._wake):
            return False
        self._release(reusable=self.complete and self._sent())
        self._error = error
        self._upstream = None
        self.complete = False
        self._sent_at = self._upstream_wait = 0.0
        if upload is not None:
            upload.rewind()
        # Not at once, however short the wait: the link that has just failed tells us so.
        self._stop_timer()
        wait = max(0.0, self._verdict.wait_until - now)
        self._timer = self._downstream.loop.call_later(wait, self.resume)
        return True

    def _wake(self) -> None:
        """What the next attempt waits for may have come; from within another's settlement."""
        self._downstream.loop.call_soon(self.resume)

    def _out_of_time(self) -> None:
        """The caller waits no longer."""
        try:
            if not self._status:
                self.fail(TravelError(Reason.DEADLINE, "no answer within the caller's time"))
        except Exception:
            self.fault()

    def _answer(self, reason: Reason | None) -> None:
        """Answers in the shop's place; without a `reason` because there is no need to ask it."""
        downstream, services, verdict = self._downstream, self._services, self._verdict
        complete, refusals = not self.body_left, downstream.refusals
        keep_alive = may_go_on(services, reason, self.head, complete=complete, refusals=refusals)
        reply = in_place(services, verdict, reason, self.head, keep_alive=keep_alive)
        self._status, data, body = reply
        self._bytes_out = len(data) + len(body)
        downstream.write(data)
        if body:
            downstream.write(body)
        self._end()
        downstream.proceed(keep_alive=keep_alive, left=self.body_left)

    def _sent(self) -> bool:
        """Whether the upstream has got the whole request."""
        return self._upload is None or self._upload.complete

    def _release(self, *, reusable: bool) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.release(reusable=reusable, asked_at=self._sent_at if self._sent() else 0.0)

    def _end(self) -> None:
        """Releases what it holds, and settles. Called once."""
        self._over = True
        self._stop_timer()
        if self._tap is not None:
            self._tap.end()
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        # Both are unfit for another request while a part of this one's body is missing.
        self._release(reusable=self.complete and self._sent())
        now = monotonic()
        duration = now - self._received_at
        refused = self._verdict.state is REFUSE
        settle(
            self._services,
            self._verdict,
            Completion(
                self._status,
                duration,
                duration - self._verdict.waited if refused else self._own,
                self._reason,
                now - self._sent_at if self._sent_at and self._sent() else 0.0,
            ),
            self.head,
            self._downstream.client.address,
            now,
            upstream_wait=self._upstream_wait,
            bytes_in=0 if self._upload is None else self._upload.passed_on,
            bytes_out=self._bytes_out,
            detail=self._detail,
        )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
