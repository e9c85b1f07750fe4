import asyncio

import pytest

from proxy.lanes.byte_queue import HIGH_WATER_BYTES, ByteQueue
from tests.lanes.fake_transport import FakeTransport


def _queue(transport: FakeTransport | None = None) -> ByteQueue:
    return ByteQueue(transport, asyncio.get_running_loop())


async def test_what_is_queued_is_read_at_once_and_the_end_after_it() -> None:
    queue = _queue()
    queue.feed(b"a")
    queue.feed(b"")
    queue.feed(b"b")
    queue.feed_eof()
    assert queue.is_eof()
    assert await queue.read() == b"ab"
    assert await queue.read() == b""
    assert await queue.read() == b""


async def test_a_reader_waits_for_bytes() -> None:
    queue = _queue()
    reading = asyncio.create_task(queue.read())
    await asyncio.sleep(0)
    assert not reading.done()
    queue.feed(b"a")
    assert await reading == b"a"
    assert queue.read_nowait() == b""


async def test_an_exception_comes_after_what_was_queued() -> None:
    queue = _queue()
    queue.feed(b"a")
    queue.set_exception(ConnectionResetError())
    assert await queue.read() == b"a"
    with pytest.raises(ConnectionResetError):
        await queue.read()


async def test_an_exception_wakes_the_reader() -> None:
    queue = _queue()
    reading = asyncio.create_task(queue.read())
    await asyncio.sleep(0)
    queue.set_exception(ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        await reading


async def test_the_first_exception_counts_and_none_after_the_end() -> None:
    queue = _queue()
    queue.set_exception(ConnectionResetError())
    queue.set_exception(ValueError())
    assert isinstance(queue.exception(), ConnectionResetError)
    ended = _queue()
    ended.feed_eof()
    ended.set_exception(ValueError())
    assert await ended.read() == b""


async def test_a_full_queue_pauses_the_transport_until_it_is_read() -> None:
    transport = FakeTransport()
    queue = _queue(transport)
    queue.feed(b"x" * HIGH_WATER_BYTES)
    assert transport.is_reading()
    queue.feed(b"x")
    assert not transport.is_reading()
    queue.feed(b"x")
    assert len(queue.read_nowait()) == HIGH_WATER_BYTES + 2
    assert transport.is_reading()


async def test_a_transport_that_closes_is_not_resumed() -> None:
    transport = FakeTransport()
    queue = _queue(transport)
    queue.feed(b"x" * (HIGH_WATER_BYTES + 1))
    transport.closing = True
    assert queue.read_nowait()
    assert not transport.is_reading()


async def test_a_cancelled_reader_leaves_the_queue_usable() -> None:
    queue = _queue()
    reading = asyncio.create_task(queue.read())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    queue.feed(b"a")
    assert await queue.read() == b"a"


@pytest.mark.parametrize("event", ["feed", "feed_eof", "set_exception", "wake"])
async def test_a_wait_ends_with_any_event(event: str) -> None:
    queue = _queue()
    waiting = asyncio.create_task(queue.wait())
    await asyncio.sleep(0)
    match event:
        case "feed":
            queue.feed(b"a")
        case "feed_eof":
            queue.feed_eof()
        case "set_exception":
            queue.set_exception(ValueError())
        case "wake":
            queue.wake()
    await asyncio.wait_for(waiting, 5)


async def test_a_wait_has_a_limit_and_takes_nothing() -> None:
    queue = _queue()
    await queue.wait(0.001)
    queue.feed(b"a")
    await queue.wait()
    assert queue.read_nowait() == b"a"


async def test_waking_does_not_end_a_read() -> None:
    queue = _queue()
    reading = asyncio.create_task(queue.read())
    await asyncio.sleep(0)
    queue.wake()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not reading.done()
    queue.feed_eof()
    assert await reading == b""


async def test_what_is_put_back_is_read_again_first() -> None:
    queue = _queue()
    queue.feed(b"ab")
    read = queue.read_nowait()
    queue.feed(b"c")
    queue.put_back(read)
    queue.put_back(b"")
    queue.feed_eof()
    assert await queue.read() == b"abc"
    assert await queue.read() == b""
