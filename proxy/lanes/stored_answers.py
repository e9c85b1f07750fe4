"""What is sent of stored responses, and in whose place: the same on every lane."""

from time import monotonic

from proxy.lanes.answering import own_answer
from proxy.lanes.services import Services
from proxy.policy.keeping import Lookup
from proxy.policy.reasons import REQUEST_AT_FAULT, Reason
from proxy.policy.verdict import Verdict
from proxy.wire.request_head import RequestHead
from proxy.wire.response_head import ResponseHead
from proxy.wire.stored_answer import COLLAPSED_LINE, hit_line, last_good_lines, stored_answer

SHOP_FAILED = frozenset({500, 502, 503, 504})
"""The shop's own answers in whose place an older one is better (RFC 5861 section 4)."""

MOST_JOINED_BYTES = 65536
"""A body up to this size goes out in one piece with its head. A larger one is not copied: clients
that take nothing of it share it."""

Reply = tuple[int, bytes, bytes]
"""Status, head (with a small body), large body."""


def in_place(
    services: Services,
    verdict: Verdict,
    reason: Reason | None,
    head: RequestHead | None,
    *,
    keep_alive: bool,
) -> Reply:
    """What is sent in the shop's place: what the verdict serves, without a `reason`; else the last
    good answer where the rules allow it and there is one; else the page.
    """
    if reason is None:
        return _served(verdict, head, keep_alive=keep_alive)
    lookup = verdict.lookup
    if lookup is not None and head is not None and reason not in REQUEST_AT_FAULT:
        now = monotonic()
        found = lookup.last_good(now)
        if found is not None:
            lookup.served = found
            lookup.stands_in = True
            asked = verdict.reason is not reason
            ttl = found.left(lookup.keeping.spec.ttl, now)
            extra = last_good_lines(reason.encode(), ttl, asked=asked)
            status, data, body = stored_answer(
                found, head, now=now, extra=extra, close=not keep_alive
            )
            return _reply(status, data, body)
    answer = verdict.guard.answers[reason]
    data = own_answer(services, verdict, answer, head, keep_alive=keep_alive)
    return answer.status, data, b""


def _served(verdict: Verdict, head: RequestHead | None, *, keep_alive: bool) -> Reply:
    lookup = verdict.lookup
    assert head is not None  # noqa: S101 - there was one to decide about
    assert lookup is not None  # noqa: S101 - that is what the state says
    stored = lookup.served
    assert stored is not None  # noqa: S101
    now = monotonic()
    ttl = stored.left(lookup.keeping.spec.ttl, now)
    if lookup.because is not None:
        extra = last_good_lines(lookup.because.encode(), ttl, asked=True)
    else:
        extra = COLLAPSED_LINE if lookup.collapsed else hit_line(ttl)
    status, data, body = stored_answer(stored, head, now=now, extra=extra, close=not keep_alive)
    return _reply(status, data, body)


def is_failure(lookup: Lookup | None, head: ResponseHead, now: float) -> bool:
    """Whether the shop's answer says that it failed, and there is a better one."""
    return lookup is not None and head.status in SHOP_FAILED and lookup.last_good(now) is not None


def _reply(status: int, data: bytes, body: bytes) -> Reply:
    if len(body) <= MOST_JOINED_BYTES:
        return status, data + body, b""
    return status, data, body
