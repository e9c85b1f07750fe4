import pytest

from tests.support.messages import PeerLeftError
from tests.support.origin import Peer, RawOrigin
from tests.support.raw_client import RawClient, request_head


async def test_bytes_after_an_interim_response_belong_to_the_final_one() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(
            b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na"
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        )
        await peer.stall()

    async with RawOrigin(script) as origin, RawClient(origin.port) as client:
        assert (await client.read_response()).status == 103
        assert (await client.read_response()).body == b"a"
        assert (await client.read_response()).status == 404


async def test_no_wait_is_longer_than_the_timeout() -> None:
    async with (
        RawOrigin(Peer.stall) as origin,
        RawClient(origin.port, timeout=0.05) as client,
    ):
        with pytest.raises(TimeoutError):
            await client.read_response()


async def test_a_close_in_mid_response_shows_what_came() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")

    async with RawOrigin(script) as origin, RawClient(origin.port) as client:
        with pytest.raises(PeerLeftError) as left:
            await client.read_response()
    assert left.value.received == b"ab"


async def test_bytes_are_no_close() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"still here")
        await peer.stall()

    async with RawOrigin(script) as origin, RawClient(origin.port) as client:
        with pytest.raises(AssertionError, match="still here"):
            await client.is_closed_by_peer()


async def test_a_half_closed_client_still_reads() -> None:
    async def script(peer: Peer) -> None:
        request = await peer.read_request()
        assert request is not None
        assert await peer.read_request() is None
        await peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with RawOrigin(script) as origin, RawClient(origin.port) as client:
        await client.send(request_head("GET", "/"))
        client.half_close()
        assert (await client.read_response()).status == 204
        assert await client.read_to_end() == b""
