"""From the express lane to the full one: what goes there, and how."""

import asyncio
from typing import Final

from proxy.lanes.full_downstream import DownstreamConnection
from proxy.wire.fields import max_forwards
from proxy.wire.request_head import RequestHead

_UNUSUAL_METHODS: Final = frozenset({b"CONNECT", b"OPTIONS", b"TRACE"})


def is_unusual(head: RequestHead) -> bool:
    """Whether the full lane has to see to a request: it is not what the express lane speaks."""
    if head.chunked or head.upgrade is not None or head.expect_continue:
        return True
    if head.version != (1, 1):
        return True
    # A browser asks by OPTIONS before many a request to another origin.
    return head.method in _UNUSUAL_METHODS and (
        head.method != b"OPTIONS" or max_forwards(head) is not None
    )


def hand_off(
    transport: asyncio.Transport,
    connection: DownstreamConnection,
    data: bytes,
    *,
    refusals: int,
    late: bool,
) -> None:
    """Goes on with `connection`, to which `data` is as if it had just come; for good.

    No response is in flight and nothing of `data` was decided about. `refusals` are those in a
    row so far; `late`: the head in `data` did not end in time.
    """
    transport.set_protocol(connection)
    connection.connection_made(transport)
    connection.refusals = refusals
    connection.data_received(data)
    if late:
        connection.end_head()
