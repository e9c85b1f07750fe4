"""An upgraded connection: bytes both ways, as they come."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from proxy.lanes.byte_queue import ByteQueue
from proxy.lanes.full_upstream import UpstreamConnection

if TYPE_CHECKING:
    from proxy.lanes.exchange import Exchange


async def tunnel(
    exchange: "Exchange", upstream: UpstreamConnection, from_upstream: ByteQueue, silence: float
) -> None:
    """Passes bytes both ways until one side ends, or both are silent for `silence` seconds."""
    from_client = exchange.incoming.connection.feed.tunnel()

    def received(size: int) -> None:
        exchange.bytes_in += size

    def sent(size: int) -> None:
        exchange.bytes_out += size

    pumps = [
        asyncio.create_task(_pump(from_client, upstream.write, received)),
        asyncio.create_task(_pump(from_upstream, exchange.write, sent)),
    ]
    try:
        moved = -1
        while moved != exchange.bytes_in + exchange.bytes_out:
            moved = exchange.bytes_in + exchange.bytes_out
            done, _ = await asyncio.wait(
                pumps, timeout=silence, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                break
    finally:
        for pump in pumps:
            pump.cancel()
        # How one side went is of no interest: the other can only be told by closing.
        await asyncio.gather(*pumps, return_exceptions=True)
        # What a client sent last, just before it left.
        if (last := from_client.read_nowait()) and not upstream.transport.is_closing():
            upstream.transport.write(last)


async def _pump(
    source: ByteQueue, write: Callable[[bytes], Awaitable[None]], count: Callable[[int], None]
) -> None:
    while data := await source.read():
        count(len(data))
        await write(data)
