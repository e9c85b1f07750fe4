"""What a lane knows of a request that may be sent again."""

from math import inf
from typing import Final

from proxy.lanes.errors import ServerFailedError, UpstreamError
from proxy.policy.deadline import as_timeout
from proxy.policy.retrying import Failure
from proxy.policy.verdict import Verdict
from proxy.wire.attempt import (
    attempt_line,
    is_repeatable,
    is_sent_again_elsewhere,
    retry_after,
)
from proxy.wire.request_head import RequestHead
from proxy.wire.response_head import ResponseHead

LARGEST_HELD_BYTES: Final = 65536
"""A body up to this size is held until its request has an answer, if it may be sent again: what
one slow exchange may hold anyway (see `proxy.lanes.byte_queue`)."""


class Attempts:
    """One request's. `holds_body`: its body is to be held, to be sent again. `begun`: something of
    an answer has gone to the client, if only a 1xx.
    """

    __slots__ = ("_repeatable", "_verdict", "begun", "holds_body")

    def __init__(self, verdict: Verdict, head: RequestHead) -> None:
        self.begun = False
        self._verdict = verdict
        small = not head.chunked and (head.length or 0) <= LARGEST_HELD_BYTES
        self._repeatable = small and not head.expect_continue and is_repeatable(head)
        self.holds_body = self._repeatable and bool(head.length)

    def broke(self, error: UpstreamError, *, sent: bool, silence: float) -> Failure:
        """There was no answer. `sent` and `silence` are those of `Failure`."""
        return Failure(error.reason, sent=sent, repeatable=self._repeatable, silence=silence)

    def refused(self, head: ResponseHead) -> Failure | None:
        """The answer begins with `head`; None if it is none of a failure."""
        retrying = self._verdict.guard.retrying
        if retrying is None or head.status not in retrying.spec.statuses:
            return None
        return Failure(
            ServerFailedError(head.status).reason,
            sent=True,
            repeatable=self._repeatable,
            status=head.status,
            retry_after=retry_after(head),
        )


def attempts_of(verdict: Verdict, head: RequestHead) -> Attempts | None:
    """None where nothing is sent again: by the rules, or since somebody before us does so."""
    if verdict.guard.retrying is None or is_sent_again_elsewhere(head):
        return None
    return Attempts(verdict, head)


def amended(
    verdict: Verdict, attempts: Attempts | None, head: RequestHead, now: float
) -> tuple[bytes, bytes]:
    """What goes upstream besides the client's fields: the name of one to leave out, and lines."""
    lines: list[bytes] = []
    if attempts is not None:
        lines.append(attempt_line(verdict.attempts))
    name, left = verdict.guard.deadline_header, verdict.deadline - now
    if name is None or left == inf:
        return b"", b"\r\n".join(lines)
    for line in head.lines:
        if line.name.lower() == name:
            lines.append(b"%b: %b" % (line.name, as_timeout(left, line.value)))
            break
    return name, b"\r\n".join(lines)
