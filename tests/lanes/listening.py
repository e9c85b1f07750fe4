"""A listener in the test's own process, for what can't be seen or done from outside."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

from proxy.lanes.full_downstream import DownstreamConnection
from proxy.lanes.listener import Listener
from proxy.lanes.services import Entry, ExchangeLog, Services, Upstreams
from proxy.policy.engine import Engine
from proxy.policy.verdict import Kind
from proxy.rules.load import load
from tests.scenarios.storefront import rules


class NoLog:
    def wants(self, kind: Kind, now: float) -> bool:
        return False

    def write(self, entry: Entry) -> None:
        raise AssertionError("written unasked")


class Listening:
    """A listener that accepts, and what it works with."""

    def __init__(self, listener: Listener, services: Services) -> None:
        self.listener = listener
        self.services = services
        self.port = int(listener.address.rpartition(":")[2])

    def clients(self) -> list[DownstreamConnection]:
        """The connections that are open now."""
        return self.listener._full.clients()


@contextlib.asynccontextmanager
async def listening(
    url: str,
    directory: Path,
    *,
    listener: str = "",
    upstream: str = "",
    more: str = "",
    express: bool = False,
    log: ExchangeLog | None = None,
) -> AsyncIterator[Listening]:
    """A listener before the upstream at `url`; further keys of both as YAML flow, `more` rules."""
    file = directory / "planb.yaml"
    lane = f"server: {{express: {str(express).lower()}}}"
    file.write_text(
        f"version: 1\n{lane}\n{rules(url, listener=listener, upstream=upstream, more=more)}"
    )
    snapshot = load(file, {})
    loop = asyncio.get_running_loop()
    upstreams = Upstreams(loop)
    upstreams.swap(snapshot.upstreams.values())
    engine = Engine(snapshot, time.monotonic(), random.random)
    services = Services(engine, upstreams, log or NoLog())
    bound = Listener(services, snapshot.listeners[0], loop)
    await bound.bind()
    try:
        yield Listening(bound, services)
    finally:
        bound.close()
        bound.abort()
        await services.all_closed()
        await upstreams.close()
