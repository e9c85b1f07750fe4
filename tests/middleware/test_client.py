import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import (
    ClientConnectorError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ServerDisconnectedError,
    TCPConnector,
    web,
)
from aiohttp.client_proto import ResponseHandler

from proxy.middleware import PlanB
from tests.middleware.programs import at_rest, calling, metric, plan_b, serving, session, write
from tests.support.origin import Peer, RawOrigin, answering, ok, response

ONE = "routes: [{name: one, limits: [{rate: 1/h, burst: 1}], fallback: {page: %s}}]"
ONE_AT_A_TIME = "routes: [{name: one, limits: [{concurrency: 1}]}]"
DEFAULT = "fallback: {page: none}"

End = Callable[[ClientResponse], Awaitable[None]]


async def test_what_is_admitted_is_sent_as_it_was(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, upstream="adaptive_concurrency: {}")
    async with (
        calling(guard, answering(ok(b"seen"))) as (origin, http),
        http.post("/a%2Fb?x=1", data=b"body", headers={"X-Mine": "1"}) as answer,
    ):
        assert (answer.status, await answer.read()) == (200, b"seen")
    request = origin.requests[0]
    assert (request.target, request.body, request.header("x-mine")) == (b"/a%2Fb?x=1", b"body", "1")
    await at_rest(guard)
    assert await metric(guard, "planb_responses_total", status_class="2xx") == 1


async def test_what_is_refused_is_not_sent_and_answered_like_any_other(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, ONE % "busy")
    async with calling(guard, answering(ok(), ok())) as (origin, http):
        async with http.get("/"):
            pass
        async with http.get("/items?x=1") as answer:
            problem = await answer.json(content_type="application/problem+json")
        async with http.head("/") as headed:
            assert await headed.read() == b""
    assert (answer.status, answer.reason, problem["status"]) == (429, "Too Many Requests", 429)
    assert answer.headers["Proxy-Status"].endswith('details="rate"')
    assert answer.headers["RateLimit"].startswith('"one/rate";r=0;t=')
    assert (answer.url.path_qs, answer.method, answer.closed) == ("/items?x=1", "GET", True)
    assert (headed.status, headed.headers["Content-Length"] > "0") == (429, True)
    assert len(origin.requests) == 1


async def test_a_default_stands_in_for_what_is_refused(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, ONE % "none")
    async with calling(guard, answering(ok())) as (origin, http):
        async with http.get("/"):
            pass
        async with http.get("/", raise_for_status=True) as answer:
            assert await answer.json() == {"coupons": []}
    assert len(origin.requests) == 1


async def test_a_large_default_is_whole(tmp_path: Path) -> None:
    file = write(tmp_path, DEFAULT)
    (tmp_path / "none.json").write_text('"' + "x" * 1_000_000 + '"')
    guard = PlanB(file, {})
    async with calling(guard, _reset) as (_, http), http.post("/") as answer:
        assert len(await answer.json()) == 1_000_000


async def _reset(peer: Peer) -> None:
    await peer.read_request()
    peer.reset()


async def _stall(peer: Peer) -> None:
    await peer.read_request()
    await peer.stall()


async def test_a_failure_fails_as_it_would_without_us(tmp_path: Path) -> None:
    guard = plan_b(tmp_path)
    async with RawOrigin(answering()) as origin:
        gone = origin.port
    async with session(guard, gone) as http:
        with pytest.raises(ClientConnectorError):
            await http.get("/")
    async with calling(guard, _stall, total=0.05) as (_, http):
        with pytest.raises(TimeoutError):
            await http.get("/")
    await at_rest(guard)
    for reason in ("upstream_error", "upstream_timeout"):
        assert await metric(guard, "planb_requests_total", verdict="failed", reason=reason) == 1


async def test_a_default_stands_in_for_a_failure(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, DEFAULT)
    async with RawOrigin(answering()) as origin:
        gone = origin.port
    async with session(guard, gone) as http, http.get("/") as answer:
        assert (answer.status, await answer.json()) == (200, {"coupons": []})
    async with calling(guard, _stall, total=0.05) as (_, http), http.get("/") as answer:
        assert (answer.status, await answer.json()) == (200, {"coupons": []})
    async with calling(guard, _reset) as (origin, http):
        for _ in range(2):
            async with http.get("/") as answer:
                assert await answer.json() == {"coupons": []}
    assert len(origin.requests) == 4  # aiohttp asks again, once, where a connection was closed
    await at_rest(guard)


class _NeverConnected(TCPConnector):
    async def _create_connection(self, *_: object) -> ResponseHandler:
        await asyncio.Event().wait()
        raise AssertionError


async def test_the_end_of_the_time_while_connecting_is_a_failure_too(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, DEFAULT)
    async with ClientSession(
        "http://127.0.0.1:1",
        connector=_NeverConnected(),
        middlewares=[guard.client("out")],
        timeout=ClientTimeout(total=0.05),
    ) as http:
        async with http.get("/") as answer:
            assert await answer.json() == {"coupons": []}
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
    assert await metric(guard, "planb_requests_total", reason="upstream_timeout") == 1


async def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, DEFAULT)
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        while await peer.read_request():
            await peer.send(ok(b"seen"))
            if not closed.is_set():
                closed.set()
                await peer.read_request()
                return

    async with calling(guard, script) as (origin, http):
        for _ in range(2):
            async with http.get("/") as answer:
                assert await answer.read() == b"seen"
    assert len(origin.requests) == 3
    assert await metric(guard, "planb_requests_total", verdict="failed") == 0
    assert await metric(guard, "planb_requests_total", verdict="forwarded") == 2


async def test_what_aiohttp_would_not_send_again_fails_at_once(tmp_path: Path) -> None:
    guard = plan_b(tmp_path)
    async with calling(guard, _reset) as (origin, http):
        with pytest.raises((ServerDisconnectedError, OSError)):
            await http.post("/")
    assert len(origin.requests) == 1
    assert await metric(guard, "planb_requests_total", verdict="failed") == 1


class _InTwo:
    """A callee that sends the second half of its answers when it may go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        while await peer.read_request():
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
            await self.go_on.wait()
            with contextlib.suppress(ConnectionError):
                await peer.send(b"67890")


async def _read(answer: ClientResponse) -> None:
    assert await answer.read() == b"1234567890"


async def _close(answer: ClientResponse) -> None:
    answer.close()


async def _release(answer: ClientResponse) -> None:
    await answer.release()


@pytest.mark.parametrize("end", [_read, _close, _release])
async def test_a_place_is_held_until_the_end_of_the_response(tmp_path: Path, end: End) -> None:
    guard = plan_b(tmp_path, ONE_AT_A_TIME)
    script = _InTwo()
    async with calling(guard, script) as (_, http):
        answer = await http.get("/")
        assert await metric(guard, "planb_limit_in_flight") == 1
        assert (await http.get("/")).status == 503
        script.go_on.set()
        await end(answer)
        assert await metric(guard, "planb_limit_in_flight") == 0
        async with http.get("/") as again:
            assert again.status == 200
    await at_rest(guard)


async def test_a_response_that_nobody_reads_gives_back_its_place_with_its_end(
    tmp_path: Path,
) -> None:
    guard = plan_b(tmp_path, ONE_AT_A_TIME)
    script = _InTwo()
    async with calling(guard, script) as (_, http):
        await http.get("/")
        script.go_on.set()
        await at_rest(guard)


async def test_a_call_that_is_cancelled_gives_back_its_place(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, ONE_AT_A_TIME)
    async with calling(guard, _stall) as (origin, http):
        call = asyncio.create_task(http.get("/"))
        while not origin.requests:
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await at_rest(guard)
    assert await metric(guard, "planb_requests_total", verdict="abandoned") == 1


async def test_the_time_of_a_call_is_over_in_the_queue_as_well(tmp_path: Path) -> None:
    rules = "routes: [{name: one, limits: [{pace: 1/s, max_wait: 5s}]}]"
    guard = plan_b(tmp_path, rules + "\n" + DEFAULT)
    async with calling(guard, answering(ok())) as (origin, http):
        async with http.get("/"):
            pass
        with pytest.raises(TimeoutError):
            await http.get("/", timeout=ClientTimeout(total=0.05))
    assert len(origin.requests) == 1
    assert await metric(guard, "planb_requests_total", verdict="abandoned") == 1


async def test_a_breaker_opens_and_closes_by_what_calls_come_to(tmp_path: Path) -> None:
    breaker = "{consecutive_failures: 3, open: 200ms, probes: 1, recovery: 0s}"
    guard = plan_b(tmp_path, DEFAULT, upstream=f"breaker: {breaker}")
    broken = [response(500, "Internal Server Error", b"")] * 3
    async with calling(guard, answering(*broken, *[ok(b"well")] * 100)) as (origin, http):
        statuses = [(await http.get("/")).status for _ in range(4)]
        assert statuses == [500, 500, 500, 200]
        assert len(origin.requests) == 3
        assert await metric(guard, "planb_requests_total", reason="breaker_open") == 1
        async with asyncio.timeout(10):
            while await (await http.get("/")).read() != b"well":
                await asyncio.sleep(0.01)
    await at_rest(guard)


async def test_of_a_listener_for_named_hosts_others_are_not_called(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, DEFAULT)
    async with RawOrigin(answering(ok())) as origin:
        middlewares = [guard.client("named")]
        async with ClientSession(middlewares=middlewares) as http:
            async with http.get(f"http://127.0.0.1:{origin.port}/") as answer:
                assert (answer.status, answer.headers["Proxy-Status"][-18:]) == (
                    403,
                    '"host_not_allowed"',
                )
            async with http.get("http://localhost:1/") as answer:
                assert await answer.json() == {"coupons": []}
        assert not origin.requests
    assert await metric(guard, "planb_requests_total", reason="upstream_error") == 1


async def test_a_redirect_is_a_request(tmp_path: Path) -> None:
    rules = "routes: [{name: a, match: {path: /a}}, {name: b, match: {path: /b}}]"
    guard = plan_b(tmp_path, rules)
    moved = response(302, "Found", b"", "Location: /b")
    async with calling(guard, answering(moved, ok())) as (_, http), http.get("/a") as answer:
        assert (answer.status, len(answer.history)) == (200, 1)
    await at_rest(guard)
    for route in ("a", "b"):
        assert await metric(guard, "planb_requests_total", route=route) == 1


async def test_a_socket_holds_its_place_until_it_is_closed(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, ONE_AT_A_TIME)

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/", echo)
    async with serving(app) as port, session(guard, port) as http:
        async with http.ws_connect("/") as socket:
            await socket.send_str("ping")
            assert await socket.receive_str() == "ping"
            assert await metric(guard, "planb_limit_in_flight") == 1
        await at_rest(guard)


async def test_a_field_that_no_server_would_take_is_not_sent(tmp_path: Path) -> None:
    guard = plan_b(tmp_path)
    async with (
        calling(guard, answering(ok())) as (origin, http),
        http.get("/", headers={"X Mine": "1"}) as answer,
    ):
        assert answer.status == 400
    assert not origin.requests


async def test_what_a_callee_says_about_how_fast_it_may_be_called_is_obeyed(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, upstream="obey_advice: {}")
    policy = 'RateLimit-Policy: "all";q=1;w=10;planb-share="it"'
    async with calling(guard, answering(*[ok(b"", policy)] * 10)) as (origin, http):
        statuses = []
        for _ in range(8):
            async with http.get("/", headers={"Planb-Caller": "forged"}) as answer:
                statuses.append(answer.status)
    assert statuses == [200] * 5 + [429] * 3, "the first was sent before anything was said"
    told = {request.header("planb-caller") for request in origin.requests}
    assert all(each and each.startswith('"') and ";demand=" in each for each in told)
    assert await metric(guard, "planb_requests_total", reason="advised") == 3
