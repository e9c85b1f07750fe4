"""Programs with Plan B inside, over real sockets."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout, web

from proxy.middleware import PlanB
from tests.support.messages import Response
from tests.support.origin import RawOrigin, Script
from tests.support.raw_client import fetch, request_head

BROWSER = "Accept: text/html,*/*;q=0.8"


def plan_b(folder: Path, more: str = "", *, listener: str = "", upstream: str = "") -> PlanB:
    """With a listener `front`, to serve, and `out`, to call; keys of `front` and of their upstream
    as YAML flow, `more` at the end.
    """
    return PlanB(write(folder, more, listener=listener, upstream=upstream), {})


def write(folder: Path, more: str = "", *, listener: str = "", upstream: str = "") -> Path:
    (folder / "none.json").write_text('{"coupons": []}')
    file = folder / "planb.yaml"
    file.write_text(
        "version: 1\n"
        "listeners:\n"
        f"- {{name: front, bind: '127.0.0.1:8080', upstream: shop, {listener}}}\n"
        "- {name: out, bind: '127.0.0.1:8081', direction: outbound, upstream: shop}\n"
        "- {name: named, bind: '127.0.0.1:8082', direction: outbound, "
        "hosts: {'localhost:1': shop}}\n"
        f"upstreams: {{shop: {{url: 'http://localhost:8000', {upstream}}}}}\n"
        "pages: {none: {status: 200, json: none.json}}\n" + more
    )
    return file


@contextlib.asynccontextmanager
async def serving(
    app: web.Application, *, handler_cancellation: bool = False
) -> AsyncIterator[int]:
    """The port that `app` is served on."""
    runner = web.AppRunner(
        app, handler_cancellation=handler_cancellation, shutdown_timeout=1.0, access_log=None
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def get(port: int, target: str, *lines: str, method: str = "GET") -> Response:
    return await fetch(port, request_head(method, target, *lines), method=method)


def session(guard: PlanB, port: int, total: float | None = None) -> ClientSession:
    return ClientSession(
        f"http://127.0.0.1:{port}",
        middlewares=[guard.client("out")],
        timeout=ClientTimeout(total=total),
    )


@contextlib.asynccontextmanager
async def calling(
    guard: PlanB, script: Script, *, total: float | None = None
) -> AsyncIterator[tuple[RawOrigin, ClientSession]]:
    """A callee that does as `script` says, and a session that calls it: for `total` seconds."""
    async with (
        RawOrigin(script, peers_may_leave=True) as origin,
        session(guard, origin.port, total) as http,
    ):
        yield origin, http


async def metric(guard: PlanB, name: str, **labels: str) -> float:
    """The sum of the samples of `name` that have these labels."""
    text, _ = await guard._metrics.render()
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    total = 0.0
    for line in text.decode().splitlines():
        sample, _, value = line.rpartition(" ")
        if sample.partition("{")[0] == name and all(each in sample for each in wanted):
            total += float(value)
    return total


async def at_rest(guard: PlanB, within: float = 5.0) -> None:
    """Until nothing is in flight, and nothing held."""
    ends_at = time.monotonic() + within
    while True:
        names = ("planb_requests_in_flight", "planb_limit_in_flight", "planb_limit_waiting")
        held = {name: await metric(guard, name) for name in names}
        if not any(held.values()):
            return
        assert time.monotonic() < ends_at, held
        await asyncio.sleep(0.01)
