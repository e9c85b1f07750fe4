"""A link: which response is whose, and when it may carry another request."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.lanes.errors import UpstreamError
from proxy.lanes.express_upstream import UpstreamLink
from proxy.lanes.response_feed import MAX_HEAD_BYTES, MOST_INTERIM_RESPONSES
from proxy.policy.reasons import Reason
from tests.lanes.express_arrivals import all_leave
from tests.lanes.express_stage import FakeConnection, Line, Stage, expire, stage, statuses, turn
from tests.support.build import interpreted_only
from tests.support.origin import chunked, ok
from tests.support.raw_client import request_head

GET = request_head("GET", "/")
HEAD = request_head("HEAD", "/")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"


async def _asked(it: Stage, request: bytes = GET) -> tuple[Line, FakeConnection]:
    client = it.client()
    client.receive(request)
    return client, await it.connect()


async def _resting(it: Stage) -> FakeConnection:
    """A link that has carried one request."""
    client, upstream = await _asked(it)
    upstream.transport.receive(ok())
    client.abort()
    client.lose()
    assert it.is_at_rest(resting=1)
    return upstream


def _leave(*clients: Line) -> None:
    for client in clients:
        client.abort()
        client.lose()


# ------------------------------------------------------------------------ reuse


@pytest.mark.parametrize(
    ("request_", "response", "rests"),
    [
        (GET, ok(), True),
        (GET, ok(b""), True),
        (GET, CHUNKED + chunked(b"body"), True),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", True),
        (HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", True),
        (HEAD, CHUNKED, True),
        (GET, INTERIM + ok(), True),
        (GET, ok(b"ok", "Connection: close"), False),
        (GET, ok().replace(b"1.1", b"1.0"), False),
        (GET, ok() + b"x", False),
        (GET, ok() + ok(), False),
        (GET, CHUNKED + chunked(b"body") + b"x", False),
        (GET, b"HTTP/1.1 204 No Content\r\n\r\nx", False),
        (HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", False),
    ],
)
@pytest.mark.parametrize("cut", [False, True])
async def test_a_link_rests_when_the_response_is_complete_and_nothing_else_came(
    tmp_path: Path, request_: bytes, response: bytes, rests: bool, cut: bool
) -> None:
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it, request_)
        if cut:
            for each in range(len(response)):
                upstream.transport.receive(response[each : each + 1])
                if upstream.released:
                    break
        else:
            upstream.transport.receive(response)
        assert statuses(client.sent())[-1] in {200, 204, 304}
        assert (it.upstream.in_use, len(it.upstream.resting)) == (0, int(rests))
        assert upstream.released == (not rests)
        _leave(client)
        assert it.is_at_rest(resting=int(rests))


async def test_what_rests_carries_the_next_request_of_whoever_it_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        upstream = await _resting(it)
        for number in range(3):
            client = it.client()
            client.receive(request_head("GET", f"/{number}"))
            assert it.upstream.in_use == 1
            upstream.transport.receive(ok(b"%d" % number))
            assert client.sent().endswith(b"\r\n\r\n%d" % number)
            _leave(client)
        assert it.upstream.connects == 1
        assert it.is_at_rest(resting=1)


async def test_the_last_used_goes_first(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        first, second = await _asked(it), await _asked(it)
        for client, upstream in (first, second):
            upstream.transport.receive(ok())
            _leave(client)
        second[1].transport.sent()
        client = it.client()
        client.receive(GET)
        assert second[1].transport.sent()
        second[1].transport.receive(ok())
        _leave(client)
        assert it.is_at_rest(resting=2)


def _sends_unasked(upstream: FakeConnection) -> None:
    upstream.transport.receive(ok())


def _has_sent_unasked(upstream: FakeConnection) -> None:
    upstream.transport.peer.send(ok())


def _has_closed(upstream: FakeConnection) -> None:
    upstream.transport.peer.shutdown(socket.SHUT_WR)


def _closes(upstream: FakeConnection) -> None:
    upstream.transport.end()


def _resets(upstream: FakeConnection) -> None:
    upstream.transport.lose(ConnectionResetError())


def _is_unused_for_long(upstream: FakeConnection) -> None:
    expire(upstream.link.silence)


@pytest.mark.parametrize(
    "spoil",
    [
        _sends_unasked,
        _has_sent_unasked,
        _has_closed,
        _closes,
        _resets,
        _is_unused_for_long,
    ],
)
async def test_what_was_spoilt_while_it_rested_carries_nothing(
    tmp_path: Path, spoil: object
) -> None:
    async with stage(tmp_path) as it:
        spoilt = await _resting(it)
        spoilt.transport.sent()
        assert callable(spoil)
        spoil(spoilt)
        client, fresh = await _asked(it)
        assert fresh is not spoilt
        assert spoilt.released
        assert spoilt.transport.sent() == b""
        fresh.transport.receive(ok(b"right"))
        assert client.sent().endswith(b"right")
        if not spoilt.transport.lost:
            spoilt.transport.lose()
        _leave(client)
        assert it.is_at_rest(resting=1)


async def test_a_retired_upstream_s_links_close_when_they_carry_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client, busy = await _asked(it)
        other, idle = await _asked(it)
        idle.transport.receive(ok())
        it.upstreams.swap([replace(it.upstream.spec, port=2)])
        assert [idle.released, busy.released] == [True, False]
        busy.transport.receive(ok())
        assert statuses(client.sent()) == [200]
        assert [idle.released, busy.released] == [True, True]
        _leave(client, other)
        await turn()
        assert it.is_at_rest()


async def test_a_link_that_is_lost_after_it_was_closed_is_counted_once(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it)
        _leave(client)
        assert upstream.released
        upstream.transport.lose()
        assert it.is_at_rest()


# -------------------------------------------------------------------- early bytes


async def test_who_speaks_first_has_answered(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(GET + GET)
        upstream = await it.connect(early=ok(b"early", "Connection: close"))
        assert client.sent().endswith(b"early")
        assert upstream.released
        upstream = await it.connect(early=b"220 mail.example ESMTP\r\n")
        assert statuses(client.sent()) == [502]
        _leave(client)
        assert it.is_at_rest()


async def test_early_bytes_are_nobody_s_once_their_client_left(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(GET)
        await turn()
        it.upstream.asked.pop().set_result(ok())
        client.abort()
        client.lose()
        await turn()
        assert client.sent() == b""
        assert it.is_at_rest()


# ---------------------------------------------------------------------- responses


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_response_in_pieces_is_the_same_response(tmp_path: Path, size: int) -> None:
    body = bytes(range(256)) * 4
    data = INTERIM + CHUNKED + chunked(body, 100)[:-2] + b"Digest: x\r\nHost: evil\r\n\r\n"
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it)
        for start in range(0, len(data), size):
            upstream.transport.receive(data[start : start + size])
        received = client.sent()
        assert statuses(received) == [103, 200]
        assert received.endswith(b"0\r\nDigest: x\r\n\r\n")
        _leave(client)
        assert it.is_at_rest(resting=1)


async def test_interim_responses_end_some_time(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it)
        upstream.transport.receive(INTERIM * MOST_INTERIM_RESPONSES)
        assert statuses(client.sent()) == [103] * MOST_INTERIM_RESPONSES
        upstream.transport.receive(INTERIM)
        assert statuses(client.sent()) == [502]
        _leave(client)
        assert it.is_at_rest()


async def test_interim_responses_wait_for_a_client_that_takes_nothing(tmp_path: Path) -> None:
    """`MOST_INTERIM_RESPONSES` heads of `MAX_HEAD_BYTES` are 8 MiB."""
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it)
        client.fill()
        upstream.transport.receive(INTERIM)
        assert not upstream.transport.is_reading()
        client.drain()
        upstream.transport.receive(ok())
        assert statuses(client.sent()) == [103, 200]
        _leave(client)
        assert it.is_at_rest(resting=1)


async def test_the_next_response_may_have_as_many_interim_ones(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it, GET + GET)
        for _ in range(2):
            upstream.transport.receive(INTERIM * MOST_INTERIM_RESPONSES + ok())
            assert statuses(client.sent())[-1] == 200
            await turn()
        _leave(client)
        assert it.is_at_rest(resting=1)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        CHUNKED + b"nonsense\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES,
    ],
)
async def test_nonsense_is_a_502_whatever_there_was_before(tmp_path: Path, nonsense: bytes) -> None:
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it)
        upstream.transport.receive(nonsense)
        assert statuses(client.sent()) == [502]
        assert it.counters().failed[Reason.UPSTREAM_ERROR] == 1
        assert upstream.released
        _leave(client)
        assert it.is_at_rest()


@pytest.mark.parametrize(
    ("end", "complete"), [(None, True), (ConnectionResetError(), False), (TimeoutError(), False)]
)
async def test_only_an_orderly_end_completes_a_response_without_a_length(
    tmp_path: Path, end: Exception | None, complete: bool
) -> None:
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it)
        upstream.transport.receive(b"HTTP/1.1 200 OK\r\n\r\nbody")
        if end is None:
            upstream.transport.end()
        upstream.transport.lose(end)
        assert client.sent().endswith(b"0\r\n\r\n") == complete
        assert client.half_closed == (not complete)
        assert upstream.released
        _leave(client)
        assert it.is_at_rest()


async def test_what_a_lost_connection_still_has_to_read_is_read(tmp_path: Path) -> None:
    upload = request_head("POST", "/", "Content-Length: 1000")
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it, upload)
        upstream.transport.peer.send(b"HTTP/1.1 413 -\r\nContent-Length: 2\r\n\r\nno")
        upstream.transport.lose(BrokenPipeError())
        assert statuses(client.sent()) == [413]
        _leave(client)
        assert it.is_at_rest()


async def test_an_upstream_that_closes_with_a_part_of_an_upload_unsent_has_left(
    tmp_path: Path,
) -> None:
    upload = request_head("POST", "/", "Content-Length: 1000")
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it, upload + bytes(10))
        upstream.transport.fill()
        upstream.transport.end()
        assert upstream.transport.aborted
        upstream.transport.lose()
        assert statuses(client.sent()) == [502]
        _leave(client)
        assert it.is_at_rest()


async def test_an_early_answer_ends_both_connections(tmp_path: Path) -> None:
    upload = request_head("POST", "/", "Content-Length: 1000")
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it, upload)
        upstream.transport.receive(ok())
        data = client.sent()
        assert statuses(data) == [200]
        assert b"\r\nConnection: close\r\n" in data
        assert client.half_closed
        assert upstream.released
        client.receive(bytes(1000) + GET)
        assert client.sent() == b""
        _leave(client)
        assert it.is_at_rest()


# ------------------------------------------------------------- faults and time-outs


async def test_an_upstream_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    upload = request_head("POST", "/", "Content-Length: 1000")
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it, upload + bytes(10))
        upstream.transport.fill()
        deadline = upstream.link._stall._deadline
        assert deadline is not None
        expire(deadline)
        assert statuses(client.sent()) == [504]
        assert upstream.released
        _leave(client)
        assert it.is_at_rest()


@interpreted_only
async def test_a_fault_while_a_response_is_read_is_a_500_that_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    async with stage(tmp_path) as it:
        client, upstream = await _asked(it)
        monkeypatch.setattr(UpstreamLink, "_take_head", broken)
        upstream.transport.receive(ok())
        assert statuses(client.sent()) == [500]
        assert upstream.released
        assert it.errors.take() == ["proxy.lanes.express_ending"]
        _leave(client)
        assert it.is_at_rest()


async def test_an_upstream_that_answers_is_well_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client, upstream = await _asked(it)
        it.upstream.failed(UpstreamError(Reason.UPSTREAM_ERROR, "before"), -1000.0)
        upstream.transport.receive(ok())
        assert statuses(client.sent()) == [200]
        assert it.upstream._failed_at is None
        await all_leave(it)
