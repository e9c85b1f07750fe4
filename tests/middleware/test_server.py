import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from proxy.middleware import PlanB
from tests.middleware.programs import BROWSER, at_rest, get, metric, plan_b, serving
from tests.support.raw_client import RawClient, fetch, request_head

ONE = "routes: [{name: one, limits: [{rate: 1/h, burst: 1}]}]"
ONE_AT_A_TIME = """
routes: [{name: one, limits: [{concurrency: 1, queue: 1, queue_timeout: 50ms}]}]
"""


class App:
    """An application that answers as its paths say, and counts what it was asked for."""

    def __init__(self, guard: PlanB) -> None:
        self.asked: list[str] = []
        self.go_on = asyncio.Event()
        self.began = asyncio.Event()
        self.app = web.Application()
        guard.setup(self.app, "front")
        self.app.router.add_route("*", "/{path:.*}", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        match request.path:
            case "/wait":
                self.began.set()
                await self.go_on.wait()
            case "/missing":
                raise web.HTTPNotFound
            case "/broken":
                raise RuntimeError("broken")
            case "/unconnected":
                raise ConnectionRefusedError
            case "/late":
                raise TimeoutError
            case "/stream":
                stream = web.StreamResponse()
                await stream.prepare(request)
                self.began.set()
                while True:
                    await stream.write(b"x" * 65536)
            case "/socket":
                socket = web.WebSocketResponse()
                await socket.prepare(request)
                async for _ in socket:
                    pass
                return socket
            case "/upload":
                return web.Response(text=str(len(await request.read())))
        return web.Response(text="ok")


@pytest.fixture
async def guard(tmp_path: Path) -> AsyncIterator[PlanB]:
    made = plan_b(tmp_path, ONE_AT_A_TIME)
    yield made
    await at_rest(made)


async def test_who_is_over_a_rate_gets_the_page_that_a_sidecar_would_send(tmp_path: Path) -> None:
    app = App(plan_b(tmp_path, ONE))
    async with serving(app.app) as port:
        assert (await get(port, "/")).body == b"ok"
        page = await get(port, "/", BROWSER)
        problem = await get(port, "/")
    assert (page.status, page.header("content-type")) == (429, "text/html; charset=utf-8")
    assert b"<html" in page.body
    assert (page.header("cache-control"), page.header("proxy-status")) == (
        "no-store",
        'planb; error=http_request_denied; details="rate"',
    )
    assert int(page.header("retry-after") or 0) > 3000
    assert page.header("ratelimit-policy") == '"one/rate";q=1;w=3600'
    assert json.loads(problem.body)["status"] == 429
    assert app.asked == ["/"]


async def test_a_head_request_gets_the_head_of_its_get(tmp_path: Path) -> None:
    async with serving(App(plan_b(tmp_path, ONE)).app) as port:
        await get(port, "/")
        got = await get(port, "/", BROWSER)
        headed = await get(port, "/", BROWSER, method="HEAD")
    assert (headed.status, headed.body) == (429, b"")
    assert headed.header("content-length") == got.header("content-length")


async def test_one_waits_for_its_turn_and_one_too_many_does_not(guard: PlanB) -> None:
    app = App(guard)
    async with serving(app.app) as port:
        first = asyncio.create_task(get(port, "/wait"))
        await app.began.wait()
        assert (await get(port, "/")).status == 503
        second = asyncio.create_task(get(port, "/"))
        while not await metric(guard, "planb_limit_waiting"):
            await asyncio.sleep(0.001)
        app.go_on.set()
        assert ((await first).status, (await second).status) == (200, 200)
    assert await metric(guard, "planb_requests_total", reason="queue_timeout") == 1
    assert await metric(guard, "planb_requests_total", verdict="forwarded") == 2


@pytest.mark.parametrize(
    ("path", "status"),
    [("/missing", 404), ("/broken", 500), ("/unconnected", 500), ("/late", 504), ("/", 200)],
)
async def test_an_exception_is_the_answer_that_aiohttp_makes_of_it(
    guard: PlanB, path: str, status: int
) -> None:
    async with serving(App(guard).app) as port:
        assert (await get(port, path)).status == status
        assert (await get(port, "/")).status == 200
    assert await metric(guard, "planb_responses_total", status_class=f"{status // 100}xx") >= 1


async def test_a_handler_that_is_cancelled_gives_back_its_place(guard: PlanB) -> None:
    app = App(guard)
    async with serving(app.app, handler_cancellation=True) as port:
        async with RawClient(port) as client:
            await client.send(request_head("GET", "/wait"))
            await app.began.wait()
        await at_rest(guard)
        assert (await get(port, "/")).status == 200
    assert await metric(guard, "planb_requests_total", verdict="abandoned") == 1


async def test_a_client_that_leaves_a_stream_gives_back_its_place(guard: PlanB) -> None:
    app = App(guard)
    async with serving(app.app) as port:
        async with RawClient(port) as client:
            await client.send(request_head("GET", "/stream"))
            await app.began.wait()
            assert await metric(guard, "planb_limit_in_flight") == 1
        await at_rest(guard)
    assert await metric(guard, "planb_responses_total", status_class="2xx") == 1


async def test_who_left_while_it_waited_is_not_worked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guard = plan_b(tmp_path, ONE_AT_A_TIME.replace("50ms", "5s"))
    app = App(guard)
    async with serving(app.app) as port:
        first = asyncio.create_task(get(port, "/wait"))
        await app.began.wait()
        async with RawClient(port) as client:
            await client.send(request_head("GET", "/gone"))
            while not await metric(guard, "planb_limit_waiting"):
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        app.go_on.set()
        assert (await first).status == 200
        await at_rest(guard)
    assert app.asked == ["/wait"]
    assert not caplog.records


async def test_an_open_socket_is_no_request_that_waits_for_its_answer(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, upstream="adaptive_concurrency: {}")
    async with (
        serving(App(guard).app) as port,
        ClientSession() as session,
        session.ws_connect(f"http://127.0.0.1:{port}/socket"),
    ):
        assert await metric(guard, "planb_requests_in_flight") == 1
        assert await metric(guard, "planb_limit_in_flight", kind="adaptive") == 0
    await at_rest(guard)


async def test_clients_behind_a_trusted_proxy_are_told_apart(tmp_path: Path) -> None:
    rules = "routes: [{name: one, limits: [{rate: 1/h, burst: 1, per: client_address}]}]"
    for trusted, statuses in (("[127.0.0.0/8]", [200, 200, 429]), ("[]", [200, 429, 429])):
        guard = plan_b(tmp_path, rules, listener=f"trusted_proxies: {trusted}")
        async with serving(App(guard).app) as port:
            seen = [
                (await get(port, "/", f"X-Forwarded-For: 192.0.2.{number}")).status
                for number in (1, 2, 2)
            ]
        assert seen == statuses


@pytest.mark.parametrize("target", ["/%6Frders", "//orders", "/x/../orders", "/orders;v=1"])
async def test_no_spelling_of_a_path_is_a_way_around(tmp_path: Path, target: str) -> None:
    rules = "routes: [{name: o, match: {path: /orders}, limits: [{rate: 1/h, burst: 1}]}]"
    async with serving(App(plan_b(tmp_path, rules)).app) as port:
        await get(port, "/orders")
        assert (await get(port, target)).status == 429


async def test_a_request_of_two_meanings_is_refused_and_nothing_after_it_believed(
    guard: PlanB,
) -> None:
    app = App(guard)
    async with serving(app.app) as port:
        data = b"GET / HTTP/1.1\r\nHost: shop.example:99999\r\n\r\n"
        answer = await fetch(port, data, method="GET")
    assert (answer.status, answer.header("connection")) == (400, "close")
    assert app.asked == []


async def test_no_body_is_longer_than_the_rules_say(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, listener="max_body_size: 8B")
    async with serving(App(guard).app) as port:
        for size, status in ((8, 200), (9, 413)):
            body = b"x" * size
            length, chunked = f"Content-Length: {size}", "Transfer-Encoding: chunked"
            known = request_head("POST", "/upload", length) + body
            unknown = request_head("POST", "/upload", chunked) + b"%x\r\n%b\r\n0\r\n\r\n" % (
                size,
                body,
            )
            for request in (known, unknown):
                assert (await fetch(port, request, method="POST")).status == status
    await at_rest(guard)


async def test_a_calling_sidecar_is_told_its_share(tmp_path: Path) -> None:
    advise = "advise: {rate: 1/h, burst: 1, callers: [127.0.0.0/8]}"
    guard = plan_b(tmp_path, listener=advise)
    caller = 'Planb-Caller: "one";demand=5'
    async with serving(App(guard).app) as port:
        told, refused = await get(port, "/", caller), await get(port, "/", caller)
        other = await get(port, "/")
    assert (told.status, refused.status, other.status) == (200, 429, 429)
    name = "listener/front/shared"
    assert (told.header("ratelimit-policy") or "").startswith(f'"{name}";q=')
    assert (refused.header("ratelimit") or "").startswith(f'"{name}";r=0;t=')
    assert not other.values("ratelimit-policy")
