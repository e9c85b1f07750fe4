from proxy.surge.visitor import Visitor
from tests.support.http_origin import HttpOrigin
from tests.support.origin import Peer, RawOrigin, answering, ok, response
from tests.surge.targets import near


async def test_a_visitor_keeps_the_connection_as_long_as_the_server_does() -> None:
    answers = answering(
        ok(), response(503, "Unavailable", b"later", "Connection: close"), ok(b"again")
    )
    async with RawOrigin(answers) as origin:
        target = near(origin.port)
        async with Visitor(target, 5.0) as visitor:
            assert [await visitor.ask(target.requests[0]) for _ in range(3)] == [200, 503, 200]
        assert len(origin.peers) == 2


async def test_a_visitor_s_patience_ends_and_the_next_request_is_another() -> None:
    async with HttpOrigin() as origin:
        target = near(origin.port, "/stall", "/bytes/1")
        async with Visitor(target, 0.1) as visitor:
            assert [await visitor.ask(each) for each in target.requests] == ["timeout", 200]


async def test_a_visitor_says_how_it_failed() -> None:
    async def leave(peer: Peer) -> None:
        await peer.read_request()

    async with RawOrigin(leave) as origin:
        target = near(origin.port)
        async with Visitor(target, 5.0) as visitor:
            assert await visitor.ask(target.requests[0]) == "closed"
    async with Visitor(target, 5.0) as visitor:
        assert await visitor.ask(target.requests[0]) == "connect"
