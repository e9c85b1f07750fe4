import asyncio

import pytest

from tests.support.messages import Request
from tests.support.origin import Peer, RawOrigin, Script, answering, chunked, ok
from tests.support.raw_client import RawClient, fetch, request_head


async def test_every_byte_is_recorded_as_it_came_read_or_not() -> None:
    async def read_nothing(peer: Peer) -> None:
        await peer.stall()

    async with RawOrigin(read_nothing) as origin:
        async with RawClient(origin.port) as client:
            await client.send(b"GET \x00\xff")
            await client.send(b" nonsense\n")
            client.half_close()
            await client.is_closed_by_peer()
        assert origin.received == b"GET \x00\xff nonsense\n"


async def test_answers_are_given_in_turn_over_all_connections() -> None:
    def path(request: Request) -> bytes:
        return ok(request.target)

    async with RawOrigin(answering(ok(b"first"), path)) as origin:
        assert (await fetch(origin.port, request_head("GET", "/a"))).body == b"first"
        async with RawClient(origin.port) as client:
            assert (await client.get("/b")).body == b"/b"
            assert (await client.get("/c", "X: y")).body == b"/c"
        assert [request.target for request in origin.requests] == [b"/a", b"/b", b"/c"]
        assert len(origin.peers) == 2


async def test_a_reset_reaches_the_client_as_a_reset() -> None:
    async def reset(peer: Peer) -> None:
        await peer.read_request()
        peer.reset()

    async with RawOrigin(reset) as origin, RawClient(origin.port) as client:
        with pytest.raises(ConnectionResetError):
            await client.get("/")


async def test_a_client_s_reset_is_noticed_by_a_stalling_script() -> None:
    stalled = asyncio.Event()

    async def stall(peer: Peer) -> None:
        await peer.read_request()
        await peer.stall()
        stalled.set()

    async with RawOrigin(stall) as origin, RawClient(origin.port) as client:
        await client.send(request_head("GET", "/"))
        await client.reset()
        async with asyncio.timeout(5):
            await stalled.wait()


async def test_a_dripped_chunked_body_arrives_whole() -> None:
    async def drip(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await peer.drip(chunked(b"abcdef", size=4), size=3, interval=0.001)
        await peer.read_request()

    async with RawOrigin(drip) as origin, RawClient(origin.port) as client:
        assert (await client.get("/")).body == b"abcdef"


async def _send_and_see_it_close(script: Script, data: bytes) -> None:
    async with RawOrigin(script) as origin, RawClient(origin.port) as client:
        await client.send(data)
        client.half_close()
        await client.is_closed_by_peer()


async def test_a_script_s_failure_fails_the_test() -> None:
    async def misuse(peer: Peer) -> None:
        await peer.read_request()
        peer.close()
        await peer.send(b"too late")

    with pytest.raises(ExceptionGroup, match="script failed"):
        await _send_and_see_it_close(misuse, request_head("GET", "/"))


async def test_a_client_that_leaves_inside_a_request_fails_the_test() -> None:
    with pytest.raises(ExceptionGroup, match="script failed"):
        await _send_and_see_it_close(answering(ok()), b"GET / HT")


async def test_an_origin_opens_again_on_its_port() -> None:
    origin = RawOrigin(answering(ok()))
    await origin.open()
    port = origin.port
    assert await origin.close() == []
    with pytest.raises(ConnectionRefusedError):
        await fetch(port, request_head("GET", "/"))
    await origin.open()
    assert origin.port == port
    assert (await fetch(port, request_head("GET", "/"))).status == 200
    assert await origin.close() == []
