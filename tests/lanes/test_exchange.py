"""What a lane does when it is at fault itself. All else is shown by the scenarios."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.lanes.listener import Listener
from proxy.lanes.relay import Relay
from proxy.lanes.services import Entry, Services, Upstreams
from proxy.policy.engine import UNMATCHED, Engine
from proxy.policy.reasons import Reason
from proxy.rules.load import load
from tests.support.origin import RawOrigin, answering, ok
from tests.support.raw_client import RawClient, request_head


class NoLog:
    def wants(self, *, refused: bool) -> bool:
        return False

    def write(self, entry: Entry) -> None:
        raise AssertionError("written unasked")


@contextlib.asynccontextmanager
async def _listening(url: str, directory: Path) -> AsyncIterator[tuple[int, Services]]:
    """A listener in this process: its port, and what it works with."""
    file = directory / "planb.yaml"
    file.write_text(
        "version: 1\n"
        "listeners: [{name: storefront, bind: '127.0.0.1:0', upstream: shop}]\n"
        f"upstreams: {{shop: {{url: '{url}'}}}}\n"
    )
    snapshot = load(file, {})
    loop = asyncio.get_running_loop()
    upstreams = Upstreams(loop)
    upstreams.swap(snapshot.upstreams.values())
    services = Services(Engine(snapshot, time.monotonic(), random.random), upstreams, NoLog())
    listener = Listener(services, snapshot.listeners[0], loop)
    await listener.bind()
    try:
        yield int(listener.address.rpartition(":")[2]), services
    finally:
        listener.close()
        listener.abort()
        await services.all_closed()
        await upstreams.close()


async def test_a_fault_of_its_own_is_a_500_that_is_logged_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_relay: Relay) -> bool:
        raise RuntimeError("broken")

    async with (
        RawOrigin(answering(ok())) as origin,
        _listening(origin.url, tmp_path) as (
            port,
            services,
        ),
    ):
        async with RawClient(port) as client:
            monkeypatch.setattr(Relay, "run", broken)
            answer = await client.get("/")
            assert answer.status == 500
            assert answer.header("proxy-status") == (
                'planb; error=proxy_internal_error; details="internal"'
            )
            monkeypatch.undo()
            assert (await client.get("/")).status == 200
        counters = services.engine.rules.routes[UNMATCHED]
        assert counters.failed[Reason.INTERNAL] == 1
        assert counters.in_flight == 0
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.name == "proxy.lanes.exchange"
    assert record.exc_info is not None


async def test_a_fault_within_an_answer_cuts_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(relay: Relay) -> bool:
        relay._exchange.status = 200
        await relay._exchange.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        raise RuntimeError("broken")

    monkeypatch.setattr(Relay, "run", broken)
    async with (
        RawOrigin(answering(ok())) as origin,
        _listening(origin.url, tmp_path) as (port, _),
        RawClient(port) as client,
    ):
        await client.send(request_head("GET", "/"))
        with pytest.raises(ConnectionError):
            await client.read_to_end()
