"""An upstream with a page for everything that tests of a whole proxy ask for."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping

from tests.support import websocket
from tests.support.messages import Request
from tests.support.origin import Peer, RawOrigin, ok, response

Handler = Callable[[Peer, Request], Awaitable[None]]
"""Answers one request whose head alone was read; must read its body (`peer.read_body`) or close."""

_BLOCK = bytes(range(256)) * 256


class HttpOrigin(RawOrigin):
    """A RawOrigin that speaks HTTP; clients may leave whenever they like.

    | target | answers with |
    |---|---|
    | `/bytes/N` | N bytes with a Content-Length |
    | `/chunked/N` | N bytes in chunks |
    | `/until-close/N` | N bytes that end with the connection |
    | `/status/N` | status N; 204 and 304 without a body |
    | `/delay/SECONDS` | 200 after a while |
    | `/cookies` | two Set-Cookie fields |
    | `/upload` | `{"length", "sha256"}` of a body that is never held in memory as a whole |
    | `/events` | server-sent events: whatever the test puts into `events`, until None |
    | `/websocket` | an echo of each frame until a close frame |
    | `/reset` | a RST |
    | `/stall` | nothing |
    | anything else | the request as JSON, see `echo` |

    A HEAD request gets the head alone. `handlers` (by path, without query) go before these.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler] | None = None,
        *,
        port: int = 0,
        records: bool = True,
    ) -> None:
        super().__init__(self._serve, port=port, records=records, peers_may_leave=True)
        self.events: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._handlers = {
            "bytes": _sized,
            "chunked": _chunked,
            "until-close": _until_close,
            "status": _status,
            "delay": _delay,
            "cookies": _cookies,
            "upload": _upload,
            "events": self._events,
            "websocket": _websocket,
            "reset": _reset,
            "stall": _stall,
        }
        self._given = dict(handlers or {})

    async def _serve(self, peer: Peer) -> None:
        while (request := await peer.read_request_head()) is not None:
            if (request.header("expect") or "").lower() == "100-continue":
                await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            handler = self._given.get(_path(request)) or self._handlers.get(_parts(request)[0])
            await (handler or echo)(peer, request)
            if peer.writer.is_closing() or (request.header("connection") or "").lower() == "close":
                return

    async def _events(self, peer: Peer, request: Request) -> None:
        await peer.read_body(request)
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while (event := await self.events.get()) is not None:
            await peer.send(b"%x\r\n%b\r\n" % (len(event), event))
        await peer.send(b"0\r\n\r\n")


async def echo(peer: Peer, request: Request) -> None:
    """The request as JSON, bytes as Latin-1: `method`, `target`, `version`, `head` (raw),
    `fields` (pairs) and `body`.
    """
    await peer.read_body(request)
    content = {
        "method": request.method,
        "target": request.target.decode("latin-1"),
        "version": request.version,
        "head": request.head.decode("latin-1"),
        "fields": [
            [name.decode("latin-1"), value.decode("latin-1")] for name, value in request.fields
        ],
        "body": request.body.decode("latin-1"),
    }
    await _reply(peer, request, ok(json.dumps(content).encode(), "Content-Type: application/json"))


def block(size: int) -> bytes:
    """The body of `/bytes/N` and its like: the byte values in order, again and again."""
    return (_BLOCK * (size // len(_BLOCK) + 1))[:size]


async def _sized(peer: Peer, request: Request) -> None:
    size = _number(request)
    await peer.read_body(request)
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    if request.method != "HEAD":
        await _send_block(peer, size)


async def _chunked(peer: Peer, request: Request) -> None:
    await peer.read_body(request)
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    if request.method == "HEAD":
        return
    left = _number(request)
    while left:
        piece = _BLOCK[:left]
        await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        left -= len(piece)
    await peer.send(b"0\r\n\r\n")


async def _until_close(peer: Peer, request: Request) -> None:
    await peer.read_body(request)
    await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    if request.method != "HEAD":
        await _send_block(peer, _number(request))
    peer.close()


async def _status(peer: Peer, request: Request) -> None:
    await peer.read_body(request)
    status = _number(request)
    if status in (204, 304):
        await peer.send(b"HTTP/1.1 %d Scripted\r\n\r\n" % status)
    else:
        await _reply(peer, request, response(status, "Scripted", b"status"))


async def _delay(peer: Peer, request: Request) -> None:
    await peer.read_body(request)
    await asyncio.sleep(float(_parts(request)[1]))
    await _reply(peer, request, ok())


async def _cookies(peer: Peer, request: Request) -> None:
    await peer.read_body(request)
    lines = ("Set-Cookie: sid=1; Path=/; HttpOnly", "Set-Cookie: lang=en; Path=/")
    await _reply(peer, request, ok(b"cookies", *lines))


async def _upload(peer: Peer, request: Request) -> None:
    digest = hashlib.sha256()
    length = 0
    if request.header("transfer-encoding") is not None:
        await peer.read_body(request)
        digest.update(request.body)
        length = len(request.body)
        request.body = b""
    else:
        total = int(request.header("content-length") or 0)
        while length < total:
            piece = await peer.reader.read(min(1 << 18, total - length))
            if not piece:
                raise ConnectionError(f"the peer closed after {length} of {total} bytes")
            digest.update(piece)
            length += len(piece)
    content = json.dumps({"length": length, "sha256": digest.hexdigest()}).encode()
    await _reply(peer, request, ok(content, "Content-Type: application/json"))


async def _websocket(peer: Peer, request: Request) -> None:
    key = request.header("sec-websocket-key")
    if key is None:
        raise AssertionError("a WebSocket request without its key")
    await peer.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % websocket.accept_key(key).encode()
    )
    while True:
        try:
            frame = await websocket.read_frame(peer.reader, masked=True)
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("the peer left without a close frame") from error
        await peer.send(websocket.render_frame(frame.opcode, frame.payload, masked=False))
        if frame.opcode == websocket.CLOSE:
            peer.close()
            return


async def _reset(peer: Peer, request: Request) -> None:
    peer.reset()


async def _stall(peer: Peer, request: Request) -> None:
    await peer.stall()


async def _reply(peer: Peer, request: Request, message: bytes) -> None:
    if request.method == "HEAD":
        message = message[: message.index(b"\r\n\r\n") + 4]
    await peer.send(message)


async def _send_block(peer: Peer, size: int) -> None:
    left = size
    while left:
        await peer.send(_BLOCK[:left])
        left -= min(left, len(_BLOCK))


def _path(request: Request) -> str:
    return request.target.decode("latin-1").partition("?")[0]


def _parts(request: Request) -> list[str]:
    return _path(request).strip("/").split("/")


def _number(request: Request) -> int:
    return int(_parts(request)[1])
