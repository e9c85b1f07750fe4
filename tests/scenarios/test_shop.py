"""The demo shop behind Plan B: it stays well, and comes back without a touch."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from proxy.surge.generator import LoadGenerator, get
from tests.scenarios.storefront import rules
from tests.support.planb import PlanB, complete
from tests.support.raw_client import fetch, request_head

ROOT = Path(__file__).parents[2]
RULES = """
limits:
  whole-shop: {concurrency: 8, queue: 16, queue_timeout: 500ms}
routes:
  - {name: orders, match: {methods: [POST], path: /orders}, limits: [{rate: 100/s}, whole-shop]}
  - {name: everything, limits: [whole-shop]}
"""
TIMEOUTS = "timeouts: {connect: 500ms, response: 2s}"


class _Shop:
    """The shop in a process of its own, which can be killed and started again."""

    def __init__(self, port: int, folder: Path, stock: int) -> None:
        self._port = port
        self._command = [
            sys.executable, "-m", "proxy.demo.shop", f"--port={port}", "--service-time=0.02",
            f"--database={folder}/shop.db", f"--stock={stock}", "--coupons=http://127.0.0.1:9",
        ]  # fmt: skip

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, cwd=ROOT, stdout=subprocess.DEVNULL
        )
        await _answers(self._port)

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        async with asyncio.timeout(10):
            await self._process.wait()


async def _answers(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                if (await fetch(port, request_head("GET", "/healthz"))).status == 200:
                    return
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def _shop(folder: Path, stock: int = 500) -> AsyncIterator[tuple[_Shop, PlanB]]:
    (port,) = _free_ports(1)
    shop = _Shop(port, folder, stock)
    await shop.start()
    try:
        text = rules(f"http://127.0.0.1:{port}", upstream=TIMEOUTS, more=RULES)
        async with PlanB(text, folder) as planb:
            yield shop, planb
    finally:
        await shop.stop()


def _order(item: int, quantity: int) -> bytes:
    form = b"item_id=%d&quantity=%d" % (item, quantity)
    return (
        request_head(
            "POST",
            "/orders",
            "Accept: application/json",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(form)}",
            "Cookie: sid=buyer{n}",
        )
        + form
    )


async def test_stock_is_never_oversold_under_a_flood_of_orders(tmp_path: Path) -> None:
    stock = 60
    async with _shop(tmp_path, stock) as (_, planb):
        port = planb.port("storefront")
        flood = LoadGenerator("127.0.0.1", port, [_order(1, 1)], rate=400, seconds=2.5)
        result = await flood.run()
        print(result.table())
        sold = sum(count for status, count in result.statuses.items() if status // 100 == 2)
        assert result.failed == 0
        assert result.statuses[429] > 300
        assert sold == stock
        item = await fetch(port, request_head("GET", "/items/1", "Accept: application/json"))
        assert json.loads(item.body)["stock"] == 0


async def test_a_killed_shop_gives_pages_and_comes_back_without_a_touch(tmp_path: Path) -> None:
    async with _shop(tmp_path) as (shop, planb):
        port = planb.port("storefront")
        flood = LoadGenerator(
            "127.0.0.1", port, [get("shop.test", 80, "/items/2")], rate=300, seconds=60, timeout=5
        )
        flooding = asyncio.create_task(flood.run())
        await _sees(flood, 200, more_than=50)
        await shop.kill()
        await _sees(flood, 502, more_than=100)
        # Clients are told in milliseconds, and not after the time-outs.
        assert flood.result.latency(0.5, 502) < 1.0
        await shop.start()
        await _sees(flood, 200, more_than=flood.result.statuses[200] + 50)
        flood.stop()
        result = await flooding
        print(result.table())
        assert result.failed == 0
        assert result.statuses.keys() <= {200, 502, 503}
        page = await fetch(port, request_head("GET", "/items/2"))
        assert (page.status, b"<html" in page.body) == (200, True)


async def _sees(flood: LoadGenerator, status: int, more_than: int) -> None:
    async with asyncio.timeout(20):
        while flood.result.statuses[status] <= more_than:
            await asyncio.sleep(0.02)


# ------------------------------------------------------------------------ planb demo


DEMO = """
import sys
from pathlib import Path
from proxy.demo.run import run
front, admin, to_coupons, shop, coupons = map(int, sys.argv[2:])
sys.exit(run(Path(sys.argv[1]), shop_port=shop, coupons_port=coupons,
             proxy_address=("127.0.0.1", front), admin_address=("127.0.0.1", admin),
             to_coupons_address=("127.0.0.1", to_coupons)))
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _group(leader: int) -> set[int]:
    """The processes that `leader` has started, and those that these have, and so on."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(after_name[1])
    found = {leader}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


async def _page_with_coupons(port: int) -> None:
    """A call of the coupon service may be too slow for its sidecar where the machine is busy."""
    async with asyncio.timeout(10):
        page = request_head("GET", "/items/1", "Accept: text/html")
        while b" % off" not in (await fetch(port, page, within=10)).body:
            await asyncio.sleep(0.05)


async def _gone(pids: Sequence[int]) -> None:
    async with asyncio.timeout(10):
        while any(Path(f"/proc/{pid}").exists() for pid in pids):  # noqa: ASYNC240 - no disk
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_shows_the_shop_and_ends_without_leaving_anything(
    tmp_path: Path, number: signal.Signals
) -> None:
    ports = front, admin, to_coupons, _, coupons = _free_ports(5)
    shutil.copytree(ROOT / "config", tmp_path, dirs_exist_ok=True)
    file = tmp_path / "planb.yaml"
    file.write_text(complete(file.read_text()))
    binds = zip(("BIND", "ADMIN_BIND", "COUPONS_BIND"), (front, admin, to_coupons), strict=True)
    environment = {**os.environ, **{f"PLANB_{name}": f"127.0.0.1:{port}" for name, port in binds}}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", DEMO, str(file), *map(str, ports),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
    )  # fmt: skip
    started: set[int] = set()
    try:
        await _answers(front)
        started = await asyncio.to_thread(_group, process.pid)
        assert len(started) == 4
        page = await fetch(front, request_head("GET", "/items/1", "Accept: text/html"), within=10)
        assert (page.status, b"<html" in page.body) == (200, True)
        via = await fetch(front, request_head("GET", "/pictures/1.svg"), within=10)
        assert via.body.lstrip().startswith(b"<svg")
        await _page_with_coupons(front)
        assert (await fetch(coupons, request_head("POST", "/be/failing"))).status == 200
        page = await fetch(front, request_head("GET", "/items/1", "Accept: text/html"), within=10)
        assert (page.status, b" % off" in page.body) == (200, False)
    finally:
        process.send_signal(number)
        async with asyncio.timeout(30):
            output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    assert b"Traceback" not in output, output.decode()
    assert f"http://127.0.0.1:{front}".encode() in output
    await _gone(sorted(started))
