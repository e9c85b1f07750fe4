"""An upstream that does as its script says, down to the byte, and records what it received."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from tests.support.messages import (
    PeerLeftError,
    Request,
    read_body,
    read_request_head,
)
from tests.support.raw_client import LONGEST_HEAD_BYTES, reset

Script = Callable[["Peer"], Awaitable[None]]
"""What an origin does with one connection. It is closed when the script returns."""


class Peer:
    """One accepted connection, as a script sees it.

    `received` holds every byte that arrived, read by the script or not.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = bytearray()
        self.requests: list[Request] = []
        self.left = asyncio.Event()
        """Set when the other side has closed or reset."""
        self._ended = False

    async def read_request(self) -> Request | None:
        """The next request with its body; None when the peer closed between two."""
        request = await self.read_request_head()
        if request is not None:
            await read_body(self.reader, request)
        return request

    async def read_request_head(self) -> Request | None:
        """The next request's head; its body is left to be read. None when the peer closed."""
        request = await read_request_head(self.reader)
        if request is not None:
            self.requests.append(request)
        return request

    async def read_body(self, request: Request) -> None:
        """Read what `request`'s fields announce into it."""
        await read_body(self.reader, request)

    async def send(self, data: bytes) -> None:
        """Write `data`, waiting for a slow peer; fails after `close` or `reset`."""
        if self._ended:
            raise AssertionError(f"the script sends {data[:40]!r} after it closed")
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, *, size: int = 1, interval: float = 0.01) -> None:
        """Send `data` in pieces of `size` bytes, `interval` seconds apart."""
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            await asyncio.sleep(interval)

    async def stall(self) -> None:
        """Say nothing until the peer leaves or the test ends."""
        await self.left.wait()

    def half_close(self) -> None:
        """Say that nothing more will be sent; reading goes on."""
        self._end()
        self.writer.write_eof()

    def close(self) -> None:
        """Close in good order, after what was sent."""
        self._end()
        self.writer.close()

    def reset(self) -> None:
        """Close with a RST; what was not yet delivered is lost."""
        self._end()
        reset(self.writer)

    def _end(self) -> None:
        if self._ended:
            raise AssertionError("the script closes twice")
        self._ended = True


class _RecordingProtocol(asyncio.StreamReaderProtocol):
    """A stream that shows its bytes on arrival, before anyone reads them."""

    def __init__(self, origin: "RawOrigin") -> None:
        self._origin = origin
        self._peer: Peer | None = None
        self._reader = asyncio.StreamReader(limit=LONGEST_HEAD_BYTES)
        super().__init__(self._reader, self._accept)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peer = Peer(reader, writer)
        self._origin._start(self._peer)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None and self._origin.records:
            self._peer.received += data
        super().data_received(data)

    def eof_received(self) -> bool | None:
        if self._peer is not None:
            self._peer.left.set()
        return super().eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        if self._peer is not None:
            self._peer.left.set()
        super().connection_lost(error)


class RawOrigin:
    """Listens on a free port of `host`, a loopback address, and runs `script` for every connection.

    A script that fails, fails the test when the origin closes; one that still runs then (it
    stalls, say) is cancelled. A peer that leaves in the middle of a message fails the test too,
    unless the script expects PeerLeftError or `peers_may_leave` is set. `records=False` keeps no
    received bytes, for large bodies.
    """

    def __init__(
        self,
        script: Script,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        records: bool = True,
        peers_may_leave: bool = False,
    ) -> None:
        self.script = script
        self.host = host
        self.port = port
        self.records = records
        self.peers_may_leave = peers_may_leave
        self.peers: list[Peer] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        failures = await self.close()
        if failures and error is None:
            raise ExceptionGroup("the origin's script failed", failures)
        for failure in failures:
            assert error is not None
            error.add_note(f"the origin's script failed: {failure!r}")

    async def open(self) -> None:
        """Listen; `port` is set afterwards. An origin that was closed may be opened again."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _RecordingProtocol(self), self.host, self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> list[Exception]:
        """Stop listening, reset all connections, and return the scripts' failures."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for peer in self.peers:
            transport = peer.writer.transport
            # asyncio's transports can't be aborted once they have closed.
            if transport.get_extra_info("socket").fileno() >= 0:
                transport.abort()
        await asyncio.sleep(0)
        return [outcome for outcome in outcomes if isinstance(outcome, Exception)]

    @property
    def url(self) -> str:
        """The origin's URL, without a path."""
        return f"http://{self.host}:{self.port}"

    @property
    def received(self) -> bytes:
        """Everything that arrived on all connections, in order of their opening."""
        return b"".join(bytes(peer.received) for peer in self.peers)

    @property
    def requests(self) -> list[Request]:
        """The requests that scripts have read, in order of their connections' opening."""
        return [request for peer in self.peers for request in peer.requests]

    def _start(self, peer: Peer) -> None:
        self.peers.append(peer)
        self._tasks.append(asyncio.create_task(self._run(peer)))

    async def _run(self, peer: Peer) -> None:
        try:
            await self.script(peer)
        except (PeerLeftError, ConnectionError):
            if not self.peers_may_leave:
                raise
        finally:
            if not peer.writer.is_closing():
                peer.writer.close()


def answering(*answers: bytes | Callable[[Request], bytes]) -> Script:
    """A script that answers each request, over all connections, with the next of `answers`.

    The last one is repeated. An answer is bytes, or a function of the request.
    """
    return _Answering(answers)


class _Answering:
    def __init__(self, answers: Sequence[bytes | Callable[[Request], bytes]]) -> None:
        self._answers = answers
        self._next = 0

    async def __call__(self, peer: Peer) -> None:
        while (request := await peer.read_request()) is not None:
            answer = self._answers[min(self._next, len(self._answers) - 1)]
            self._next += 1
            await peer.send(answer if isinstance(answer, bytes) else answer(request))


def ok(body: bytes = b"ok", *lines: str) -> bytes:
    """A 200 response with `body`, its Content-Length and further field `lines`."""
    return response(200, "OK", body, *lines)


def response(status: int, reason: str, body: bytes, *lines: str) -> bytes:
    """A response with `body`, its Content-Length and further field `lines`."""
    head = "\r\n".join(
        [f"HTTP/1.1 {status} {reason}", *lines, f"Content-Length: {len(body)}", "", ""]
    )
    return head.encode("latin-1") + body


def chunked(body: bytes, size: int = 1000) -> bytes:
    """`body` in chunks of `size` bytes, with the last chunk."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
