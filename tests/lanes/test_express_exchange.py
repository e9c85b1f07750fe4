"""One request on the express lane: how each of its stages may end, and what it holds until then."""

from pathlib import Path
from time import monotonic

import pytest

from proxy.lanes.byte_queue import HIGH_WATER_BYTES
from proxy.lanes.errors import UpstreamError
from proxy.policy.reasons import Reason
from tests.lanes.express_arrivals import (
    ANSWERED,
    GET,
    UNANSWERED,
    UPLOAD,
    WAITING,
    Arrive,
    all_leave,
    before_its_turn,
    before_the_head,
    exchange_of,
    in_a_queue,
    uploading_to_nobody,
    within_one_that_is_not_taken,
    woken,
)
from tests.lanes.express_stage import expire, protocol_of, stage, statuses, turn
from tests.support.origin import ok


@pytest.mark.parametrize("arrive", [*WAITING, woken, *UNANSWERED, *ANSWERED])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_client_that_leaves_leaves_nothing_behind(
    tmp_path: Path, arrive: Arrive, at_once: bool
) -> None:
    async with stage(tmp_path) as it:
        reached = await arrive(it)
        if not at_once:
            await turn()
        before = len(it.log.entries)
        reached.client.abort()
        reached.client.lose()
        assert len(it.log.entries) == before + 1
        assert it.log.entries[-1].detail == "the client left"
        assert it.log.entries[-1].completion.reason is None
        await turn()
        if reached.upstream is not None:
            assert reached.upstream.released
        await all_leave(it)
        assert len(it.log.entries) == len(it.lines)
        assert it.is_at_rest(resting=len(it.upstream.resting))


@pytest.mark.parametrize(
    ("arrive", "answer"),
    [
        *((each, 503) for each in WAITING),
        *((each, 504) for each in UNANSWERED),
        *((each, None) for each in ANSWERED),
    ],
)
async def test_when_the_time_to_drain_is_over_each_is_answered_or_cut(
    tmp_path: Path, arrive: Arrive, answer: int | None
) -> None:
    async with stage(tmp_path) as it:
        reached = await arrive(it)
        reached.client.sent()
        it.engine.draining = True
        it.lane.give_up()
        if answer is None:
            assert reached.client.aborted
        else:
            data = reached.client.sent()
            assert statuses(data) == [answer]
            assert b"\r\nConnection: close\r\n" in data
            assert reached.client.half_closed
        await all_leave(it)
        assert it.is_at_rest()
        assert len(it.log.entries) == len(it.lines)


async def test_who_was_refused_before_the_end_is_told_so(tmp_path: Path) -> None:
    """And not of a slow upstream, which was never asked."""
    async with stage(tmp_path) as it:
        reached = await in_a_queue(it)
        waiting = exchange_of(reached.client)._verdict.waiting
        assert waiting is not None
        waiting.until = 0.0
        it.upstream.made[-1].transport.receive(ok())
        it.engine.draining = True
        it.lane.give_up()
        await turn()
        assert statuses(reached.client.sent()) == [503]
        await all_leave(it)
        assert it.is_at_rest(resting=len(it.upstream.resting))


@pytest.mark.parametrize("arrive", UNANSWERED[1:])
@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_an_upstream_that_leaves_before_it_answers_is_a_502(
    tmp_path: Path, arrive: Arrive, error: Exception | None
) -> None:
    async with stage(tmp_path) as it:
        reached = await arrive(it)
        assert reached.upstream is not None
        if error is None:
            reached.upstream.transport.close()
        reached.upstream.transport.lose(error)
        assert statuses(reached.client.sent()) == [502]
        assert it.counters().failed[Reason.UPSTREAM_ERROR] == 1
        assert reached.upstream.released
        assert len(it.log.entries) == 1
        await all_leave(it)
        assert it.is_at_rest()


@pytest.mark.parametrize("arrive", ANSWERED[:2])
@pytest.mark.parametrize("error", [None, ConnectionResetError()])
async def test_an_upstream_that_leaves_within_its_answer_ends_the_connection(
    tmp_path: Path, arrive: Arrive, error: Exception | None
) -> None:
    async with stage(tmp_path) as it:
        reached = await arrive(it)
        assert reached.upstream is not None
        reached.client.sent()
        if error is None:
            reached.upstream.transport.close()
        reached.upstream.transport.lose(error)
        await turn()
        assert reached.client.sent() == b""
        assert reached.client.half_closed, "the pipelined request behind it is not answered"
        assert len(it.log.entries) == 1
        await all_leave(it)
        assert it.is_at_rest()


async def test_an_upstream_s_time_to_answer_ends(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        reached = await before_the_head(it)
        assert reached.upstream is not None
        expire(reached.upstream.link.silence)
        assert statuses(reached.client.sent()) == [504]
        await all_leave(it)
        assert it.is_at_rest()


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (UpstreamError(Reason.UPSTREAM_ERROR, "no connection"), 502),
        (UpstreamError(Reason.UPSTREAM_TIMEOUT, "no connection in time"), 504),
        (OSError("what is no error of the upstream is one of ours"), 500),
    ],
)
async def test_without_a_connection_the_request_is_answered_and_the_next_goes_on(
    tmp_path: Path, error: Exception, answer: int
) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(GET + GET)
        await turn()
        it.upstream.asked.pop().set_exception(error)
        await turn()
        assert bool(it.errors.take()) == (answer == 500)
        assert statuses(client.sent()) == [answer]
        upstream = await it.connect()
        upstream.transport.receive(ok())
        assert statuses(client.sent()) == [200]
        await all_leave(it)
        assert it.is_at_rest(resting=1)


# ----------------------------------------------------------------- waiting its turn


async def test_a_wake_and_the_timer_in_the_same_turn_send_one_request(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        reached = await woken(it)
        # The timer's, before the event loop comes to the wake's.
        exchange_of(reached.client).start()
        await turn()
        assert not it.upstream.asked
        assert it.upstream.made[0].transport.sent().count(b"GET /one ") == 2
        it.upstream.made[0].transport.receive(ok())
        assert statuses(reached.client.sent()) == [200]
        await all_leave(it)
        assert it.is_at_rest(resting=1)


async def test_a_wake_after_the_timer_refused_is_too_late(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        reached = await in_a_queue(it)
        waiting = exchange_of(reached.client)._verdict.waiting
        assert waiting is not None
        waiting.until = 0.0
        exchange_of(reached.client).start()
        it.upstream.made[0].transport.receive(ok())
        await turn()
        assert statuses(reached.client.sent()) == [503]
        assert it.counters("one").refused[Reason.QUEUE_TIMEOUT] == 1
        await all_leave(it)
        assert it.is_at_rest(resting=1)


async def test_a_timer_that_is_early_waits_on(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        reached = await before_its_turn(it)
        exchange = exchange_of(reached.client)
        for _ in range(3):
            exchange.start()
        await turn()
        assert not it.upstream.asked
        waiting = exchange._verdict.waiting
        assert waiting is not None
        waiting.until = 0.0
        exchange.start()
        upstream = await it.connect()
        upstream.transport.receive(ok())
        assert statuses(reached.client.sent()) == [200]
        await all_leave(it)
        assert it.is_at_rest(resting=1)


async def test_a_reload_while_it_waits_sends_it_to_the_upstream_of_now(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        reached = await in_a_queue(it)
        it.upstream.retire()
        it.upstream.made[0].transport.receive(ok())
        await turn()
        # It does not rest with what is retired: the next one connects anew.
        assert it.upstream.made[0].released
        assert len(it.upstream.asked) == 1
        await all_leave(it)
        assert statuses(reached.client.sent()) == []
        assert it.is_at_rest()


# -------------------------------------------------------------------- flow control


async def test_what_is_held_before_there_is_a_connection_is_bounded(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(UPLOAD)
        held = 0
        while client.is_reading():
            client.receive(bytes(10000))
            held += 10000
        assert held <= HIGH_WATER_BYTES + 10000
        upstream = await it.connect()
        assert upstream.transport.sent().endswith(bytes(held))
        assert client.is_reading()
        client.receive(bytes(100000 - held) + GET)
        upstream.transport.receive(ok())
        await turn()
        assert upstream.transport.sent().endswith(b"Via: 1.1 planb\r\n\r\n")
        await all_leave(it)
        assert it.is_at_rest()


async def test_an_upstream_that_takes_nothing_pauses_the_client(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        reached = await uploading_to_nobody(it)
        assert reached.upstream is not None
        assert protocol_of(reached.client) in it.lane.unread
        # Nobody waits for the client meanwhile.
        assert protocol_of(reached.client).patience.at == float("inf")
        reached.upstream.transport.drain()
        assert reached.client.is_reading()
        assert not it.lane.unread
        assert protocol_of(reached.client).patience.at < float("inf")
        await all_leave(it)
        assert it.is_at_rest()


async def test_an_upload_to_a_slow_upstream_is_not_held_against_the_client(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        it.upstream.takes_nothing = True
        client = it.client()
        client.receive(UPLOAD + bytes(10))
        upstream = await it.connect()
        upstream.transport.drain()
        client.receive(bytes(10))
        assert protocol_of(client).patience.at > monotonic()
        await all_leave(it)
        assert it.is_at_rest()


async def test_an_upstream_that_takes_nothing_from_the_start_pauses_the_client(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as it:
        it.upstream.takes_nothing = True
        client = it.client()
        client.receive(UPLOAD + bytes(10))
        upstream = await it.connect()
        assert not client.is_reading()
        upstream.transport.drain()
        assert client.is_reading()
        await all_leave(it)
        assert it.is_at_rest()


async def test_a_client_that_takes_nothing_pauses_the_upstream(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        reached = await within_one_that_is_not_taken(it)
        assert reached.upstream is not None
        # A slow client is not the upstream's silence.
        assert reached.upstream.link.silence.at == float("inf")
        reached.client.drain()
        assert reached.upstream.transport.is_reading()
        assert reached.upstream.link.silence.at < float("inf")
        reached.upstream.transport.receive(bytes(92))
        await turn()
        # The pipelined one behind it.
        assert reached.upstream.transport.sent().count(b"GET / ") == 2
        await all_leave(it)
        assert it.is_at_rest()


async def test_the_end_of_a_response_waits_for_its_client(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(GET)
        upstream = await it.connect()
        client.fill()
        upstream.transport.receive(ok())
        assert it.log.entries == []
        assert upstream.link.silence.at == float("inf")
        client.drain()
        assert len(it.log.entries) == 1
        await all_leave(it)
        assert it.is_at_rest(resting=1)


async def test_an_upstream_that_closes_while_its_client_takes_the_rest_has_answered(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(GET)
        upstream = await it.connect()
        upstream.transport.receive(b"HTTP/1.1 200 OK\r\n\r\nto the end")
        client.fill()
        upstream.transport.close()
        upstream.transport.lose()
        client.drain()
        assert client.sent().endswith(b"a\r\nto the end\r\n0\r\n\r\n")
        assert it.counters().forwarded == 1
        await all_leave(it)
        assert it.is_at_rest()


async def test_who_needs_a_connection_counts_at_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        first, second = it.client(), it.client()
        for count, client in enumerate((first, second), 1):
            client.receive(GET)
            # Whoever comes in the same turn of the event loop may choose another endpoint.
            assert it.upstream.in_flight == count
        # One has left before it began to connect; the pool does not close under the other.
        first.abort()
        first.lose()
        it.upstream.retire()
        upstream = await it.connect()
        assert not it.upstream.asked
        assert it.upstream.in_flight == 1
        upstream.transport.receive(ok())
        assert statuses(second.sent()) == [200]
        await all_leave(it)
        assert it.is_at_rest()
