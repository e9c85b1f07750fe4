"""ResponseFeed: what an upstream sends in answer to one request."""

import asyncio
from typing import cast

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler

from proxy.lanes.errors import DownstreamError, TravelError, UpstreamError
from proxy.lanes.response_feed import MOST_INTERIM_RESPONSES, ResponseFeed
from proxy.policy.reasons import Reason
from tests.lanes.fake_transport import FakeTransport

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"


class Protocol:
    """As much of aiohttp's connection as its parser knows of it."""

    def __init__(self) -> None:
        self.transport: FakeTransport | None = FakeTransport()
        self.error: BaseException | None = None

    def exception(self) -> BaseException | None:
        return self.error


class Upstream:
    def __init__(self, method: bytes = b"GET") -> None:
        self.protocol = Protocol()
        self.feed = ResponseFeed(
            cast("ResponseHandler", self.protocol), asyncio.get_running_loop(), method
        )

    def send(self, data: bytes) -> None:
        assert self.feed.feed_data(data) == (False, b"")

    async def leave(self, *, reset: bool = False) -> None:
        # As aiohttp does: the parser first, then the reason.
        self.protocol.transport = None
        self.feed.feed_eof()
        self.protocol.error = (
            aiohttp.ClientOSError() if reset else aiohttp.ServerDisconnectedError()
        )
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (LENGTH + b"abc", b"abc"),
        (CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
    ],
)
async def test_a_complete_response_leaves_the_connection_reusable(
    data: bytes, content: bytes
) -> None:
    upstream = Upstream()
    for position in range(len(data)):
        assert not upstream.feed.reusable
        upstream.send(data[position : position + 1])
    await upstream.feed.head()
    assert upstream.feed.body.read_nowait() == content
    assert upstream.feed.body.is_eof()
    assert upstream.feed.reusable


async def test_a_response_to_head_has_no_body() -> None:
    upstream = Upstream(b"HEAD")
    upstream.send(LENGTH)
    assert (await upstream.feed.head()).length == 3
    assert upstream.feed.body.is_eof()
    assert upstream.feed.reusable


@pytest.mark.parametrize(
    "data",
    [
        LENGTH + b"abcd",
        CHUNKED + b"0\r\n\r\nx",
        b"HTTP/1.1 204 No Content\r\n\r\nx",
        LENGTH.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n") + b"abc",
        LENGTH.replace(b"1.1", b"1.0") + b"abc",
    ],
)
async def test_a_connection_that_may_be_out_of_step_is_not_reusable(data: bytes) -> None:
    upstream = Upstream()
    upstream.send(data)
    await upstream.feed.head()
    assert upstream.feed.body.is_eof()
    assert not upstream.feed.reusable


async def test_bytes_that_come_after_the_end_spoil_the_connection() -> None:
    upstream = Upstream()
    reusable = []
    for data in (LENGTH + b"abc", b"x"):
        upstream.send(data)
        reusable.append(upstream.feed.reusable)
    assert reusable == [True, False]
    assert upstream.feed.body.read_nowait() == b"abc"


async def test_interim_heads_come_before_the_final_one() -> None:
    upstream = Upstream()
    upstream.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\n\r\n" + LENGTH)
    assert [(await upstream.feed.head()).status for _ in range(3)] == [100, 103, 200]


async def test_there_is_an_end_to_interim_heads() -> None:
    upstream = Upstream()
    upstream.send(b"HTTP/1.1 103 E\r\n\r\n" * (MOST_INTERIM_RESPONSES + 1))
    for _ in range(MOST_INTERIM_RESPONSES):
        await upstream.feed.head()
    with pytest.raises(UpstreamError):
        await upstream.feed.head()


async def test_a_close_ends_a_body_without_a_length_and_a_reset_does_not() -> None:
    closed, reset = Upstream(), Upstream()
    for upstream in (closed, reset):
        upstream.send(UNTIL_CLOSE + b"abc")
        await upstream.feed.head()
    await closed.leave()
    await reset.leave(reset=True)
    assert await closed.feed.body.read() == await reset.feed.body.read() == b"abc"
    assert await closed.feed.body.read() == b""
    with pytest.raises(UpstreamError):
        await reset.feed.body.read()
    assert not closed.feed.reusable


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200", b"HTTP/1.1 103 E\r\n\r\n"])
async def test_leaving_before_the_final_head_fails_it(data: bytes) -> None:
    upstream = Upstream()
    upstream.send(data)
    if data.endswith(b"\r\n\r\n"):
        await upstream.feed.head()
    waiting = asyncio.create_task(upstream.feed.head())
    await asyncio.sleep(0)
    await upstream.leave()
    with pytest.raises(UpstreamError) as caught:
        await waiting
    assert caught.value.reason is Reason.UPSTREAM_ERROR


@pytest.mark.parametrize("data", [LENGTH + b"ab", CHUNKED + b"2\r\nab\r\n"])
async def test_leaving_within_a_body_fails_it(data: bytes) -> None:
    upstream = Upstream()
    upstream.send(data)
    await upstream.leave()
    assert await upstream.feed.body.read() == b"ab"
    with pytest.raises(UpstreamError):
        await upstream.feed.body.read()


async def test_leaving_after_the_end_is_no_failure() -> None:
    upstream = Upstream()
    upstream.send(LENGTH + b"abc")
    await upstream.leave()
    assert (await upstream.feed.head()).status == 200
    assert await upstream.feed.body.read() == b"abc"
    assert await upstream.feed.body.read() == b""
    assert not upstream.feed.reusable


async def test_after_a_failure_nothing_more_is_taken() -> None:
    upstream = Upstream()
    error = DownstreamError(Reason.BODY_TOO_LARGE, "too large")
    upstream.feed.fail(error)
    upstream.send(LENGTH + b"abc")
    with pytest.raises(TravelError) as caught:
        await upstream.feed.head()
    assert caught.value is error
    assert upstream.feed.body.read_nowait() == b""
