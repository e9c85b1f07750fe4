"""RequestFeed: what comes in on a connection, one request at a time."""

import asyncio
from typing import cast

import pytest

from proxy.lanes import request_feed
from proxy.lanes.byte_queue import HIGH_WATER_BYTES
from proxy.lanes.errors import DownstreamError
from proxy.lanes.full_downstream import DownstreamConnection
from proxy.lanes.request_feed import Incoming, RequestFeed
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import ListenerSpec
from tests.lanes.fake_transport import FakeTransport

GET = b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n"
SPEC = ListenerSpec("storefront", "127.0.0.1", 0, "shop", max_head_bytes=1000)


class Connection:
    """As much of a connection as its feed knows of it."""

    def __init__(self) -> None:
        self.transport = FakeTransport()
        self.incoming: list[Incoming] = []
        self.feed = RequestFeed(
            cast("DownstreamConnection", self), asyncio.get_running_loop(), lambda: SPEC
        )

    def data_received(self, data: bytes) -> None:
        messages, upgraded, rest = self.feed.feed_data(data)
        assert not upgraded
        assert rest == b""
        self.incoming += [incoming for incoming, _ in messages]

    def pause_transport(self) -> None:
        self.transport.reading = False

    def resume_transport(self) -> None:
        self.transport.reading = True

    def half_close(self) -> bool:
        if self.transport.closing:
            return False
        self.transport.write_eof()
        return True


async def test_the_next_request_is_parsed_only_when_its_turn_has_come() -> None:
    connection = Connection()
    connection.data_received(GET + POST + b"abc" + GET)
    assert len(connection.incoming) == 1
    connection.feed.next()
    assert len(connection.incoming) == 2
    assert await connection.incoming[1].body.read() == b"abc"
    assert connection.incoming[1].body.is_eof()
    connection.feed.next()
    connection.feed.next()
    assert len(connection.incoming) == 3
    assert connection.feed.idle


async def test_a_request_in_pieces_is_the_same_request() -> None:
    connection = Connection()
    data = CHUNKED + b"3;x\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"
    for position in range(len(data)):
        connection.data_received(data[position : position + 1])
    (incoming,) = connection.incoming
    assert incoming.head is not None
    assert incoming.body.is_eof()
    assert await incoming.body.read() == b"abc"
    assert connection.feed.trailers == [(b"X-Sum", b"1")]


async def test_it_tells_a_head_that_has_begun_from_idleness() -> None:
    connection = Connection()
    seen = [(connection.feed.idle, connection.feed.in_head)]
    for part in (GET[:5], GET[5:]):
        connection.data_received(part)
        seen.append((connection.feed.idle, connection.feed.in_head))
    assert seen == [(True, False), (False, True), (False, False)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"nonsense\r\n\r\n", Reason.BAD_REQUEST),
        (GET[:-2] + b"X: " + b"x" * 1000, Reason.HEAD_TOO_LARGE),
        (
            CHUNKED.replace(b"chunked", b"gzip, chunked"),
            Reason.NOT_IMPLEMENTED,
        ),
    ],
)
async def test_what_is_wrong_with_a_head_comes_in_its_place(data: bytes, reason: Reason) -> None:
    connection = Connection()
    connection.data_received(data + GET)
    connection.data_received(GET)
    (incoming,) = connection.incoming
    assert incoming.head is None
    assert incoming.error is not None
    assert incoming.error.reason is reason
    assert incoming.body.is_eof()


async def test_what_is_wrong_with_a_body_ends_it_and_nothing_follows() -> None:
    connection = Connection()
    connection.data_received(CHUNKED + b"3\r\nabc\r\n")
    connection.data_received(b"3\r\ndef\r\nzz\r\n")
    connection.data_received(GET)
    (incoming,) = connection.incoming
    assert await incoming.body.read() == b"abc"
    with pytest.raises(DownstreamError) as caught:
        await incoming.body.read()
    assert caught.value.reason is Reason.BAD_REQUEST


async def test_a_late_head_takes_what_came_of_it() -> None:
    connection = Connection()
    connection.data_received(GET[:5])
    incoming = connection.feed.time_out()
    assert incoming.error is not None
    assert incoming.error.reason is Reason.REQUEST_TIMEOUT
    connection.data_received(GET[5:] + GET)
    assert connection.incoming == []


async def test_reading_pauses_while_much_is_pipelined() -> None:
    connection = Connection()
    many = HIGH_WATER_BYTES // len(GET) + 2
    connection.data_received(GET * many)
    assert not connection.transport.is_reading()
    for _ in range(many - 1):
        connection.feed.next()
    assert connection.transport.is_reading()
    assert len(connection.incoming) == many


async def test_a_tunnel_begins_with_what_came_early() -> None:
    connection = Connection()
    connection.data_received(GET + b"early")
    queue = connection.feed.tunnel()
    connection.data_received(b" and late")
    assert await queue.read() == b"early and late"


async def test_discarding_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_feed, "LONGEST_DISCARD", 0.01)
    connection = Connection()
    connection.data_received(POST)
    connection.pause_transport()
    await asyncio.wait_for(connection.feed.discard(), 5)
    assert connection.transport.half_closed
    assert connection.transport.is_reading()


async def test_discarding_ends_when_too_much_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_feed, "MOST_DISCARDED_BYTES", 1000)
    connection = Connection()
    connection.data_received(POST)
    discarding = asyncio.create_task(connection.feed.discard())
    await asyncio.sleep(0)
    connection.data_received(b"x" * 1000)
    await asyncio.sleep(0)
    assert not discarding.done()
    connection.data_received(b"x")
    await asyncio.wait_for(discarding, 5)


async def test_nothing_is_discarded_of_a_connection_that_is_gone() -> None:
    connection = Connection()
    connection.data_received(POST)
    connection.transport.closing = True
    await connection.feed.discard()
    assert not connection.transport.half_closed
