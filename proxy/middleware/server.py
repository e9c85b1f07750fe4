"""An aiohttp application behind the rules of a listener."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from proxy.middleware.turn import Turn, Turns
from proxy.policy.reasons import REQUEST_AT_FAULT
from proxy.wire.client import client_address

CLIENT_LEFT = 499
"""For the access log only: what nginx writes there when nobody is left to read an answer."""

_TURN = web.RequestKey("turn", Turn)


def server_middleware(turns: Turns, listener: str, unguarded: Handler) -> Middleware:
    """Lets the application's handlers answer what the rules admit, in its turn.

    A request holds its permits as long as its handler works. Handlers' exceptions go on; an
    HTTPException is an answer, and every other one the 500, or 504, that aiohttp makes of it.
    The handler `unguarded` answers at once, always.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.handler == unguarded:
            return await handler(request)
        trusted = turns.engine.rules.listeners[listener].trusted_proxies
        fields = list(request.raw_headers)
        start = (
            request.method.encode("ascii"),
            request.raw_path.encode("utf-8", "surrogateescape"),
            b"%d" % request.version.minor,
        )
        client = client_address(request.remote or "", fields, trusted)
        turn = turns.begin(listener, start, fields, client)
        try:
            reason = await turn.wait()
            if reason is not None:
                response = own_response(turn.answer(reason))
                if reason in REQUEST_AT_FAULT:
                    response.force_close()
                return response
            if request.transport is None:
                # aiohttp lets handlers of clients that have left go on: this one need not begin.
                return web.Response(status=CLIENT_LEFT)
            request[_TURN] = turn
            _limit_body(request, turn)
            return await _handle(request, handler, turn)
        finally:
            turn.end()

    return guard


async def note_head(request: web.Request, response: web.StreamResponse) -> None:
    """Of `on_response_prepare`: the head of a stream or a WebSocket, whose handler works on. A
    calling sidecar is told its share in every head.
    """
    turn = request.get(_TURN)
    if turn is not None:
        turn.answered(response.status)
        for name, value in turn.share():
            response.headers.add(name, value)


def own_response(message: bytes) -> web.Response:
    """A rendered answer as aiohttp's, field by field."""
    head, _, body = message.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    _, status, phrase = status_line.split(" ", 2)
    response = web.Response(status=int(status), reason=phrase, body=body)
    for line in lines:
        name, _, value = line.partition(": ")
        response.headers[name] = value
    return response


async def _handle(request: web.Request, handler: Handler, turn: Turn) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as answer:
        turn.answered(answer.status)
        raise
    except Exception as error:
        # What a handler can't write to a client that has left is no fault of the handler.
        if request.transport is not None:
            turn.answered(504 if isinstance(error, TimeoutError) else 500)
        raise
    turn.answered(response.status)
    return response


def _limit_body(request: web.Request, turn: Turn) -> None:
    """A body of unknown length may still prove too long: `Request.read` will answer 413 then."""
    most = turn.verdict.guard.max_body_bytes
    if most is not None and request.content_length is None:
        # `clone` would make another request of it, without what is noted on this one later.
        request._client_max_size = min(request.client_max_size or most, most)
