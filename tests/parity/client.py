"""The client of a parity test."""

import asyncio
import socket
from collections.abc import Sequence
from typing import cast

from tests.parity.messages import Message, read_responses
from tests.parity.shop import NO_LINGERING, Shop


class Client(asyncio.Protocol):
    """One connection. `ended` says how the proxy ended it: "" if it has not.

    `methods` are those of the requests to be sent: they tell which responses have no body.
    """

    def __init__(self, shop: Shop, methods: Sequence[bytes]) -> None:
        self._shop = shop
        self._methods = methods
        self._received = bytearray()
        self.ended = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._shop.activity += 1
        self._received += data

    def eof_received(self) -> None:
        self._shop.activity += 1
        self.ended = "closed"

    def connection_lost(self, exc: Exception | None) -> None:
        self._shop.activity += 1
        self.ended = self.ended or ("reset" if exc else "left")

    def messages(self) -> list[Message]:
        """All responses so far."""
        return list(read_responses(self._received, self._methods))

    def send(self, data: bytes) -> None:
        """Write `data`, unless the proxy has ended the connection."""
        if not self.ended:
            self._transport.write(data)

    def leave(self) -> None:
        """Close in good order."""
        self._transport.close()

    def reset(self) -> None:
        """Close with a RST, if the proxy has not ended the connection."""
        if not self.ended:
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGERING)
            self._transport.abort()
