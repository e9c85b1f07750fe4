"""What the scenarios of a lane share: Plan B before an origin that each test scripts anew."""

import asyncio
import contextlib
import random
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.http_origin import block
from tests.support.messages import Response
from tests.support.origin import RawOrigin, Script
from tests.support.planb import PlanB
from tests.support.raw_client import RawClient, fetch, request_head

_TRACEBACK = re.compile(
    '^Traceback|never retrieved|Exception ignored|"level": "error"', re.MULTILINE
)


def rules(url: str, *, listener: str = "", upstream: str = "", more: str = "") -> str:
    """One listener before one upstream; further keys of either as YAML flow, `more` at the end.

    Without a `url` the upstream's keys say where it is.
    """
    place = f"url: '{url}', " if url else ""
    return "\n".join(
        [
            "listeners:",
            f"  - {{name: storefront, bind: '127.0.0.1:0', upstream: shop, {listener}}}",
            "upstreams:",
            f"  shop: {{{place}{upstream}}}",
            more,
        ]
    )


class Storefront:
    """A running Plan B, and the port that its upstream listens on during a test."""

    def __init__(self, planb: PlanB, origin_port: int) -> None:
        self.planb = planb
        self.origin_port = origin_port
        self.port = planb.port("storefront")

    def origin(
        self, script: Script, *, records: bool = True, peers_may_leave: bool = False
    ) -> RawOrigin:
        """The upstream, doing as `script` says; to be entered."""
        return RawOrigin(
            script, port=self.origin_port, records=records, peers_may_leave=peers_may_leave
        )

    def client(self, within: float = 10.0) -> RawClient:
        """A client's connection; to be entered."""
        return RawClient(self.port, timeout=within)

    async def fetch(
        self, method: str, target: str, *lines: str, body: bytes = b"", within: float = 10.0
    ) -> Response:
        """The final response to one request on a connection of its own."""
        data = request_head(method, target, *lines) + body
        return await fetch(self.port, data, method=method, within=within)

    async def verdicts(self, verdict: str, reason: str = "") -> float:
        """How many requests were `forwarded`, `refused`, `failed` or `abandoned`."""
        return await self.planb.metric("planb_requests_total", verdict=verdict, reason=reason)

    async def is_at_rest(self, within: float = 10.0) -> None:
        """Wait until nothing is in flight and nothing held; fails for a traceback in the log."""
        ends_at = time.monotonic() + within
        while held := await self._held():
            assert time.monotonic() < ends_at, held
            await asyncio.sleep(0.02)
        log = self.planb.log_text()
        assert not _TRACEBACK.search(log), log

    async def until_metric(self, value: float, name: str, **labels: str) -> None:
        """Wait until the metric `name` has this value; fails after a while."""
        ends_at = time.monotonic() + 10.0
        while (now := await self.planb.metric(name, **labels)) != value:
            assert time.monotonic() < ends_at, f"{name} is {now}"
            await asyncio.sleep(0.01)

    async def _held(self) -> dict[str, float]:
        metric = self.planb.metric
        held = {
            "in flight": await metric("planb_requests_in_flight"),
            "in use": await metric("planb_upstream_connections", state="in_use"),
            "permits": await metric("planb_limit_in_flight"),
            "waiting": await metric("planb_limit_waiting"),
            "clients": await metric("planb_downstream_connections"),
        }
        return {name: value for name, value in held.items() if value}


@contextlib.asynccontextmanager
async def storefront(
    directory: Path, *, listener: str = "", upstream: str = "", more: str = ""
) -> AsyncIterator[Storefront]:
    """Plan B with these rules, for one test or for a module's."""
    port = free_port()
    text = rules(f"http://127.0.0.1:{port}", listener=listener, upstream=upstream, more=more)
    async with PlanB(text, directory) as planb:
        yield Storefront(planb, port)


async def send_until_stuck(client: RawClient, most: int) -> int:
    """Send until the other side takes no more, or `most` bytes: how many it took."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < most:
            async with asyncio.timeout(0.5):
                await client.send(block(1 << 16))
            sent += 1 << 16
    return sent


def free_port() -> int:
    """A port below those that the kernel gives to clients, so that no client can take it."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
