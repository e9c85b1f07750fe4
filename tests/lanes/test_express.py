"""The lane as a whole: which connections are its own, and how they end together."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from proxy.lanes.express_exchange import ExpressExchange
from proxy.lanes.full_downstream import DownstreamConnection
from tests.lanes.express_stage import ROUTES, Line, protocol_of, stage, turn
from tests.lanes.listening import listening
from tests.support.build import interpreted_only
from tests.support.origin import Peer, RawOrigin, answering, ok
from tests.support.raw_client import RawClient, request_head

GET = request_head("GET", "/")
ONE = request_head("GET", "/one")
CHUNKED = request_head("POST", "/", "Transfer-Encoding: chunked")
EXPECTING = request_head("POST", "/", "Expect: 100-continue", "Content-Length: 0")


async def test_connections_count_until_they_end_or_are_handed_off(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        clients = [it.client() for _ in range(3)]
        assert it.lane.open == it.services.connections == 3
        assert set(it.lane.clients()) == {protocol_of(each) for each in clients}
        clients[0].receive(CHUNKED)
        assert (it.lane.open, it.services.connections) == (2, 3)
        clients[1].end()
        clients[1].lose()
        assert (it.lane.open, it.services.connections) == (1, 2)
        clients[0].abort()
        clients[0].lose()
        clients[2].abort()
        clients[2].lose()
        assert it.is_at_rest()


async def test_a_connection_that_says_its_last_counts_until_it_is_closed(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client = it.client()
        client.receive(request_head("GET", "/closed", "Connection: close"))
        assert client.half_closed
        assert it.lane.open == 1
        client.end()
        client.lose()
        assert it.is_at_rest()


async def test_a_connection_that_is_being_made_as_draining_begins_ends_by_itself(
    tmp_path: Path,
) -> None:
    async with stage(tmp_path) as it:
        protocol = it.lane()
        assert it.lane.open == 1
        assert it.lane.clients() == []
        it.engine.draining = True
        it.lane.give_up()
        line = Line(peername=("192.0.2.1", 50000))
        it.lines.append(line)
        line.set_protocol(cast("asyncio.Protocol", protocol))
        protocol.connection_made(line)
        await turn()
        assert line.is_closing()
        line.lose()
        assert it.is_at_rest()


async def test_who_waits_for_a_place_is_dismissed_before_it_becomes_free(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        clients = [it.client() for _ in range(5)]
        for client in clients:
            client.receive(ONE)
        await it.connect()
        it.engine.draining = True
        it.lane.give_up()
        await turn()
        answers = [client.sent()[9:12] for client in clients]
        assert answers == [b"504", b"503", b"503", b"503", b"503"]
        assert not it.upstream.asked
        for client in clients:
            client.abort()
            client.lose()
        assert it.is_at_rest()


@interpreted_only
async def test_one_that_can_t_be_given_up_does_not_spare_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[ExpressExchange] = []
    give_up = ExpressExchange.give_up

    def break_once(exchange: ExpressExchange) -> bool:
        if not broken:
            broken.append(exchange)
            raise RuntimeError("broken")
        return give_up(exchange)

    async with stage(tmp_path) as it:
        clients = [it.client() for _ in range(3)]
        for client in clients:
            client.receive(GET)
        await turn()
        monkeypatch.setattr(ExpressExchange, "give_up", break_once)
        it.engine.draining = True
        it.lane.give_up()
        await turn()
        assert [client.sent()[9:12] for client in clients].count(b"504") == 2
        assert all(client.aborted or client.half_closed for client in clients)
        it.errors.take()


@pytest.mark.parametrize("express", [True, False])
async def test_a_client_that_closes_its_side_and_takes_nothing_does_not_stay(
    tmp_path: Path, express: bool
) -> None:
    async def endless(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await peer.send(bytes(1 << 16))

    async with (
        RawOrigin(endless, peers_may_leave=True) as origin,
        listening(
            origin.url,
            tmp_path,
            listener="timeouts: {send: 100ms}",
            express=express,
        ) as lane,
        RawClient(lane.port) as client,
    ):
        await client.send(GET)
        await client.read_head()
        client._writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.half_close()
        async with asyncio.timeout(3):
            while lane.services.connections:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("express", [True, False])
async def test_a_client_that_says_nothing_does_not_stay(tmp_path: Path, express: bool) -> None:
    async with (
        RawOrigin(answering(ok())) as origin,
        listening(
            origin.url, tmp_path, listener="timeouts: {idle: 100ms, head: 100ms}", express=express
        ) as lane,
        RawClient(lane.port) as client,
    ):
        assert await client.is_closed_by_peer()


@pytest.mark.parametrize(
    "unusual",
    [CHUNKED + b"0\r\n\r\n", request_head("GET", "/", "Expect: 100-continue", "Content-Length: 0")],
)
async def test_what_was_handed_off_goes_on_as_usual(tmp_path: Path, unusual: bytes) -> None:
    async with (
        RawOrigin(answering(ok())) as origin,
        listening(origin.url, tmp_path, more=ROUTES, express=True) as lane,
        RawClient(lane.port) as client,
    ):
        for data in (GET, unusual, GET):
            await client.send(data)
            assert (await client.read_response()).status == 200
        assert lane.listener.connections == len(lane.clients()) == 1
        assert lane.services.connections == 1


async def test_a_head_that_was_late_is_late_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is handed a late head starts a timer for it, as for any other."""
    ended: list[DownstreamConnection] = []
    end_head = DownstreamConnection.end_head

    def count(connection: DownstreamConnection) -> None:
        ended.append(connection)
        end_head(connection)

    monkeypatch.setattr(DownstreamConnection, "end_head", count)
    async with (
        RawOrigin(answering(ok())) as origin,
        listening(origin.url, tmp_path, listener="timeouts: {head: 50ms}", express=True) as lane,
        RawClient(lane.port) as client,
    ):
        await client.send(GET[:10])
        assert (await client.read_response()).status == 408
        await asyncio.sleep(0.15)
        assert len(ended) == 1
