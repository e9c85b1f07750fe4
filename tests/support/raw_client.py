"""A client that sends exactly the bytes it is told to and reads strictly."""

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

from tests.support.messages import PeerLeftError, Response, read_body, read_response_head
from tests.support.websocket import Frame, read_frame

LONGEST_HEAD_BYTES = 1 << 20


class RawClient:
    """One connection: `async with RawClient(port) as client`.

    Every wait ends after `timeout` seconds with TimeoutError, so no test hangs.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", timeout: float = 5.0) -> None:
        self.port = port
        self.host = host
        self.timeout = timeout

    async def __aenter__(self) -> Self:
        async with asyncio.timeout(self.timeout):
            self._reader, self._writer = await asyncio.open_connection(
                self.host, self.port, limit=LONGEST_HEAD_BYTES
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):  # a peer's reset; reads and writes have told the test
            await self._writer.wait_closed()

    @property
    def local_port(self) -> int:
        """This end's port."""
        return int(self._writer.get_extra_info("sockname")[1])

    async def send(self, data: bytes) -> None:
        """Write `data`; returns when the kernel has taken all but the last 64 KiB or so."""
        self._writer.write(data)
        async with asyncio.timeout(self.timeout):
            await self._writer.drain()

    def half_close(self) -> None:
        """Say that nothing more will be sent (FIN); reading goes on."""
        self._writer.write_eof()

    async def reset(self) -> None:
        """Close with a RST."""
        reset(self._writer)
        await asyncio.sleep(0)

    async def read_some(self, size: int = 65536) -> bytes:
        """At least one byte, at most `size`; empty when the peer closed."""
        async with asyncio.timeout(self.timeout):
            return await self._reader.read(size)

    async def read_exactly(self, size: int) -> bytes:
        """`size` bytes; PeerLeftError when the peer closes first."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise PeerLeftError(error.partial) from error

    async def read_until(self, separator: bytes) -> bytes:
        """Everything up to and with `separator`; PeerLeftError when the peer closes first."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._reader.readuntil(separator)
        except asyncio.IncompleteReadError as error:
            raise PeerLeftError(error.partial) from error

    async def read_to_end(self) -> bytes:
        """Everything until the peer closes."""
        async with asyncio.timeout(self.timeout):
            return await self._reader.read()

    async def is_closed_by_peer(self) -> bool:
        """Wait for the peer's close or reset: True; fails when bytes come instead."""
        try:
            data = await self.read_some()
        except ConnectionError:
            return True
        if data:
            raise AssertionError(f"bytes instead of a close: {data!r}")
        return True

    async def read_head(self) -> Response:
        """A response's head alone; its body is left to be read."""
        async with asyncio.timeout(self.timeout):
            return await read_response_head(self._reader)

    async def read_response(self, method: str = "GET") -> Response:
        """The next response, whole; interim ones (1xx) are returned as they come.

        `method` is the request's: a response to HEAD has no body, one to CONNECT may be a tunnel.
        """
        async with asyncio.timeout(self.timeout):
            response = await read_response_head(self._reader)
            bodyless = response.status < 200 or response.status in (204, 304) or method == "HEAD"
            if not bodyless:
                await read_body(self._reader, response)
            return response

    async def read_frame(self) -> Frame:
        """The next WebSocket frame of a server."""
        async with asyncio.timeout(self.timeout):
            return await read_frame(self._reader, masked=False)

    async def get(self, target: str, *lines: str) -> Response:
        """GET `target` on this connection with further field `lines`, and read the response."""
        await self.send(request_head("GET", target, *lines))
        return await self.read_response()


def request_head(method: str, target: str, *lines: str, host: str = "shop.test") -> bytes:
    """A request's head with `Host` and further field `lines`."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode(
        "latin-1"
    )


async def fetch(port: int, data: bytes, *, method: str = "GET", within: float = 5.0) -> Response:
    """Send `data` on a new connection and read its final response."""
    async with RawClient(port, timeout=within) as client:
        await client.send(data)
        response = await client.read_response(method)
        while response.status < 200 and response.status != 101:
            response = await client.read_response(method)
        return response


def reset(writer: asyncio.StreamWriter) -> None:
    """Close `writer` with a RST: no lingering, unsent bytes are dropped (socket(7), SO_LINGER)."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
