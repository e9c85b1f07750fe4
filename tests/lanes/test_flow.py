import asyncio
import socket

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import StreamWriter

from proxy.lanes.flow import drain
from tests.lanes.fake_transport import FakeTransport


class Connection:
    """A protocol whose transport takes bytes when the test says so."""

    def __init__(self, **extra: object) -> None:
        loop = asyncio.get_running_loop()
        self.transport = FakeTransport(**extra)
        self.protocol = BaseProtocol(loop)
        # connection_made() would ask for a socket's options.
        self.protocol.transport = self.transport
        self.writer = StreamWriter(self.protocol, loop)
        self.transport.write(b"x" * 100)
        self.protocol.pause_writing()

    def draining(self, patience: float) -> asyncio.Task[bool]:
        return asyncio.create_task(drain(self.protocol, self.writer, patience))

    def take(self, size: int) -> None:
        del self.transport.written[:size]


async def test_draining_ends_when_there_is_room_again() -> None:
    connection = Connection()
    draining = connection.draining(60.0)
    await asyncio.sleep(0)
    connection.protocol.resume_writing()
    assert await draining is True


async def test_a_peer_that_takes_nothing_is_given_up() -> None:
    assert await Connection().draining(0.01) is False


async def test_a_peer_that_takes_a_little_is_waited_for() -> None:
    connection = Connection()
    draining = connection.draining(0.05)
    for _ in range(6):
        await asyncio.sleep(0.02)
        connection.take(10)
    assert not draining.done()
    assert await draining is False


async def test_what_the_kernel_still_sends_is_taken_as_well() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(10):
            ours.send(b"x" * 1000)
        draining = Connection(socket=ours).draining(0.05)
        for _ in range(6):
            await asyncio.sleep(0.02)
            theirs.recv(1000)
        assert not draining.done()
        assert await draining is False


async def test_a_socket_that_is_closed_meanwhile_does_not_matter() -> None:
    closed = socket.socket()
    closed.close()
    assert await Connection(socket=closed).draining(0.01) is False


async def test_a_lost_connection_is_told() -> None:
    connection = Connection()
    draining = connection.draining(60.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    connection.protocol.connection_lost(OSError("reset"))
    with pytest.raises(ConnectionError):
        await draining


async def test_a_cancelled_drain_spoils_no_later_one() -> None:
    connection = Connection()
    first = connection.draining(60.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = connection.draining(60.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    connection.protocol.resume_writing()
    assert await second is True


async def test_nobody_left_to_be_told_is_no_error() -> None:
    failures: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: failures.append(context))
    connection = Connection()
    draining = connection.draining(60.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    draining.cancel()
    await asyncio.gather(draining, return_exceptions=True)
    connection.protocol.connection_lost(OSError("reset"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert failures == []
