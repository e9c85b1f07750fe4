"""Waiting for a peer that takes bytes slowly, but not for one that takes none."""

import asyncio

from aiohttp.abc import AbstractStreamWriter
from aiohttp.base_protocol import BaseProtocol


async def drain(protocol: BaseProtocol, writer: AbstractStreamWriter, patience: float) -> bool:
    """Until the transport's buffer has room again.

    False when the peer took nothing for `patience` seconds. Raises ConnectionError when the
    connection is lost meanwhile.
    """
    waiting = asyncio.ensure_future(writer.drain())
    # Never cancelled: aiohttp keeps one waiter for all who drain, and whoever came to a cancelled
    # one would be cancelled as well. It ends with the connection at the latest.
    waiting.add_done_callback(_ignore)
    while True:
        transport = protocol.transport
        before = 0 if transport is None else transport.get_write_buffer_size()
        await asyncio.wait({waiting}, timeout=patience)
        if waiting.done():
            waiting.result()
            return True
        transport = protocol.transport
        if transport is None or transport.get_write_buffer_size() >= before:
            return False


def _ignore(waiting: asyncio.Future[None]) -> None:
    """Nobody may be there any more to be told of a connection's loss."""
    if not waiting.cancelled():
        waiting.exception()
