"""How connections end: over real sockets, since it is the kernel that is asked."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import cast

import pytest

from proxy.lanes.parting import has_left, reset


class Pair:
    """A transport, and the socket at its other end."""

    def __init__(self, transport: asyncio.Transport, peer: socket.socket) -> None:
        self.transport = transport
        self.peer = peer

    async def until_told(self) -> None:
        """The kernel has taken in what the peer did."""
        await asyncio.sleep(0.02)


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    loop = asyncio.get_running_loop()
    made: asyncio.Future[asyncio.Transport] = loop.create_future()

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            # uvloop's are not of asyncio's class.
            made.set_result(cast("asyncio.Transport", transport))

    server = await loop.create_server(Protocol, "127.0.0.1", 0)
    peer = socket.create_connection(server.sockets[0].getsockname())
    transport = await made
    try:
        yield Pair(transport, peer)
    finally:
        peer.close()
        with contextlib.suppress(Exception):
            transport.abort()
        server.close()
        await asyncio.sleep(0)


async def test_a_reset_is_what_the_peer_sees(pair: Pair) -> None:
    reset(pair.transport)
    await asyncio.sleep(0.01)
    with pytest.raises(ConnectionResetError):
        pair.peer.recv(1)


async def test_a_connection_that_closes_with_bytes_unsent_is_cut_all_the_same(pair: Pair) -> None:
    while not pair.transport.get_write_buffer_size():
        pair.transport.write(bytes(1 << 20))
    pair.transport.close()
    assert pair.transport.is_closing()
    reset(pair.transport)
    assert not pair.transport.get_write_buffer_size()


async def test_a_connection_that_was_lost_can_t_be_cut_again(pair: Pair) -> None:
    pair.transport.abort()
    await asyncio.sleep(0.01)
    reset(pair.transport)
    assert not has_left(pair.transport)


async def test_who_is_there_has_not_left(pair: Pair) -> None:
    pair.transport.pause_reading()
    assert not has_left(pair.transport)
    pair.peer.send(b"next request")
    await pair.until_told()
    assert not has_left(pair.transport)


@pytest.mark.parametrize("unread", [b"", b"next request"])
async def test_who_closes_has_left_unless_it_is_a_tunnel_s_end(pair: Pair, unread: bytes) -> None:
    pair.transport.pause_reading()
    pair.peer.send(unread)
    pair.peer.shutdown(socket.SHUT_WR)
    await pair.until_told()
    assert has_left(pair.transport)
    assert not has_left(pair.transport, tunnel=True)


async def test_who_resets_has_left_even_a_tunnel(pair: Pair) -> None:
    pair.transport.pause_reading()
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pair.peer.close()
    await pair.until_told()
    assert has_left(pair.transport)
    assert has_left(pair.transport, tunnel=True)


async def test_who_is_read_from_is_left_to_the_transport(pair: Pair) -> None:
    assert pair.transport.is_reading()
    pair.peer.shutdown(socket.SHUT_WR)
    # Not a turn of the event loop in between.
    assert not has_left(pair.transport)
