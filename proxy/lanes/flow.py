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
    try:
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
    finally:
        # aiohttp keeps one waiter for all who drain; a connection that is given up needs none.
        waiting.cancel()
