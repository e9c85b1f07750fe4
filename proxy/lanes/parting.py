"""How connections end: cut by us, or left by a peer that nobody was reading from."""

import asyncio
import select
import socket
import struct

NO_LINGERING = struct.pack("ii", 1, 0)
"""The value of SO_LINGER with which closing is a reset (socket(7))."""

_PEER_CLOSED: int = getattr(select, "POLLRDHUP", 0)
"""The event of a client's close, with bytes of it unread, too (poll(2)); Linux only."""


def reset(transport: asyncio.Transport) -> None:
    """Cuts a connection by a reset: an orderly close would end an answer without a length."""
    if not transport.is_closing():
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
    transport.abort()


def has_left(transport: asyncio.Transport, *, tunnel: bool = False) -> bool:
    """Whether the client has left while nothing was read from it.

    While a slow upstream, or a wait, keeps a transport paused, only the kernel knows. A client
    that closes has left, as it has when it is read from; only a `tunnel`'s last words are waited
    for.
    """
    if transport.is_closing() or transport.is_reading():
        return False
    poll = select.poll()
    # A reset is always told.
    poll.register(transport.get_extra_info("socket").fileno(), 0 if tunnel else _PEER_CLOSED)
    return bool(poll.poll(0))
