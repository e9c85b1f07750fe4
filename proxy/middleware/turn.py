"""One request's way past the engine, inside a program: what lanes do, without their sockets."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable
from time import monotonic

from proxy.lanes.advising import caller_line, heed, share_lines
from proxy.lanes.answering import judge, rendered
from proxy.lanes.request_feed import translated
from proxy.lanes.waiting import Waiter
from proxy.policy.counters import UpstreamCounters
from proxy.policy.engine import Engine
from proxy.policy.reasons import Reason
from proxy.policy.verdict import Completion, State
from proxy.wire.answer import http_date
from proxy.wire.client import client_key
from proxy.wire.errors import BadMessage, BadRequest
from proxy.wire.grammar import TOKEN_BYTES, Field
from proxy.wire.prepared import PreparedAnswers
from proxy.wire.request_head import RequestHead, request_head


class Turns:
    """What the requests of a program share. `counters` tell how each upstream answers."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.prepared = PreparedAnswers()
        self.counters: defaultdict[str, UpstreamCounters] = defaultdict(UpstreamCounters)

    def begin(
        self, listener: str, start: tuple[bytes, bytes, bytes], fields: list[Field], client: str
    ) -> "Turn":
        """Decides about a request, from the running event loop; `start` is its method, target and
        the minor digit of its version, `client` the client's address.

        What a sidecar would not take for one request, of one meaning, is refused here as well.
        """
        try:
            if any(not name or name.translate(None, TOKEN_BYTES) for name, _ in fields):
                raise BadRequest("a field's name that is none")
            head = request_head(*start, fields)
        except BadMessage as error:
            return Turn(self, listener, translated(error).reason)
        return Turn(self, listener, head, client)


class Turn:
    """A request from its verdict, made with it, to its settlement: `end`, once, on every exit.

    `status` is that of the answer, 0 as long as there is none.
    """

    def __init__(
        self, turns: Turns, listener: str, asked: RequestHead | Reason, client: str = ""
    ) -> None:
        engine, now = turns.engine, monotonic()
        self._turns = turns
        self._began = now
        self._sent_at: float | None = None
        self._own = 0.0
        self._silence = 0.0
        self._head: RequestHead | None = None
        self._waiter = Waiter(engine, asyncio.get_running_loop())
        spec = engine.rules.listeners[listener]
        self._upstream = turns.counters[spec.upstream]
        self.status = 0
        if isinstance(asked, Reason):
            self.verdict = engine.reject(listener, asked, now)
        else:
            self._head = asked
            key, wake = client_key(client), self._waiter.wake
            self.verdict = judge(engine, spec, asked, key, client, now, wake)

    @property
    def sent(self) -> bool:
        """Whether it was let go on."""
        return self._sent_at is not None

    async def wait(self) -> Reason | None:
        """Waits as long as the verdict does: None when the request is sent now, else why not."""
        verdict = self.verdict
        while verdict.state is State.WAIT:
            await self._waiter.wait(verdict)
        now = monotonic()
        self._own = now - self._began - verdict.waited
        if verdict.reason is None:
            self._sent_at = now
        return verdict.reason

    def caller(self) -> str:
        """What the callee is told in `Planb-Caller`; empty where it is told nothing."""
        line = caller_line(self.verdict, monotonic())
        return line.partition(b": ")[2].decode("ascii")

    def share(self) -> list[tuple[str, str]]:
        """The fields that tell a calling sidecar its share; none for others."""
        lines = share_lines(self.verdict).decode("ascii").splitlines()
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines)]

    def answered(self, status: int, fields: Iterable[Field] = ()) -> None:
        """The answer's head is there, with `fields` if it is a callee's. Only the first time
        counts, and none after the end.
        """
        sent_at = self._sent_at
        if sent_at is None or self.status or self.verdict.state is State.SETTLED:
            return
        now = monotonic()
        self.status = status
        self._upstream.answered(status, now - sent_at, None, now)
        self._turns.engine.answered(self.verdict, status, now - sent_at, now)
        if self.verdict.guard.advice is not None:
            heed(self.verdict.guard.advice, status, fields, now)

    def abandoned(self) -> None:
        """Nobody waits for an answer any more. If the request was sent, it may be worked on."""
        if self._sent_at is not None:
            self._silence = monotonic() - self._sent_at
            self._upstream.unanswered(self._silence)

    def answer(self, reason: Reason) -> bytes:
        """The answer in the shop's place, as a whole message; its status is that of the request."""
        turns, verdict = self._turns, self.verdict
        answer = verdict.guard.answers[reason]
        self.status = answer.status
        date = http_date(int(time.time()))
        return rendered(
            turns.engine, turns.prepared, date, verdict, answer, self._head, keep_alive=True
        )

    def end(self, reason: Reason | None = None) -> None:
        """Settles it; `reason` is why what was sent has no answer, if it failed."""
        now = monotonic()
        verdict = self.verdict
        duration = now - self._began
        own = duration - verdict.waited if verdict.state is State.REFUSE else self._own
        if reason is not None:
            self._upstream.failures += 1
        completion = Completion(self.status, duration, own, reason, self._silence)
        self._turns.engine.settle(verdict, completion, now)
