"""Waiting for a peer that takes bytes slowly, but not for one that takes none."""

import asyncio
import fcntl
import struct
import termios

from aiohttp.abc import AbstractStreamWriter
from aiohttp.base_protocol import BaseProtocol

_INT = struct.Struct("i")


async def drain(
    protocol: BaseProtocol,
    writer: AbstractStreamWriter,
    patience: float,
    *,
    unless: asyncio.Future[None] | None = None,
) -> bool:
    """Until the transport's buffer has room again, or `unless` is done.

    False when the peer took nothing for `patience` seconds. Raises ConnectionError when the
    connection is lost meanwhile.
    """
    waiting = asyncio.ensure_future(writer.drain())
    # Never cancelled: aiohttp keeps one waiter for all who drain, and whoever came to a cancelled
    # one would be cancelled as well. It ends with the connection at the latest.
    waiting.add_done_callback(_ignore)
    ends = {waiting} if unless is None else {waiting, unless}
    while True:
        before = untaken(protocol.transport)
        await asyncio.wait(ends, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            waiting.result()
            return True
        if unless is not None and unless.done():
            return True
        if untaken(protocol.transport) >= before:
            return False


def untaken(transport: asyncio.Transport | None) -> int:
    """Bytes that the peer has not taken: the transport's, and the kernel's where it tells.

    A transport's buffer shrinks in steps of what a kernel takes at once, which for a peer that
    reads slowly but steadily are far apart (TIOCOUTQ: tcp(7), unix(7)).
    """
    if transport is None:
        return 0
    untaken = transport.get_write_buffer_size()
    if (connection := transport.get_extra_info("socket")) is None:
        return untaken
    try:
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    except (OSError, ValueError):
        # Not on this platform, or closed meanwhile.
        return untaken
    return untaken + int(_INT.unpack(queued)[0])


def _ignore(waiting: asyncio.Future[None]) -> None:
    """Nobody may be there any more to be told of a connection's loss."""
    if not waiting.cancelled():
        waiting.exception()
