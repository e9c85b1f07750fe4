"""How a listener looks after connections that are not read from. All else: the scenarios."""

import asyncio
import select
from pathlib import Path

import pytest

from proxy.lanes import listener
from proxy.lanes.full_downstream import DownstreamConnection
from tests.lanes.listening import listening
from tests.support.origin import Peer, RawOrigin, answering, ok
from tests.support.raw_client import RawClient, request_head


async def test_a_connection_that_can_t_be_looked_after_does_not_end_the_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = asyncio.Queue[DownstreamConnection]()

    def broken(connection: DownstreamConnection) -> None:
        looked.put_nowait(connection)
        raise OSError("broken")

    monkeypatch.setattr(listener, "LOOK_INTERVAL", 0.01)
    monkeypatch.setattr(DownstreamConnection, "notice_departure", broken)
    async with (
        RawOrigin(answering(ok())) as origin,
        listening(origin.url, tmp_path) as lane,
        RawClient(lane.port) as first,
        RawClient(lane.port) as second,
    ):
        for client in (first, second):
            assert (await client.get("/")).status == 200
        async with asyncio.timeout(5):
            seen = [await looked.get() for _ in range(10)]
        assert set(seen) == set(lane.clients())


async def test_a_tunnel_s_last_words_are_waited_for(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 101 -\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        assert await peer.reader.read() == b"last words"

    async with (
        RawOrigin(script) as origin,
        listening(origin.url, tmp_path) as lane,
        RawClient(lane.port) as client,
    ):
        await client.send(request_head("GET", "/", "Connection: upgrade", "Upgrade: x"))
        assert (await client.read_head()).status == 101
        (connection,) = lane.clients()
        connection.pause_transport()
        await client.send(b"last words")
        client.half_close()
        await _has_closed(connection)
        connection.notice_departure()
        connection.resume_transport()
        assert await client.is_closed_by_peer()
        async with asyncio.timeout(5):
            await origin.peers[0].left.wait()


async def _has_closed(connection: DownstreamConnection) -> None:
    assert connection.transport is not None
    poll = select.poll()
    poll.register(connection.transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
    async with asyncio.timeout(5):
        while not poll.poll(0):
            await asyncio.sleep(0.01)
