"""Connections to the shop: reused, never trusted blindly, over TCP, TLS and Unix sockets."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from tests.scenarios.storefront import Storefront, rules, storefront
from tests.support.messages import read_body, read_request_head
from tests.support.origin import Peer, answering, ok
from tests.support.planb import PlanB
from tests.support.raw_client import fetch, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

UPSTREAM = "timeouts: {connect: 500ms, idle: 1s}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def planb(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    async with storefront(tmp_path_factory.mktemp("planb"), upstream=UPSTREAM) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(planb: Storefront) -> AsyncIterator[Storefront]:
    yield planb
    await planb.is_at_rest()


async def test_clients_share_connections(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin:
        for _ in range(10):
            assert (await shop.fetch("GET", "/")).status == 200
        assert len(origin.peers) == 1


async def test_an_unused_connection_is_closed(shop: Storefront) -> None:
    async with shop.origin(answering(ok())) as origin:
        await shop.fetch("GET", "/")
        async with asyncio.timeout(10):
            await origin.peers[0].left.wait()
        assert await shop.planb.metric("planb_upstream_connections", state="idle") == 0


async def test_a_connection_that_was_closed_meanwhile_costs_no_request(shop: Storefront) -> None:
    async def once(peer: Peer) -> None:
        if await peer.read_request():
            await peer.send(ok())
            peer.close()

    async with shop.origin(once) as origin, shop.client() as client:
        for number in range(30):
            method = "POST" if number % 2 else "GET"
            await client.send(request_head(method, f"/{number}", "Content-Length: 0"))
            assert (await client.read_response()).status == 200
        assert [request.target for request in origin.requests] == [
            b"/%d" % number for number in range(30)
        ]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_may_have_been_processed_is_not_sent_again(
    shop: Storefront, method: str
) -> None:
    async def second_is_fatal(peer: Peer) -> None:
        if await peer.read_request():
            await peer.send(ok())
        # It leaves just when the next request is on its way.
        if await peer.read_request():
            peer.close()

    async with shop.origin(second_is_fatal) as origin, shop.client() as client:
        assert (await client.get("/first")).status == 200
        await client.send(request_head(method, "/second", "Content-Length: 0"))
        assert (await client.read_response()).status == 502
        assert [request.target for request in origin.requests] == [b"/first", b"/second"]


async def test_what_nobody_asked_for_is_nobody_s_answer(shop: Storefront) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.read_request():
            await peer.send(ok(b"good"))
            await go_on.wait()
            # As servers do that close an idle connection with a farewell, only they close then.
            await peer.send(ok(b"evil"))

    async with shop.origin(script, peers_may_leave=True) as origin, shop.client() as client:
        assert (await client.get("/")).body == b"good"
        received = await shop.planb.metric("planb_upstream_connections", state="idle")
        assert received == 1
        go_on.set()
        # Whether it has been read by now or not: it is found either way.
        await asyncio.sleep(0.1)
        assert (await client.get("/")).body == b"good"
        assert len(origin.peers) == 2


async def test_a_port_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    # An address of TEST-NET-1 (RFC 5737) leads nowhere, or is refused for want of a route.
    text = rules("http://192.0.2.1:80", upstream="timeouts: {connect: 200ms}")
    async with PlanB(text, tmp_path) as planb:
        answer = await fetch(planb.port("storefront"), request_head("GET", "/"))
        assert answer.status in (502, 504)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _serving(heads: list[bytes]) -> Serve:
    """Answers every request with its body, and keeps the heads."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while request := await read_request_head(reader):
                await read_body(reader, request)
                heads.append(request.head)
                writer.write(ok(request.body))
        writer.close()

    return serve


# ------------------------------------------------------------------------- Unix


async def test_a_unix_socket_is_an_upstream(tmp_path: Path) -> None:
    heads: list[bytes] = []
    path = tmp_path / "shop.sock"
    server = await asyncio.start_unix_server(_serving(heads), path)
    async with server, PlanB(rules(f"unix:{path}"), tmp_path / "planb") as planb:
        port = planb.port("storefront")
        for _ in range(2):
            assert (await fetch(port, request_head("GET", "/"))).status == 200
        assert (await fetch(port, b"GET / HTTP/1.0\r\n\r\n")).status == 200
        assert b"Host: shop.test\r\n" in heads[0]
        assert b"Host: localhost" in heads[2]
        server.close()
        path.unlink(missing_ok=True)
    assert len(heads) == 3


# -------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def _tls_answer(
    authority: trustme.CA, directory: Path, tls: str, *, name: str = "shop.internal"
) -> tuple[int, bytes]:
    """What a client gets from an upstream whose certificate is for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    server = await asyncio.start_server(_serving([]), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    text = rules(f"https://127.0.0.1:{port}", upstream=f"tls: {{{tls}}}" if tls else "")
    try:
        async with PlanB(text, directory) as planb:
            data = request_head("POST", "/", "Content-Length: 300000") + b"x" * 300_000
            answer = await fetch(planb.port("storefront"), data)
            again = await fetch(planb.port("storefront"), data)
            assert answer.status == again.status
            return answer.status, answer.body[:4]
    finally:
        server.close()


async def test_an_authority_of_one_s_own_is_believed(authority: trustme.CA, tmp_path: Path) -> None:
    tls = "ca_file: ca.pem, server_name: shop.internal"
    assert await _tls_answer(authority, tmp_path, tls) == (200, b"xxxx")


async def test_a_certificate_for_the_url_s_host_is_believed(
    authority: trustme.CA, tmp_path: Path
) -> None:
    answer = await _tls_answer(authority, tmp_path, "ca_file: ca.pem", name="127.0.0.1")
    assert answer == (200, b"xxxx")


async def test_an_authority_that_is_replaced_is_believed_after_a_reload(
    authority: trustme.CA, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(_serving([]), "127.0.0.1", 0, ssl=context)
    known = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(known))
    port = server.sockets[0].getsockname()[1]
    text = rules(f"https://127.0.0.1:{port}", upstream="tls: {ca_file: ca.pem}")
    async with server, PlanB(text, tmp_path) as planb:
        front = planb.port("storefront")
        assert (await fetch(front, request_head("GET", "/"))).status == 502
        authority.cert_pem.write_to_path(str(known))
        assert (await planb.admin("POST", "/-/reload")).status == 200
        assert (await fetch(front, request_head("GET", "/"))).status == 200


@pytest.mark.parametrize(
    "tls", ["", "server_name: shop.internal", "ca_file: ca.pem, server_name: other.internal"]
)
async def test_any_other_certificate_is_not(
    authority: trustme.CA, tmp_path: Path, tls: str
) -> None:
    status, _ = await _tls_answer(authority, tmp_path, tls)
    assert status == 502


async def test_any_certificate_is_believed_where_nothing_is_verified(
    authority: trustme.CA, tmp_path: Path
) -> None:
    assert await _tls_answer(authority, tmp_path, "verify: false") == (200, b"xxxx")
