"""What heads say about sending a request again."""

from typing import Final

from proxy.wire.request_head import RequestHead
from proxy.wire.response_head import ResponseHead

ATTEMPT: Final = b"planb-attempt"
"""The field of a request that whoever sent it may send again: which attempt this is, from 1. Who
gets one sends the request once. It can be had by anybody, and has nobody send more."""

_KEY: Final = b"idempotency-key"

_FAR: Final = 1e9

_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})


def is_sent_again_elsewhere(head: RequestHead) -> bool:
    """Whether somebody before us sends the request again: one level of those is enough, as three
    of three attempts each are 27 (Site Reliability Engineering, chapter 22).
    """
    return any(line.name.lower() == ATTEMPT for line in head.lines)


def is_repeatable(head: RequestHead) -> bool:
    """Whether a request that may have been acted on may be sent again: its method is idempotent
    (RFC 9110 section 9.2.2), or the upstream tells repeats by a key
    (draft-ietf-httpapi-idempotency-key-header), which says something, and reaches it.
    """
    if head.upgrade is not None:
        return False
    if head.method in _IDEMPOTENT:
        return True
    keys = [line.value.strip(b'"') for line in head.lines if line.name.lower() == _KEY]
    return any(keys) and _KEY not in head.connection_names


def attempt_line(attempt: int) -> bytes:
    """The line of the field, without its end."""
    return b"Planb-Attempt: %d" % attempt


def retry_after(head: ResponseHead) -> float | None:
    """The seconds in `Retry-After`; None without one. A date (RFC 9110 section 10.2.3) is as far
    away as any: to be sure of it takes the other's clock.
    """
    found: float | None = None
    for line in head.lines:
        if line.name.lower() == b"retry-after":
            short = line.value.isdigit() and len(line.value) <= 9
            seconds = float(line.value) if short else _FAR
            found = seconds if found is None else max(found, seconds)
    return found
