"""An attempt on the express lane that fails and is followed by another, or is not."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.lanes.errors import UpstreamError
from proxy.policy.reasons import Reason
from tests.lanes.express_arrivals import GET, all_leave, exchange_of
from tests.lanes.express_stage import FakeConnection, Line, Stage, stage, statuses, turn
from tests.support.origin import ok, response
from tests.support.raw_client import request_head

RETRY = "retry: {attempts: 3, min_per_second: 100}"
BUSY = response(503, "Busy", b"busy", "Retry-After: 0")
WAIT = response(503, "Busy", b"busy", "Retry-After: 1")


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path, listener="deadline_header: grpc-timeout", upstream=RETRY) as made:
        yield made
        await all_leave(made)
        assert made.is_at_rest(resting=len(made.upstream.resting))
        assert len(made.log.entries) == len(made.lines)


async def asks(it: Stage, data: bytes) -> tuple[Line, FakeConnection]:
    client = it.client()
    client.receive(data)
    return client, await it.connect()


async def fails(upstream: FakeConnection) -> None:
    upstream.transport.lose(ConnectionResetError())
    await turn()


async def test_another_connection_is_asked_when_one_is_lost(it: Stage) -> None:
    client, first = await asks(it, GET)
    await fails(first)
    assert first.released
    assert client.sent() == b""
    second = await it.connect()
    assert b"\r\nPlanb-Attempt: 1\r\n" in first.transport.written
    assert b"\r\nPlanb-Attempt: 2\r\n" in second.transport.written
    second.transport.receive(ok())
    assert statuses(client.sent()) == [200]
    (entry,) = it.log.entries
    assert (entry.verdict.attempts, entry.completion.reason) == (2, None)


async def test_the_last_failure_is_what_the_client_is_told(it: Stage) -> None:
    client, upstream = await asks(it, GET)
    await fails(upstream)
    for _ in range(2):
        await fails(await it.connect())
    assert statuses(client.sent()) == [502]
    (entry,) = it.log.entries
    assert (entry.verdict.attempts, entry.completion.reason) == (3, Reason.UPSTREAM_ERROR)
    assert it.upstream.failures[Reason.UPSTREAM_ERROR] == 3


async def test_a_body_is_sent_again_from_its_beginning(it: Stage) -> None:
    head = request_head("PUT", "/", "Content-Length: 10")
    client, first = await asks(it, head + b"0123")
    client.receive(b"45")
    assert first.transport.written.endswith(b"\r\n\r\n012345")
    await fails(first)
    client.receive(b"67")
    second = await it.connect()
    client.receive(b"89")
    assert second.transport.written.endswith(b"\r\n\r\n0123456789")
    second.transport.receive(ok())
    assert statuses(client.sent()) == [200]
    assert it.log.entries[0].bytes_in == 10


@pytest.mark.parametrize(
    "data",
    [
        request_head("POST", "/", "Content-Length: 2") + b"ab",
        request_head("PUT", "/", "Content-Length: 100000") + b"ab",
        request_head("GET", "/", "Planb-Attempt: 1"),
    ],
)
async def test_what_may_not_be_repeated_is_not(it: Stage, data: bytes) -> None:
    client, upstream = await asks(it, data)
    await fails(upstream)
    assert statuses(client.sent()) == [502]
    assert not it.upstream.asked


async def test_a_request_that_got_no_connection_is_sent_whatever_it_is(it: Stage) -> None:
    client = it.client()
    client.receive(request_head("POST", "/", "Content-Length: 100000") + bytes(70000))
    await turn()
    refused = UpstreamError(Reason.UPSTREAM_ERROR, "no connection: refused")
    it.upstream.asked.pop().set_exception(refused)
    await turn()
    upstream = await it.connect()
    client.receive(bytes(30000))
    assert upstream.transport.written.count(0) == 100000
    upstream.transport.receive(ok())
    assert statuses(client.sent()) == [200]


async def test_a_refusal_that_says_when_is_asked_again_over_the_same_connection(
    it: Stage,
) -> None:
    client, upstream = await asks(it, GET)
    upstream.transport.receive(BUSY)
    await turn()
    assert not it.upstream.asked
    upstream.transport.receive(ok())
    assert statuses(client.sent()) == [200]
    assert bytes(upstream.transport.written).count(b"GET / ") == 2


async def test_a_refusal_that_is_not_all_there_ends_its_connection(it: Stage) -> None:
    client, upstream = await asks(it, GET)
    upstream.transport.receive(BUSY[:-1])
    await turn()
    assert upstream.released
    (await it.connect()).transport.receive(ok())
    assert statuses(client.sent()) == [200]


async def test_once_something_of_an_answer_has_gone_out_there_is_no_other(it: Stage) -> None:
    client, upstream = await asks(it, GET)
    upstream.transport.receive(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    await fails(upstream)
    assert statuses(client.sent()) == [103, 502]


async def test_a_client_that_leaves_meanwhile_is_sent_no_more(it: Stage) -> None:
    client, upstream = await asks(it, GET)
    upstream.transport.receive(WAIT)
    await turn()
    assert not it.log.entries
    client.abort()
    client.lose()
    await turn()
    assert it.log.entries[0].detail == "the client left"
    assert it.counters().abandoned == 1


async def test_at_the_end_of_draining_who_waits_for_another_attempt_gets_an_answer(
    it: Stage,
) -> None:
    client, upstream = await asks(it, GET)
    upstream.transport.receive(WAIT)
    it.engine.draining = True
    it.lane.give_up()
    assert statuses(client.sent()) == [502]
    assert client.half_closed


async def test_nobody_is_waited_for_longer_than_the_caller_waits(it: Stage) -> None:
    client, upstream = await asks(it, request_head("GET", "/", "Grpc-Timeout: 60S"))
    (said,) = re.findall(rb"\r\nGrpc-Timeout: (\d+)m\r\n", upstream.transport.written)
    assert 30_000 < int(said) < 60_000
    exchange = exchange_of(client)
    timer = exchange._timer
    assert timer is not None
    assert timer.when() - asyncio.get_running_loop().time() == pytest.approx(60.0, abs=30.0)
    exchange._out_of_time()
    data = client.sent()
    assert statuses(data) == [504]
    assert b"deadline_exceeded" in data
    assert upstream.released
    assert it.upstream.failures[Reason.UPSTREAM_TIMEOUT] == 0
    assert it.log.entries[0].completion.reason is Reason.DEADLINE


async def test_an_answer_in_time_may_take_longer_to_its_end(it: Stage) -> None:
    client, upstream = await asks(it, request_head("GET", "/", "Grpc-Timeout: 60S"))
    upstream.transport.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
    exchange_of(client)._out_of_time()
    upstream.transport.receive(b"lf")
    assert client.sent().endswith(b"half")
