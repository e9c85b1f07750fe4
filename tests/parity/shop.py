"""The upstream of a parity test: answers as the case says, and records what it was asked."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import cast

from tests.parity.cases import End, Reply
from tests.parity.messages import Message, read_request

NO_LINGERING = struct.pack("ii", 1, 0)
"""The value of SO_LINGER with which closing is a reset (socket(7))."""


class Shop:
    """Listens on a free loopback port. `requests` are those since `begin`, in order of arrival.

    `moment` lets the proxy read what was sent; `activity` goes up with everything that happens.
    """

    def __init__(self, moment: Callable[[], Awaitable[None]]) -> None:
        self.moment = moment
        self.port = 0
        self.activity = 0
        self.requests: list[Message] = []
        self.silent = False
        self.reply: Reply | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.connections: set[_Connection] = set()

    async def open(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more, and leave everybody."""
        self._server.close()
        self.hang_up()

    def begin(self, reply: Reply | None) -> None:
        """A case begins."""
        self.requests.clear()
        self.reply = reply

    def reply_to(self, index: int) -> Reply | None:
        """How the request at `index` of this case is to be answered; None: plainly."""
        reply = self.reply
        return reply if reply is not None and reply.skip == index else None

    def hang_up(self) -> None:
        """Close all connections but those on which somebody waits for an answer in vain."""
        for task in self.tasks:
            task.cancel()
        for connection in list(self.connections):
            if not connection.silent:
                connection.transport.abort()


class _Connection(asyncio.Protocol):
    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._buffer = bytearray()
        self._index: int | None = None
        self._reply: Reply | None = None
        self._in_tunnel = False
        self.silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._shop.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shop.connections.discard(self)
        self._shop.activity += 1

    def data_received(self, data: bytes) -> None:
        self._shop.activity += 1
        self._buffer += data
        while self._buffer and not self._in_tunnel:
            read = read_request(self._buffer)
            if read is None:
                return
            message, end = read
            self._note(message)
            if not message.complete:
                return
            del self._buffer[:end]
            self._index = None
            self._answer(message)
        if self._buffer:
            self.transport.write(bytes(self._buffer).swapcase())
            self._buffer.clear()

    def _note(self, message: Message) -> None:
        requests = self._shop.requests
        if self._index is not None and self._index < len(requests):
            requests[self._index] = message
            return
        self._index = len(requests)
        requests.append(message)
        self._reply = self._shop.reply_to(self._index)
        if self._reply is not None and self._reply.early:
            self.transport.write(self._reply.early)
            if not self._reply.pieces:
                # The rest of the request may be on its way, and must not run into a close.
                self._begin(self._reply)

    def _answer(self, request: Message) -> None:
        if self._shop.silent:
            self.silent = True
        elif self._reply is None:
            self.transport.write(plain(request))
        elif self._reply.pieces or not self._reply.early:
            self._begin(self._reply)

    def _begin(self, reply: Reply) -> None:
        task = asyncio.get_running_loop().create_task(self._follow(reply))
        self._shop.tasks.add(task)
        task.add_done_callback(self._shop.tasks.discard)

    async def _follow(self, reply: Reply) -> None:
        moment = self._shop.moment
        for index, piece in enumerate(reply.pieces):
            if index:
                await moment()
            if self.transport.is_closing():
                # The proxy has seen enough.
                return
            self.transport.write(piece)
        if not reply.at_once:
            await moment()
        self._end(reply.end)

    def _end(self, end: End) -> None:
        self._shop.activity += 1
        if self.transport.is_closing():
            return
        if end is End.CLOSE:
            self.transport.close()
        elif end is End.RESET:
            connection: socket.socket = self.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
            self.transport.abort()
        elif end is End.TUNNEL:
            self._in_tunnel = True


def plain(request: Message) -> bytes:
    """A 200 that repeats the request's method and target; the body is left out for HEAD."""
    method, target, _ = request.start.split(b" ")
    body = b"%b %b %d" % (method, target, len(request.body))
    head = b"HTTP/1.1 200 OK\r\nX-Shop: yes\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head if method == b"HEAD" else head + body
