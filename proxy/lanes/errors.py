"""What goes wrong while a request travels, translated once, at the edge where it happens."""

from proxy.policy.reasons import Reason


class TravelError(Exception):
    """Ends an exchange. `reason` is what the client is told, if it can still be told anything."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class DownstreamError(TravelError):
    """The client is at fault: what it sends is malformed, too large or too slow."""


class UpstreamError(TravelError):
    """The upstream is at fault: unreachable, gone, nonsensical or too slow."""


class ServerFailedError(UpstreamError):
    """It answered that it failed, and there is something better to send, or to do."""

    def __init__(self, status: int) -> None:
        super().__init__(Reason.UPSTREAM_ERROR, f"answered {status}")
        self.status = status


class DownstreamStalledError(Exception):
    """The client takes nothing of what it asked for."""
