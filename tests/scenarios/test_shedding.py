"""Too much load, as the shop itself reports it: who is refused, and who comes back when."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.ops.signals import INTERVAL_SECONDS
from proxy.ops.signals_upstream import LEAST_ANSWERS
from tests.scenarios.storefront import Storefront, storefront
from tests.support.messages import Request
from tests.support.origin import Peer, Script, answering, ok
from tests.support.raw_client import request_head

ROUTES = """
routes:
  - {name: orders, match: {path: /orders}, priority: critical}
  - {name: more, match: {path: "/more/**"}, priority: low}
"""


def _rules(signals: str) -> str:
    return f"{ROUTES}\nshedding: {{signals: {{{signals}}}}}\n"


CPU = _rules("reported_cpu: {start: 50%, full: 80%, refuse: 90%}")


class _Shop:
    """Answers everything, with a report of its load that the test sets."""

    def __init__(self) -> None:
        self.report = "TEXT cpu_utilization=0.1"

    def script(self) -> Script:
        return answering(self._answer)

    def _answer(self, _request: Request) -> bytes:
        return ok(b"ok", f"Endpoint-Load-Metrics: {self.report}")


@contextlib.asynccontextmanager
async def _shop(folder: Path, rules: str) -> AsyncIterator[tuple[_Shop, Storefront]]:
    shop = _Shop()
    async with storefront(folder, more=rules) as front, front.origin(shop.script()):
        yield shop, front


async def _until(front: Storefront, target: str, status: int, within: float) -> None:
    """Sends orders, with whose answers reports come, until `target` has this status."""
    began = time.monotonic()
    while (await front.fetch("GET", target)).status != status:
        assert time.monotonic() - began < within, f"{target} never had {status}"
        await front.fetch("GET", "/orders")
        await asyncio.sleep(0.05)


async def _until_level(front: Storefront, least: float) -> None:
    """The same until so many priorities are shed."""
    began = time.monotonic()
    while (level := await front.planb.metric("planb_shed_level")) < least:
        assert time.monotonic() - began < 10.0, level
        await front.fetch("GET", "/orders")
        await asyncio.sleep(0.05)


async def test_the_unimportant_is_refused_while_the_shop_says_it_has_too_much_to_do(
    tmp_path: Path,
) -> None:
    async with _shop(tmp_path, CPU) as (shop, front):
        answer = await front.fetch("GET", "/more/1")
        assert answer.status == 200
        assert answer.values("endpoint-load-metrics") == []

        shop.report = "TEXT cpu_utilization=0.6"
        await _until_level(front, 0.99)
        assert (await front.fetch("GET", "/orders")).status == 200
        assert (await front.fetch("GET", "/else")).status == 200
        refusal = await front.fetch("GET", "/more/1", "Accept: application/json")
        assert refusal.status == 503
        assert json.loads(refusal.body)["reason"] == "shed"
        (proxy_status,) = refusal.values("proxy-status")
        assert 'details="shed"' in proxy_status
        assert refusal.values("cache-control") == ["no-store"]
        assert len(refusal.values("retry-after")) == 1

        await _is_visible(front)
        shop.report = 'JSON {"cpu_utilization": 0.1}'
        await _until(front, "/more/1", 200, within=20.0)
        await front.until_metric(0, "planb_shed_level")
        await front.is_at_rest()


async def _is_visible(front: Storefront) -> None:
    metrics = await front.planb.metrics()
    labels = (("signal", "reported_cpu"), ("upstream", "shop"))
    assert metrics["planb_signal", labels] == 0.6
    assert metrics["planb_signal_pressure", labels] == pytest.approx(1.0)
    assert 0.0 < metrics["planb_shed_level", (("upstream", "shop"),)] <= 1.0
    shed = metrics["planb_shed_total", (("priority", "low"),)]
    assert shed == await front.verdicts("refused", "shed") > 0
    status = json.loads((await front.planb.admin("GET", "/-/status")).body)["shedding"]
    assert status["levels"][0]["priorities"] == "low"
    assert status["levels"][0]["blame"] == "reported_cpu 60%"
    told = r"shedding [0-9]+% of low \(upstream shop\): reported_cpu [56][0-9]%"
    assert re.search(told, front.planb.log_text())


async def test_other_thresholds_hold_at_once_and_the_admin_address_is_never_shed(
    tmp_path: Path,
) -> None:
    metric = "reported_metrics: {{threads: {{start: {}, full: {}, refuse: {}}}}}"
    async with _shop(tmp_path, _rules(metric.format(10, 20, 30))) as (shop, front):
        shop.report = "TEXT named_metrics.threads=50"
        await _until(front, "/orders", 503, within=15.0)
        for address in ("/-/healthy", "/-/ready", "/metrics", "/", "/-/status"):
            assert (await front.planb.admin("GET", address)).status == 200, address

        text = front.planb.file.read_text()
        front.planb.rewrite(text.replace("10, full: 20, refuse: 30", "100, full: 200, refuse: 300"))
        assert (await front.planb.admin("POST", "/-/reload")).status == 200
        for target in ("/orders", "/else", "/more/1"):
            assert (await front.fetch("GET", target)).status == 200


async def test_a_report_that_is_no_load_refuses_nobody(tmp_path: Path) -> None:
    async with _shop(tmp_path, CPU) as (shop, front):
        for report in (
            "TEXT cpu_utilization=NaN",
            "TEXT cpu_utilization=-5",
            "TEXT cpu_utilization=1e9",
            "TEXT cpu_utilization=0.1, cpu_utilization=1",
            'JSON {"cpu_utilization": "1"}',
            "BIN AAAA",
            "x" * 5000,
        ):
            shop.report = report
            for _ in range(12):
                answer = await front.fetch("GET", "/more/1")
                assert answer.status == 200
                assert answer.values("endpoint-load-metrics") == []
                await asyncio.sleep(0.05)
        assert await front.planb.metric("planb_shed_level") == 0.0


async def test_who_is_shed_is_so_for_a_whole_visit(tmp_path: Path) -> None:
    """Half of the low ones: by session, since all come from one address here. Of thirty a turn
    ends every ten seconds.
    """
    signals = "reported_cpu: {start: 50%, full: 80%, refuse: 90%}"
    rules = f'{ROUTES}\nshedding: {{per: "cookie:sid", signals: {{{signals}}}}}\n'
    async with _shop(tmp_path, rules) as (shop, front):
        shop.report = "TEXT cpu_utilization=0.55"
        await _until_level(front, 0.49)
        visits: dict[str, set[int]] = {}
        for _ in range(3):
            for visitor in range(30):
                sid = f"visitor-{visitor}"
                answer = await front.fetch("GET", "/more/1", f"Cookie: sid={sid}")
                visits.setdefault(sid, set()).add(answer.status)
        assert {200} in visits.values()
        assert {503} in visits.values()
        assert list(visits.values()).count({200, 503}) <= 3


async def test_of_a_shop_that_hangs_those_who_leave_tell(tmp_path: Path) -> None:
    """Who has not sent all of a request has not waited for its answer."""
    signals = "upstream_latency: {start: 100ms, full: 200ms, refuse: 300ms}"

    async def ask(front: Storefront, data: bytes) -> None:
        async with front.client() as client:
            await client.send(data)
            await asyncio.sleep(0.4)

    async def hang(peer: Peer) -> None:
        await peer.stall()

    async def ask_all(front: Storefront, data: bytes) -> None:
        await asyncio.gather(*(ask(front, data) for _ in range(LEAST_ANSWERS)))

    async with storefront(tmp_path, more=_rules(signals)) as front:
        labels = (("signal", "upstream_latency"), ("upstream", "shop"))
        async with front.origin(hang, peers_may_leave=True):
            part = request_head("POST", "/orders", "Content-Length: 9") + b"half"
            await ask_all(front, part)
            await asyncio.sleep(3 * INTERVAL_SECONDS)
            assert ("planb_signal", labels) not in await front.planb.metrics()
            await ask_all(front, part + b"whole")
            await asyncio.sleep(3 * INTERVAL_SECONDS)
            metrics = await front.planb.metrics()
        assert 0.3 < metrics["planb_signal", labels] < 1.0
        assert metrics["planb_shed_level", (("upstream", "shop"),)] > 0.0


@pytest.mark.parametrize("status", [b"200 OK", b"500 Oops", b"101 Switching Protocols"])
async def test_an_answer_that_breaks_off_is_one_failure_of_one(
    tmp_path: Path, status: bytes
) -> None:
    async def break_off(peer: Peer) -> None:
        if await peer.read_request() is not None:
            await peer.send(b"HTTP/1.1 %b\r\nContent-Length: 9\r\n\r\nhalf" % status)
            peer.close()

    async def ask(front: Storefront) -> None:
        async with front.client() as client:
            await client.send(request_head("GET", "/orders", "Connection: close"))
            with contextlib.suppress(ConnectionError):
                await client.read_to_end()

    signals = "upstream_errors: {start: 97%, full: 98%, refuse: 99%}"
    async with storefront(tmp_path, more=_rules(signals)) as front, front.origin(break_off):
        await asyncio.sleep(3 * INTERVAL_SECONDS)  # a sample to begin with
        await asyncio.gather(*(ask(front) for _ in range(LEAST_ANSWERS)))
        labels = {"signal": "upstream_errors", "upstream": "shop"}
        await front.until_metric(1.0, "planb_signal", **labels)
