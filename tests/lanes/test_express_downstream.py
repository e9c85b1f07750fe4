"""The client's side of the express lane: what only its callbacks and their order show."""

from pathlib import Path
from time import monotonic

import pytest

from proxy.lanes import express_downstream
from proxy.lanes.byte_queue import HIGH_WATER_BYTES
from proxy.lanes.express_downstream import MOST_AT_ONCE, ExpressConnection
from proxy.policy.reasons import Reason
from tests.lanes.express_stage import (
    Line,
    Stage,
    expire,
    pending,
    protocol_of,
    stage,
    statuses,
    turn,
)
from tests.support.build import interpreted_only
from tests.support.origin import ok
from tests.support.raw_client import request_head

GET = request_head("GET", "/")
REFUSED = request_head("GET", "/closed")
CHUNKED = request_head("POST", "/", "Transfer-Encoding: chunked")
WEBSOCKET = request_head("GET", "/", "Connection: upgrade", "Upgrade: websocket")


def _refused(it: Stage) -> int:
    return it.counters("closed").refused[Reason.RATE]


def _leave(client: Line) -> None:
    client.abort()
    client.lose()


# -------------------------------------------------------------------- refusals


async def test_a_refusal_is_written_before_the_head_s_bytes_are_done_with(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(REFUSED[:20])
        assert client.sent() == b""
        client.receive(REFUSED[20:])
        assert statuses(client.sent()) == [429]
        assert it.log.kinds == ["refused"]
        _leave(client)
        assert it.is_at_rest()


async def test_a_long_pipeline_lets_others_have_their_turn(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        many, one = it.client(), it.client()
        many.receive(REFUSED * (2 * MOST_AT_ONCE + 5))
        assert len(statuses(many.sent())) == MOST_AT_ONCE
        one.receive(REFUSED)
        assert len(statuses(one.sent())) == 1
        await turn()
        assert len(statuses(many.sent())) == MOST_AT_ONCE + 5
        assert many.is_reading()
        for line in (many, one):
            _leave(line)
        assert it.is_at_rest()
        assert _refused(it) == 2 * MOST_AT_ONCE + 6


async def test_what_comes_behind_a_long_pipeline_is_answered_behind_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(REFUSED * (MOST_AT_ONCE + 1))
        client.receive(request_head("GET", "/last") + REFUSED)
        assert len(statuses(client.sent())) == MOST_AT_ONCE
        upstream = await it.connect()
        assert statuses(client.sent()) == [429]
        assert upstream.transport.sent().startswith(b"GET /last ")
        upstream.transport.receive(ok())
        await turn()
        assert statuses(client.sent()) == [200, 429]
        _leave(client)
        assert it.is_at_rest(resting=1)


async def test_who_takes_no_answers_is_asked_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(REFUSED)
        client.fill()
        client.receive(REFUSED * 3)
        await turn()
        assert len(statuses(client.sent())) == 1
        assert not client.is_reading()
        assert it.lane.unread == {protocol_of(client)}
        client.drain()
        assert len(statuses(client.sent())) == 3
        assert client.is_reading()
        assert not it.lane.unread
        _leave(client)
        assert it.is_at_rest()


async def test_who_takes_no_answers_while_a_head_comes_loses_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(REFUSED + REFUSED[:10])
        client.fill()
        client.receive(REFUSED[10:30])
        assert not client.is_reading()
        client.drain()
        client.receive(REFUSED[30:])
        assert statuses(client.sent()) == [429, 429]
        _leave(client)
        assert it.is_at_rest()


async def test_a_client_that_takes_its_answers_slowly_is_not_idle(tmp_path: Path) -> None:
    """Its next request is here; the full lane answers it when there is room."""
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(REFUSED)
        client.fill()
        client.receive(REFUSED)
        connection = protocol_of(client)
        if connection.patience.at < float("inf"):
            expire(connection.patience)
        assert not client.is_closing()
        client.drain()
        assert statuses(client.sent()) == [429, 429]
        _leave(client)
        assert it.is_at_rest()


async def test_a_small_refused_body_is_skipped_and_the_next_request_answered(
    tmp_path: Path,
) -> None:
    head = request_head("POST", "/closed", "Content-Length: 10")
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(head + b"12345")
        assert statuses(client.sent()) == [429]
        client.receive(b"67")
        client.receive(b"890" + REFUSED + head)
        await turn()
        assert statuses(client.sent()) == [429, 429]
        # One that does not come is not waited for.
        expire(protocol_of(client).patience)
        assert client.half_closed
        _leave(client)
        assert it.is_at_rest()


# -------------------------------------------------------------- order and memory


async def test_a_pipeline_goes_upstream_one_at_a_time_and_in_order(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(b"".join(request_head("GET", f"/{each}") for each in range(5)))
        upstream = await it.connect()
        for each in range(5):
            await turn()
            assert upstream.transport.sent().startswith(b"GET /%d " % each)
            upstream.transport.receive(ok(b"%d" % each))
        data = client.sent()
        assert [part[:1] for part in data.split(b"\r\n\r\n")[1:]] == [b"0", b"1", b"2", b"3", b"4"]
        assert len(it.upstream.made) == 1
        _leave(client)
        assert it.is_at_rest(resting=1)


async def test_what_is_sent_ahead_is_bounded(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(GET)
        sent = 0
        while client.is_reading():
            client.receive(GET * 100)
            sent += len(GET) * 100
            assert sent <= HIGH_WATER_BYTES + len(GET) * 100
        assert it.lane.unread == {protocol_of(client)}
        upstream = await it.connect()
        upstream.transport.receive(ok())
        await turn()
        # It reads on while there is room for more, not before.
        assert client.is_reading() == (sent - len(GET) <= HIGH_WATER_BYTES)
        _leave(client)
        assert it.is_at_rest()


async def test_what_came_before_is_not_kept_while_nothing_comes(tmp_path: Path) -> None:
    """A head that came in pieces has a buffer, with all that came behind it in the last."""
    upload = request_head("POST", "/", "Content-Length: 200000")
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(upload[:10])
        client.receive(upload[10:] + bytes(200_000))
        upstream = await it.connect()
        upstream.transport.receive(ok())
        assert statuses(client.sent()) == [200]
        assert not protocol_of(client)._heads.begun
        _leave(client)
        assert it.is_at_rest(resting=1)


async def test_what_is_left_over_from_before_is_not_decided_for_a_client_that_left(
    tmp_path: Path,
) -> None:
    """The continuation that was asked of the event loop may run after the connection's end."""
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(REFUSED * (MOST_AT_ONCE + 1))
        _leave(client)
        await turn()
        assert _refused(it) == MOST_AT_ONCE
        assert it.is_at_rest()


@pytest.mark.parametrize("last", [GET, CHUNKED])
async def test_what_is_left_over_is_not_forwarded_for_a_client_that_left(
    tmp_path: Path, last: bytes
) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(REFUSED * MOST_AT_ONCE + last)
        _leave(client)
        await turn()
        assert not it.upstream.asked
        assert not it.full
        assert it.is_at_rest()


async def test_nothing_is_written_to_a_client_that_has_closed_its_side(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(REFUSED * (MOST_AT_ONCE + 1))
        client.end()
        await turn()
        client.lose()
        assert it.is_at_rest()


# -------------------------------------------------------------------- hand-off


@pytest.mark.parametrize("unusual", [CHUNKED + b"0\r\n\r\n", WEBSOCKET, b"nonsense\r\n\r\n"])
@pytest.mark.parametrize("cut", [0, 1, 10, 30])
async def test_a_connection_is_handed_off_once_with_all_that_was_not_answered(
    tmp_path: Path, unusual: bytes, cut: int
) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        if cut:
            client.receive(REFUSED + unusual[:cut])
            client.receive(unusual[cut:] + GET)
        else:
            client.receive(REFUSED + unusual + GET)
        assert statuses(client.sent()) == [429]
        (full,) = it.full
        assert full.received == unusual + GET or unusual.startswith(b"nonsense")
        assert full.refusals == 1
        assert client.protocol is full
        assert (it.lane.open, it.services.connections) == (0, 1)
        assert it.log.kinds.count("refused") == 1
        assert it.deadlines == 0
        client.receive(b"to whom it may concern")
        assert full.received.endswith(
            b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\nto whom it may concern"
        )
        _leave(client)
        assert it.is_at_rest()


async def test_nothing_is_handed_off_while_a_response_is_in_flight(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(GET + CHUNKED)
        client.receive(b"0\r\n\r\n")
        upstream = await it.connect()
        upstream.transport.receive(b"HTTP/1.1 200 -\r\nContent-Length: 2\r\n\r\no")
        await turn()
        assert not it.full
        upstream.transport.receive(b"k")
        await turn()
        (full,) = it.full
        assert full.received == CHUNKED + b"0\r\n\r\n"
        _leave(client)
        assert it.is_at_rest(resting=1)


async def test_a_connection_that_was_paused_is_handed_off_reading(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(GET)
        client.receive(CHUNKED + bytes(HIGH_WATER_BYTES))
        assert not client.is_reading()
        upstream = await it.connect()
        upstream.transport.receive(ok())
        await turn()
        assert len(it.full) == 1
        assert client.is_reading()
        assert not it.lane.unread
        _leave(client)
        assert it.is_at_rest(resting=1)


async def test_a_head_that_does_not_end_in_time_is_the_full_lane_s(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(GET[:10])
        first = protocol_of(client).patience.at
        client.receive(GET[10:15])
        assert protocol_of(client).patience.at == first, "more of a head is no more time"
        expire(protocol_of(client).patience)
        (full,) = it.full
        assert full.received == GET[:15]
        assert full.head_ended
        _leave(client)
        assert it.is_at_rest()


async def test_a_connection_is_not_handed_off_while_its_client_takes_nothing(
    tmp_path: Path,
) -> None:
    """The full lane's protocol would not know of it, and aiohttp asserts that it does."""
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(REFUSED + GET[:10])
        # uvloop tells it once it has tried to write, when the event loop comes round.
        client.fill()
        expire(protocol_of(client).patience)
        assert not it.full
        _leave(client)
        assert it.is_at_rest()


# ------------------------------------------------------------------------- end


async def test_a_connection_without_a_request_is_closed(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        silent, used = it.client(), it.client()
        used.receive(REFUSED)
        for client in (silent, used):
            expire(protocol_of(client).patience)
            assert client.is_closing()
            client.lose()
        assert it.is_at_rest()


@pytest.mark.parametrize("busy", [b"", GET[:5], GET, GET + GET])
async def test_only_what_is_idle_is_closed_before_the_end(tmp_path: Path, busy: bytes) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        if busy:
            client.receive(busy)
        protocol_of(client).close_if_idle()
        assert client.is_closing() == (not busy)
        client.abort()
        client.lose()
        await turn()
        assert it.is_at_rest()


@pytest.mark.parametrize("request_", [b"", GET[:5], REFUSED, GET])
async def test_a_client_that_closes_its_side_and_takes_nothing_is_cut(
    tmp_path: Path, request_: bytes
) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        if request_:
            client.receive(request_)
        client.fill()
        await turn()
        client.end()
        assert it.counters().in_flight == 0
        (deadline,) = pending(it)
        expire(deadline)
        assert client.aborted
        client.lose()
        await turn()
        assert it.is_at_rest()


async def test_a_client_that_takes_nothing_is_cut(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(REFUSED)
        client.fill()
        expire_stall(protocol_of(client))
        assert client.aborted
        client.lose()
        assert it.is_at_rest()


def expire_stall(connection: ExpressConnection) -> None:
    deadline = connection._stall._deadline
    assert deadline is not None
    expire(deadline)


async def test_a_client_that_left_unread_is_noticed(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(GET)
        client.receive(bytes(HIGH_WATER_BYTES + 1))
        (connection,) = it.lane.unread
        connection.notice_departure()
        assert not client.is_closing()
        client.peer.close()
        connection.notice_departure()
        assert client.aborted
        client.lose()
        await turn()
        assert it.is_at_rest()


# ------------------------------------------------------------ faults of our own


def _broken(*_: object, **__: object) -> bytes:
    raise RuntimeError("broken")


@interpreted_only
@pytest.mark.parametrize("fault", ["judge", "own_answer", "settle"])
async def test_a_fault_before_there_is_an_exchange_cuts_the_connection_and_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        monkeypatch.setattr(express_downstream, fault, _broken)
        client.receive(REFUSED)
        monkeypatch.undo()
        assert client.aborted
        client.lose()
        assert it.is_at_rest()
        assert it.errors.take() == ["proxy.lanes.express_downstream"]


@interpreted_only
async def test_a_refusal_that_can_t_be_rendered_is_settled_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict settles on every exit; the full lane does so in a `finally`."""
    async with stage(tmp_path) as it:
        client = it.client()
        monkeypatch.setattr(express_downstream, "own_answer", _broken)
        client.receive(REFUSED)
        monkeypatch.undo()
        client.lose()
        it.errors.take()
        assert _refused(it) == 1


async def test_a_fault_once_a_request_is_under_way_is_a_500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        monkeypatch.delattr(it.upstream, "resting")
        client.receive(GET)
        monkeypatch.undo()
        assert statuses(client.sent()) == [500]
        assert it.counters().failed[Reason.INTERNAL] == 1
        client.receive(REFUSED)
        assert statuses(client.sent()) == [429]
        _leave(client)
        assert it.is_at_rest()
        assert it.errors.take() == ["proxy.lanes.express_ending"]


async def test_a_refused_client_has_the_whole_idle_time_again(tmp_path: Path) -> None:
    async with stage(tmp_path, listener="timeouts: {head: 500s, idle: 100s}") as it:
        client = it.client()
        # A head in pieces had a longer time; what comes after it does not.
        client.receive(REFUSED[:10])
        began = monotonic()
        client.receive(REFUSED[10:])
        assert statuses(client.sent()) == [429]
        patience = protocol_of(client).patience
        assert began + 100.0 <= patience.at <= monotonic() + 100.0
        assert patience._looks_at <= monotonic() + 100.1
        _leave(client)
        assert it.is_at_rest()
