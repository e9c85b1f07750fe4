"""What can be wrong with a message."""


class BadMessage(Exception):  # noqa: N818 - the peer's fault, not ours: a verdict on bytes
    """A message that must not go any further: its connection can't be trusted from here on.

    `reason` is for the operator: short, and without any of the peer's text but single bytes in
    hexadecimal. `status` is the answer that a downstream gets, while one can still be sent.
    """

    status = 400

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BadRequest(BadMessage):
    """A request that is malformed or ambiguous (RFC 9110 section 15.5.1)."""


class UnsupportedVersion(BadRequest):
    """A request of another version than HTTP/1.0 and 1.1 (RFC 9110 section 15.6.6)."""

    status = 505


class HeadTooLarge(BadMessage):
    """A request's head or trailer section over its limit (RFC 6585 section 5)."""

    status = 431


class UnsupportedCoding(BadMessage):
    """A request in a transfer coding other than chunked (RFC 9112 section 6.1)."""

    status = 501


class BadResponse(BadMessage):
    """A response that is malformed, ambiguous, or too large in its head."""

    status = 502


class IncompleteMessage(BadMessage):
    """The peer closed the connection within a message's body (RFC 9112 section 8)."""
