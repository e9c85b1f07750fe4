"""How far a request on the express lane may have come, for tests of how it ends there."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.lanes.express_exchange import ExpressExchange
from tests.lanes.express_stage import FakeConnection, Line, Stage, protocol_of, turn
from tests.support.origin import ok
from tests.support.raw_client import request_head

GET = request_head("GET", "/")
ONE = request_head("GET", "/one")
PACED = request_head("GET", "/paced")
UPLOAD = request_head("POST", "/", "Content-Length: 100000")
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"


def exchange_of(client: Line) -> ExpressExchange:
    exchange = protocol_of(client)._exchange
    assert exchange is not None
    return exchange


async def all_leave(it: Stage) -> None:
    for line in it.lines:
        if not line.lost:
            line.abort()
            line.lose()
    await turn()


@dataclass
class Reached:
    """A request that has come so far: its client, and the connection that carries it, if any."""

    client: Line
    upstream: FakeConnection | None = None


async def in_a_queue(it: Stage) -> Reached:
    before, client = it.client(), it.client()
    before.receive(ONE)
    await it.connect()
    client.receive(ONE)
    return Reached(client)


async def before_its_turn(it: Stage) -> Reached:
    client = it.client()
    client.receive(PACED)
    return Reached(client)


async def woken(it: Stage) -> Reached:
    """Its place has become free, and the event loop has not come round yet."""
    reached = await in_a_queue(it)
    it.upstream.made[-1].transport.receive(ok())
    return reached


async def connecting(it: Stage) -> Reached:
    client = it.client()
    client.receive(UPLOAD + b"12345")
    await turn()
    return Reached(client)


async def uploading(it: Stage) -> Reached:
    client = it.client()
    client.receive(UPLOAD + b"12345")
    upstream = await it.connect()
    client.receive(b"67890")
    return Reached(client, upstream)


async def uploading_to_nobody(it: Stage) -> Reached:
    """The upstream takes nothing."""
    reached = await uploading(it)
    assert reached.upstream is not None
    reached.upstream.transport.fill()
    reached.client.receive(bytes(1000))
    assert not reached.client.is_reading()
    return reached


async def before_the_head(it: Stage) -> Reached:
    client = it.client()
    client.receive(GET)
    upstream = await it.connect()
    upstream.transport.receive(HALF[:10])
    return Reached(client, upstream)


async def within_a_response(it: Stage) -> Reached:
    """With another request behind it."""
    client = it.client()
    client.receive(GET + GET)
    upstream = await it.connect()
    upstream.transport.receive(HALF)
    return Reached(client, upstream)


async def within_one_that_is_not_taken(it: Stage) -> Reached:
    reached = await within_a_response(it)
    assert reached.upstream is not None
    reached.client.fill()
    reached.upstream.transport.receive(b"more")
    assert not reached.upstream.transport.is_reading()
    return reached


async def within_an_early_one(it: Stage) -> Reached:
    reached = await uploading(it)
    assert reached.upstream is not None
    reached.upstream.transport.receive(HALF)
    return reached


Arrive = Callable[[Stage], Awaitable[Reached]]
WAITING: list[Arrive] = [in_a_queue, before_its_turn]
UNANSWERED: list[Arrive] = [connecting, uploading, uploading_to_nobody, before_the_head]
ANSWERED: list[Arrive] = [within_a_response, within_one_that_is_not_taken, within_an_early_one]
