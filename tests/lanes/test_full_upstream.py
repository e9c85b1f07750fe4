"""The pool: which connection carries a request, and when it closes."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from proxy.lanes.errors import ServerFailedError, UpstreamError
from proxy.lanes.full_upstream import Upstream, UpstreamConnection, tls_context
from proxy.lanes.resting_links import RestingLinks
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import TlsSpec, UpstreamSpec, UpstreamTimeouts
from proxy.wire.response_head import ResponseHead
from tests.support.origin import Peer, RawOrigin, answering, ok
from tests.support.raw_client import request_head

HEAD = ResponseHead(200, b"OK", (1, 1), [], 0, False, True, None, frozenset())


@pytest.fixture
async def origin() -> AsyncIterator[RawOrigin]:
    async with RawOrigin(answering(ok()), peers_may_leave=True) as running:
        yield running


@pytest.fixture
async def upstream(origin: RawOrigin) -> AsyncIterator[Upstream]:
    made = _upstream(origin.port)
    yield made
    await made.close()


def _upstream(port: int) -> Upstream:
    return Upstream(UpstreamSpec("shop", "127.0.0.1", port), asyncio.get_running_loop())


async def _ask(connection: UpstreamConnection) -> None:
    feed = connection.expect(b"GET")
    await connection.write(request_head("GET", "/"))
    assert (await feed.head()).status == 200
    assert await feed.body.read() == b"ok"
    assert feed.reusable


async def test_a_released_connection_carries_the_next_request(
    upstream: Upstream, origin: RawOrigin
) -> None:
    for _ in range(3):
        connection = await upstream.connect()
        assert (upstream.in_use, upstream.idle) == (1, 0)
        await _ask(connection)
        connection.release(reusable=True)
        assert (upstream.in_use, upstream.idle) == (0, 1)
    assert upstream.connects == len(origin.peers) == 1


async def test_a_connection_that_is_not_reusable_closes(
    upstream: Upstream, origin: RawOrigin
) -> None:
    connection = await upstream.connect()
    await connection.write(b"GET / HTTP/1.1\r\n")
    connection.release(reusable=False)
    assert (upstream.in_use, upstream.idle) == (0, 0)
    async with asyncio.timeout(5):
        while not origin.peers:
            await asyncio.sleep(0)
        await origin.peers[0].left.wait()


async def test_a_pooled_connection_with_unasked_bytes_is_not_used(
    upstream: Upstream, origin: RawOrigin
) -> None:
    first, second = await upstream.connect(), await upstream.connect()
    for connection in (first, second):
        await _ask(connection)
        connection.release(reusable=True)
    # To one they come before they could be seen, to the other long before.
    await origin.peers[0].send(b"evil")
    await asyncio.sleep(0.05)
    await origin.peers[1].send(b"evil")
    connection = await upstream.connect()
    await _ask(connection)
    connection.release(reusable=True)
    assert upstream.connects == 3


async def test_a_connection_that_is_reset_at_once_is_an_error_of_the_upstream() -> None:
    async def script(peer: Peer) -> None:
        peer.reset()

    async with RawOrigin(script) as origin:
        upstream = _upstream(origin.port)
        reasons = set()
        for _ in range(20):
            try:
                connection = await upstream.connect()
            except UpstreamError as error:
                reasons.add(error.reason)
            else:
                feed = connection.expect(b"GET")
                with pytest.raises(UpstreamError) as caught:
                    await feed.head()
                reasons.add(caught.value.reason)
                with pytest.raises(ConnectionError):
                    await connection.write(b"x")
                connection.release(reusable=False)
            assert upstream.in_use == 0
        assert reasons == {Reason.UPSTREAM_ERROR}
        await upstream.close()


async def test_a_retired_upstream_closes_after_its_last_request(
    upstream: Upstream, origin: RawOrigin
) -> None:
    first = await upstream.connect()
    await _ask(first)
    first.release(reusable=True)
    second, connecting = await upstream.connect(), asyncio.create_task(upstream.connect())
    await asyncio.sleep(0)
    upstream.retire()
    third = await connecting
    for connection in (second, third):
        await _ask(connection)
        connection.release(reusable=True)
    async with asyncio.timeout(5):
        for peer in origin.peers:
            await peer.left.wait()
    assert upstream.idle == 0


def test_a_tls_context_believes_as_it_is_told() -> None:
    assert tls_context(None) is None
    verifying, believing = tls_context(TlsSpec()), tls_context(TlsSpec(verify=False))
    assert verifying is not None
    assert believing is not None
    assert verifying.check_hostname
    assert not believing.check_hostname
    with pytest.raises(OSError, match="No such file"):
        tls_context(TlsSpec(ca_file="/nowhere/ca.pem"))


async def test_an_answer_that_is_replaced_is_one_server_error_and_no_failure_besides(
    upstream: Upstream,
) -> None:
    upstream.answered(
        ResponseHead(503, b"No", (1, 1), [], 0, False, True, None, frozenset()), 0.05, 100.0
    )
    upstream.failed(ServerFailedError(503), 100.0)
    assert (upstream.counters.server_errors, upstream.counters.failures) == (1, 0)
    assert upstream.failures[Reason.UPSTREAM_ERROR] == 1


@pytest.mark.parametrize(("status", "errors"), [(0, 0), (200, 1), (404, 1), (500, 0)])
async def test_an_answer_that_breaks_off_is_one_error(
    upstream: Upstream, status: int, errors: int
) -> None:
    """Of 500 and above it was one when it began."""
    upstream.failed(UpstreamError(Reason.UPSTREAM_ERROR, "cut"), 100.0, status)
    assert upstream.counters.server_errors == errors
    assert upstream.counters.failures == (0 if status else 1)


async def test_an_upstream_s_failing_and_its_recovery_are_told_once(
    upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    error = UpstreamError(Reason.UPSTREAM_ERROR, "no connection: Connection refused")
    for now in (100.0, 100.1, 103.0):
        upstream.failed(error, now)
        upstream.answered(HEAD, 0.05, now + 0.05)
    upstream.answered(HEAD, 0.05, 107.9)
    assert caplog.messages == ["upstream shop fails: no connection: Connection refused"]
    assert upstream.failures[Reason.UPSTREAM_ERROR] == 3

    upstream.answered(HEAD, 0.05, 108.0)
    upstream.answered(HEAD, 0.05, 109.0)
    assert caplog.messages[1:] == ["upstream shop answers again"]

    upstream.failed(error, 110.0)
    assert len(caplog.messages) == 3


class _Resting:
    """Stands for the express lane's links: each is a connection that it has taken."""

    def __init__(self, connections: list[UpstreamConnection]) -> None:
        self.connections = connections
        self.closed = False

    def __len__(self) -> int:
        return len(self.connections)

    def close_oldest(self) -> bool:
        if self.connections:
            self.connections.pop(0).release(reusable=False)
            return True
        return False

    def close(self) -> None:
        self.closed = True


async def test_resting_connections_make_room_where_there_is_a_limit(
    upstream: Upstream, origin: RawOrigin
) -> None:
    resting = [await upstream.connect() for _ in range(3)]
    for connection in resting:
        await _ask(connection)
    upstream.resting = cast("RestingLinks", _Resting(resting))
    upstream.limit_connections(2)
    assert len(resting) == 2, "a lower limit holds at once"
    connection = await upstream.connect()
    assert (len(resting), upstream.in_use, upstream.taken) == (1, 1, 2)
    await _ask(connection)
    connection.release(reusable=True)
    # One rests, and aiohttp's pool has another, which is taken before any is opened.
    again = await upstream.connect()
    assert (len(resting), upstream.connects) == (1, 4)
    upstream.limit_connections(None)
    more = [await upstream.connect() for _ in range(3)]
    assert len(resting) == 1
    for each in (again, *more, *resting):
        each.release(reusable=False)


async def test_what_a_url_names_itself_may_be_link_local_and_what_a_name_leads_to_may_not() -> None:
    said = []
    for host, patience in (("169.254.0.1", 0.05), ("0xa9fe0001", 10.0)):
        spec = UpstreamSpec("x", host, 1, timeouts=UpstreamTimeouts(connect=patience))
        upstream = Upstream(spec, asyncio.get_running_loop())
        try:
            (await upstream.connect()).release(reusable=False)
        except UpstreamError as error:
            said.append(str(error))
        else:
            # Some networks answer to every address.
            said.append("connected")
        await upstream.close()
    named, resolved = said
    assert "only a URL may name" not in named
    assert "0xa9fe0001 resolves to 169.254.0.1, which only a URL may name" in resolved
