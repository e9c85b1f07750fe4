"""A `ClientResponse` that no server has sent."""

import asyncio
from typing import Any

from aiohttp import ClientRequest, ClientResponse
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import TimerNoop
from aiohttp.http import StreamWriter


async def made_response(request: ClientRequest, message: bytes) -> ClientResponse:
    """`message`, a whole response, as the answer to `request`, which is not sent.

    aiohttp's own parser reads it, so it is as good as any other: complete, and its connection
    released before it is returned.
    """
    loop = asyncio.get_running_loop()
    protocol = ResponseHandler(loop)
    # The whole is there: nothing must pause a transport that does not exist.
    protocol.set_response_params(skip_payload=request.method == "HEAD", read_bufsize=len(message))
    protocol.data_received(message)
    response = request.response_class(
        request.method,
        request.original_url,
        writer=None,
        continue100=None,
        timer=TimerNoop(),
        request_info=request.request_info,
        traces=[],
        loop=loop,
        session=request.session,
        stream_writer=StreamWriter(protocol, loop),
    )
    connection: Any = _Unconnected(protocol)
    return await response.start(connection)


class _Unconnected:
    """What a response asks of aiohttp's connections, until its end has come."""

    def __init__(self, protocol: ResponseHandler) -> None:
        self.protocol = protocol

    def release(self) -> None:
        """Nothing was taken."""

    close = release
