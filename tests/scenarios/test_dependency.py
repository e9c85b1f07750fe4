"""What becomes of a shop's pages when the service that they call is sick: they go on without it.

The shop and its coupon service are those of the demo, each a process of its own; the shop calls
through the outbound listener of the sidecar that it stands behind.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from proxy.surge.generator import load
from tests.demo.service_process import Service, started
from tests.scenarios.storefront import free_port
from tests.support.messages import Response
from tests.support.planb import PlanB
from tests.support.raw_client import fetch, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = """
listeners:
  - {{name: storefront, bind: "127.0.0.1:0", upstream: shop}}
  - {{name: to-coupons, bind: "127.0.0.1:{outbound}", direction: outbound, upstream: coupons}}
upstreams:
  shop: {{url: "http://127.0.0.1:{shop}"}}
  coupons:
    endpoints: ["http://127.0.0.1:{this}", "http://127.0.0.1:{that}"]
    ejection: {{time: 200ms, max_time: 800ms}}
    timeouts: {{connect: 100ms, response: 150ms}}
    pool: {{connections: 4, pending: 4, pending_timeout: 50ms}}
    breaker:
      window: 1s
      consecutive_failures: 5
      slow: 100ms
      open: 200ms
      longest_open: 800ms
      probes: 2
      recovery: 200ms
    throttle: {{window: 300ms, min_requests: 10}}
    retry: {{}}
routes:
  - name: coupons-of-today
    match: {{listeners: [to-coupons], path: /coupons}}
    fallback: {{page: no-coupons}}
pages:
  no-coupons: {{status: 200, json: none.json}}
"""
PAGES, RATE = 100, 100
MOST_CALLS = 40
"""Of the calls of PAGES, how many may reach a service that is sick; about a dozen do."""


class Coupons:
    """The service at one of its endpoints; the port outlives the process."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = contextlib.ExitStack()
        self._running: Service | None = None

    def start(self) -> None:
        self._running = self._process.enter_context(
            started("proxy.demo.coupons", f"--port={self.port}")
        )

    def kill(self) -> None:
        assert self._running is not None
        self._running.process.kill()
        self._running.process.wait()
        self._running = None
        self._process.close()

    def recover(self) -> None:
        if self._running is None:
            self.start()
        self.be("well")

    def be(self, mood: str) -> None:
        assert self._running is not None
        assert self._running.ask("POST", f"/be/{mood}").status == 200

    def asked(self) -> int:
        assert self._running is not None
        asked = self._running.ask("GET", "/healthz").json["asked"]
        assert isinstance(asked, int)
        return asked


class Sale:
    """The shop behind its sidecar, and the service that it calls, at two endpoints."""

    def __init__(self, planb: PlanB, coupons: tuple[Coupons, Coupons], outbound: int) -> None:
        self.planb = planb
        self.coupons = coupons
        self._outbound = outbound

    def be(self, mood: str) -> None:
        for each in self.coupons:
            each.be(mood)

    def asked(self) -> int:
        return sum(each.asked() for each in self.coupons)

    async def metric(self, name: str, **labels: str) -> float:
        return await self.planb.metric(name, upstream="coupons", **labels)

    async def page(self) -> Response:
        return await fetch(
            self.planb.port("storefront"), request_head("GET", "/items/1", "Accept: text/html")
        )

    async def what_the_shop_gets(self) -> Response:
        return await fetch(self._outbound, request_head("GET", "/coupons"))

    async def pages_while(self, trouble: Awaitable[None]) -> None:
        """Asks for PAGES pages, whatever the answers; all come. Ends with `trouble`."""
        url = self.planb.url("storefront")
        visitors = load(url, "/items/1", rate=RATE, seconds=PAGES / RATE)
        result, _ = await asyncio.gather(visitors, trouble)
        assert result.statuses == {200: PAGES}, result.table()

    async def status(self, kind: str) -> dict[str, object]:
        """What the status page says of the only breaker, or throttle."""
        (row,) = json.loads((await self.planb.admin("GET", "/-/status")).body)[kind]
        assert row["upstream"] == "coupons"
        return dict(row)

    async def failed(self) -> float:
        return await self.planb.metric("planb_requests_total", verdict="failed")

    async def is_well(self) -> None:
        """Visitors come until all is as it was before, without a touch."""
        async with asyncio.timeout(20):
            while (
                b" % off" not in (await self.page()).body
                or await self.metric("planb_breaker_state")
                or await self.metric("planb_throttle_probability")
                or await self.metric("planb_endpoint_ejected")
            ):
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sale]:
    folder: Path = tmp_path_factory.mktemp("sale")
    (folder / "none.json").write_text('{"coupons": []}')
    this, that, outbound = Coupons(), Coupons(), free_port()
    this.start()
    that.start()
    arguments = f"--coupons=http://127.0.0.1:{outbound}", "--service-time=0.005"
    with started("proxy.demo.shop", *arguments) as shop:
        rules = RULES.format(outbound=outbound, shop=shop.port, this=this.port, that=that.port)
        async with PlanB(rules, folder) as planb:
            yield Sale(planb, (this, that), outbound)
    this.kill()
    that.kill()


@pytest_asyncio.fixture(loop_scope="module")
async def sale(running: Sale) -> AsyncIterator[Sale]:
    await running.is_well()
    try:
        yield running
    finally:
        for each in running.coupons:
            each.recover()
        await running.is_well()


async def test_pages_come_without_a_dead_service_which_is_hardly_called(sale: Sale) -> None:
    before, retries = await sale.failed(), await sale.metric("planb_retries_total")
    for each in sale.coupons:
        each.kill()
    await sale.pages_while(asyncio.sleep(0))
    assert 0 < await sale.failed() - before <= MOST_CALLS
    assert await sale.metric("planb_retries_total") > retries
    assert await sale.metric("planb_breaker_state") > 0
    assert "closed" not in str((await sale.status("breakers"))["words"])
    default = await sale.what_the_shop_gets()
    assert (default.status, default.body) == (200, b'{"coupons": []}')


async def slow(sale: Sale) -> None:
    sale.be("slow")


async def flapping(sale: Sale) -> None:
    for _ in range(2):
        sale.be("slow")
        await asyncio.sleep(0.3)
        sale.be("well")
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("trouble", [slow, flapping])
async def test_pages_come_while_a_service_is_in_trouble_and_it_is_hardly_called(
    sale: Sale, trouble: Callable[[Sale], Awaitable[None]]
) -> None:
    asked, opened = sale.asked(), await sale.metric("planb_breaker_opened_total")
    await sale.pages_while(trouble(sale))
    assert await sale.metric("planb_breaker_opened_total") > opened
    assert sale.asked() - asked <= MOST_CALLS


async def test_pages_come_while_a_service_refuses_and_fewer_ask_it_in_vain(sale: Sale) -> None:
    asked = sale.asked()
    sale.be("refusing")
    await sale.pages_while(asyncio.sleep(0))
    assert sale.asked() - asked <= MOST_CALLS
    async with asyncio.timeout(10):
        while "asked for lately" not in str((await sale.status("throttles"))["words"]):
            await sale.page()
        while not await sale.metric("planb_throttle_probability"):
            await sale.page()


async def test_pages_keep_their_coupons_while_one_endpoint_is_dead(sale: Sale) -> None:
    dead, alive = sale.coupons
    asked = alive.asked()
    dead.kill()
    await sale.pages_while(asyncio.sleep(0))
    address = f"127.0.0.1:{dead.port}"
    assert await sale.metric("planb_endpoint_ejections_total", endpoint=address) > 0
    assert alive.asked() - asked > PAGES / 2
    async with asyncio.timeout(10):
        while b" % off" not in (await sale.page()).body:
            pass
