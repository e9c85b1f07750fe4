"""An aiohttp session's requests under the rules of a listener."""

from contextvars import ContextVar

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientMiddlewareType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ServerDisconnectedError,
)
from aiohttp.client import IDEMPOTENT_METHODS
from aiohttp.helpers import BaseTimerContext

from proxy.middleware.made_response import made_response
from proxy.middleware.turn import Turn, Turns
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import ListenerSpec
from proxy.wire.grammar import Field
from proxy.wire.outbound import upstream_asked_for

_sent_again: ContextVar[BaseTimerContext | None] = ContextVar("sent_again", default=None)
"""The timer, which is one for all its attempts, of the call that aiohttp is about to repeat."""


def client_middleware(turns: Turns, listener: str) -> ClientMiddlewareType:
    """Sends what the rules admit, in its turn. What they refuse is answered here, by a response
    like any other, and not sent. What fails, fails as without us, unless the page for that is a
    default: one with a status below 400.

    A request holds its permits until its response has come to its end, or is closed.
    """

    async def guard(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        start = _start(request, turns.engine.rules.listeners[listener])
        turn = turns.begin(listener, start, _fields(request), "")
        try:
            # The session's own timer, as responses use it: its end is a TimeoutError here already.
            with request._timer:
                refused = await turn.wait()
                if refused is None:
                    if said := turn.caller():
                        request.headers["Planb-Caller"] = said
                    response = await handler(request)
                else:
                    response = await made_response(request, turn.answer(refused))
        except (ClientError, OSError) as failure:
            default = await _in_place_of(failure, request, turn)
            if default is None:
                raise
            return default
        except BaseException:
            turn.abandoned()
            turn.end()
            raise
        turn.answered(response.status, response.raw_headers)
        if response.connection is None:
            turn.end()
        else:
            response.connection.add_callback(turn.end)
        return response

    return guard


async def _in_place_of(
    failure: Exception, request: ClientRequest, turn: Turn
) -> ClientResponse | None:
    """The default that the rules have for a failure, if they have one. It ends the turn."""
    if not turn.sent or _will_be_sent_again(request, failure):
        # A connection that the callee had closed meanwhile says nothing of the callee.
        turn.end()
        return None
    timed_out = isinstance(failure, TimeoutError)
    reason = Reason.UPSTREAM_TIMEOUT if timed_out else Reason.UPSTREAM_ERROR
    turn.abandoned()
    try:
        if turn.verdict.guard.answers[reason].status >= 400:
            return None
        return await made_response(request, turn.answer(reason))
    finally:
        turn.end(reason)


def _will_be_sent_again(request: ClientRequest, failure: Exception) -> bool:
    """Whether aiohttp sends the request once more, as it does where a kept connection was closed
    before there was an answer (RFC 9110 section 9.2.2). It comes by here again then.
    """
    timer = request._timer
    if (
        request.method not in IDEMPOTENT_METHODS
        or not request.session._retry_connection
        or not isinstance(failure, ServerDisconnectedError | ClientOSError)
        or isinstance(failure, ClientConnectorError)
        or _sent_again.get() is timer
    ):
        return False
    _sent_again.set(timer)
    return True


def _start(request: ClientRequest, listener: ListenerSpec) -> tuple[bytes, bytes, bytes]:
    """As the listener would get it, of a program that takes it for its proxy if that has `hosts`:
    what is in none of them is for its upstream, if it has one.
    """
    target = str(request.url).encode("ascii")
    if listener.upstream and not upstream_asked_for(target, "", listener.hosts):
        target = request.url.raw_path_qs.encode("ascii")
    return request.method.encode("ascii"), target, b"%d" % request.version.minor


def _fields(request: ClientRequest) -> list[Field]:
    return [
        (name.encode(errors="replace"), value.encode(errors="replace"))
        for name, value in request.headers.items()
    ]
