"""Why Plan B answered by itself: one word each, the same in logs, metrics and `Proxy-Status`."""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why a request was refused, or why its forwarding failed.

    `status` is the HTTP status of the answer (RFC 9110 section 15, RFC 6585), `proxy_error` the
    `error` parameter of its `Proxy-Status` field (RFC 9209 section 2.3).
    """

    status: int
    proxy_error: str

    def __new__(cls, word: str, status: int, proxy_error: str) -> "Reason":
        """A member whose value is `word`."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.status = status
        member.proxy_error = proxy_error
        return member

    # Refused by a rule; the upstream was not touched.
    RATE = "rate", 429, "http_request_denied"
    PACE = "pace", 429, "http_request_denied"
    CONCURRENCY = "concurrency", 503, "connection_limit_reached"
    QUEUE_TIMEOUT = "queue_timeout", 503, "connection_limit_reached"
    SHED = "shed", 503, "destination_unavailable"
    BREAKER = "breaker_open", 503, "destination_unavailable"
    THROTTLE = "throttled", 503, "destination_unavailable"
    ADVISED = "advised", 429, "http_request_denied"
    DRAINING = "draining", 503, "destination_unavailable"
    CONNECTIONS = "connections", 503, "connection_limit_reached"
    # The upstream failed.
    UPSTREAM_ERROR = "upstream_error", 502, "connection_terminated"
    UPSTREAM_TIMEOUT = "upstream_timeout", 504, "http_response_timeout"
    # Its caller waits no longer, whoever is to blame.
    DEADLINE = "deadline_exceeded", 504, "http_response_timeout"
    # The request itself is at fault.
    BAD_REQUEST = "bad_request", 400, "http_request_error"
    REQUEST_TIMEOUT = "request_timeout", 408, "http_request_error"
    BODY_TOO_LARGE = "body_too_large", 413, "http_request_error"
    HEAD_TOO_LARGE = "head_too_large", 431, "http_request_error"
    NOT_IMPLEMENTED = "not_implemented", 501, "http_request_denied"
    HOST_NOT_ALLOWED = "host_not_allowed", 403, "http_request_denied"
    # Plan B itself is at fault.
    INTERNAL = "internal", 500, "proxy_internal_error"


RETRY_LATER = frozenset(
    {
        Reason.RATE,
        Reason.PACE,
        Reason.CONCURRENCY,
        Reason.QUEUE_TIMEOUT,
        Reason.SHED,
        Reason.BREAKER,
        Reason.THROTTLE,
        Reason.ADVISED,
        Reason.DRAINING,
        Reason.CONNECTIONS,
        Reason.UPSTREAM_ERROR,
        Reason.UPSTREAM_TIMEOUT,
        Reason.DEADLINE,
    }
)
"""The reasons that pass by themselves: their answers carry `Retry-After`."""

REQUEST_AT_FAULT: Final = frozenset(
    {
        Reason.BAD_REQUEST,
        Reason.REQUEST_TIMEOUT,
        Reason.BODY_TOO_LARGE,
        Reason.HEAD_TOO_LARGE,
        Reason.NOT_IMPLEMENTED,
        Reason.HOST_NOT_ALLOWED,
    }
)
"""The reasons that pass by no waiting. The connection is closed after them: its framing can't be
trusted any more, or whoever is at its end asks for what nobody should.
"""
