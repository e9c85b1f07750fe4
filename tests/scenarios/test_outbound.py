"""What the shop calls, through listeners of its own sidecar."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.http_origin import HttpOrigin
from tests.support.messages import Request, Response
from tests.support.origin import Peer, RawOrigin, ok
from tests.support.planb import PlanB
from tests.support.raw_client import RawClient, fetch, request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

RULES = """
listeners:
  - {{name: storefront, bind: "127.0.0.1:0", upstream: coupons}}
  - {{name: to-coupons, bind: "127.0.0.1:0", direction: outbound, upstream: coupons}}
  - name: proxy
    bind: "127.0.0.1:0"
    direction: outbound
    hosts:
      coupons.example: coupons
      pay.example:8443: payments
      nobody.example: nobody
      metadata.example: metadata
      few.example: few
  - {{name: to-few, bind: "127.0.0.1:0", direction: outbound, upstream: few}}
  - {{name: to-one, bind: "127.0.0.1:0", direction: outbound, upstream: one}}
upstreams:
  coupons: {{url: "http://127.0.0.1:{coupons}"}}
  payments: {{url: "http://127.0.0.1:{payments}"}}
  nobody: {{url: "http://127.0.0.1:1"}}
  metadata: {{url: "http://0xa9fea9fe"}}    # a name to all but the resolver: 169.254.169.254
  few:
    url: "http://127.0.0.1:{few}"
    pool: {{connections: 2, pending: 1, pending_timeout: 1m}}
  one:
    url: "http://127.0.0.1:{few}"
    pool: {{connections: 1, pending: 1, pending_timeout: 100ms}}
routes:
  - name: coupons
    match: {{path: /coupons, listeners: [proxy]}}
    limits: [{{name: calls, rate: 1/h, burst: 3}}]
    fallback: {{page: no-coupons}}
pages:
  no-coupons: {{status: 200, json: none.json}}
"""


class Sidecar:
    """Plan B, and three services behind it; `few` does as each test says."""

    def __init__(
        self, planb: PlanB, coupons: HttpOrigin, payments: HttpOrigin, few: int, rules: str
    ) -> None:
        self.planb = planb
        self.coupons = coupons
        self.payments = payments
        self.few = few
        self.rules = rules

    async def reload(self, rules: str) -> None:
        self.planb.rewrite(rules)
        assert (await self.planb.admin("POST", "/-/reload")).status == 200

    async def ask(self, listener: str, target: str, *lines: str, host: str = "x") -> Response:
        data = request_head("GET", target, *lines, host=host)
        return await fetch(self.planb.port(listener), data)

    async def refused(self, reason: str) -> float:
        return await self.planb.metric("planb_requests_total", verdict="refused", reason=reason)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sidecar(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sidecar]:
    folder: Path = tmp_path_factory.mktemp("planb")
    (folder / "none.json").write_text('{"coupons": []}')
    async with RawOrigin(_nothing) as reserved:
        few = reserved.port
    async with HttpOrigin() as coupons, HttpOrigin() as payments:
        text = RULES.format(coupons=coupons.port, payments=payments.port, few=few)
        async with PlanB(text, folder) as planb:
            yield Sidecar(planb, coupons, payments, few, text)


async def _nothing(peer: Peer) -> None:
    await peer.left.wait()


def _echoed(response: Response) -> tuple[str, dict[str, str]]:
    assert response.status == 200
    said = json.loads(response.body)
    assert isinstance(said, dict)
    return said["target"], {name.lower(): value for name, value in said["fields"]}


async def test_the_service_is_asked_by_its_own_name_and_told_nothing_of_the_shop(
    sidecar: Sidecar,
) -> None:
    answer = await sidecar.ask("to-coupons", "/x", "X-Forwarded-For: 203.0.113.9", "Accept: */*")
    target, fields = _echoed(answer)
    assert target == "/x"
    assert fields == {
        "host": f"127.0.0.1:{sidecar.coupons.port}",
        "x-forwarded-for": "203.0.113.9",
        "accept": "*/*",
        "via": "1.1 planb",
    }
    _, fields = _echoed(await sidecar.ask("storefront", "/x", "X-Forwarded-For: 203.0.113.9"))
    assert fields["host"] == "x"
    assert fields["x-forwarded-for"] == "127.0.0.1"


async def test_an_http_proxy_for_named_hosts(sidecar: Sidecar) -> None:
    credentials = "Proxy-Authorization: Basic YTpi"
    answer = await sidecar.ask(
        "proxy", "http://coupons.example/a?b=c", credentials, host="coupons.example"
    )
    target, fields = _echoed(answer)
    assert target == "/a?b=c"
    assert fields == {"host": "coupons.example", "via": "1.1 planb"}
    answer = await sidecar.ask("proxy", "http://Pay.Example:8443", host="pay.example:8443")
    assert _echoed(answer)[0] == "/"
    assert _echoed(answer)[1]["host"] == "Pay.Example:8443"
    assert len(sidecar.payments.requests) == 1


async def test_no_other_host_is_called(sidecar: Sidecar) -> None:
    before, calls = await sidecar.refused("host_not_allowed"), len(sidecar.coupons.requests)
    for listener, target, host in (
        ("proxy", "http://other.example/", "other.example"),
        ("proxy", "http://pay.example/", "pay.example"),
        ("proxy", "http://169.254.169.254/latest", "169.254.169.254"),
        ("proxy", "/", "coupons.example"),
        ("to-coupons", "http://coupons.example/", "coupons.example"),
    ):
        answer = await sidecar.ask(listener, target, host=host)
        assert answer.status == 403
        assert 'details="host_not_allowed"' in (answer.header("proxy-status") or "")
    assert await sidecar.refused("host_not_allowed") == before + 5
    connect = b"CONNECT coupons.example:80 HTTP/1.1\r\nHost: coupons.example:80\r\n\r\n"
    answer = await fetch(sidecar.planb.port("proxy"), connect, method="CONNECT")
    assert answer.status == 501
    assert len(sidecar.coupons.requests) == calls


async def test_a_name_that_leads_to_the_metadata_is_refused(sidecar: Sidecar) -> None:
    for _ in range(2):
        answer = await sidecar.ask("proxy", "http://metadata.example/", host="metadata.example")
        assert answer.status == 502
    told = "not connected: 0xa9fea9fe resolves to 169.254.169.254, which only a URL may name"
    assert (await sidecar.planb.wait_for_text(told)).count(told) == 1


async def test_routes_hold_on_the_listeners_that_they_name(sidecar: Sidecar) -> None:
    """Limits and fallbacks of outbound calls: a default where the service is down."""
    answer = await sidecar.ask("proxy", "http://nobody.example/coupons", host="nobody.example")
    assert (answer.status, answer.body) == (200, b'{"coupons": []}')
    assert answer.header("content-type") == "application/json"
    for status in (200, 200):
        answer = await sidecar.ask(
            "proxy", "http://coupons.example/coupons", host="coupons.example"
        )
        assert answer.status == status
        _echoed(answer)
    answer = await sidecar.ask("proxy", "http://coupons.example/coupons", host="coupons.example")
    assert answer.body == b'{"coupons": []}', "over its rate"
    # The limit is the route's, which does not hold here.
    for _ in range(2):
        _echoed(await sidecar.ask("to-coupons", "/coupons"))


class Held:
    """Answers nothing before it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.begun = asyncio.Semaphore(0)

    async def __call__(self, peer: Peer) -> None:
        while await peer.read_request():
            self.begun.release()
            await self.go_on.wait()
            await peer.send(ok())


async def test_so_many_calls_at_once_and_so_many_that_wait(sidecar: Sidecar) -> None:
    script = Held()
    async with RawOrigin(script, port=sidecar.few, peers_may_leave=True) as few:
        calls = [asyncio.create_task(sidecar.ask("to-few", f"/{each}")) for each in range(2)]
        for _ in calls:
            await script.begun.acquire()
        # A waiter whose client has left is never sent, and its place is another's.
        async with RawClient(sidecar.planb.port("to-few")) as client:
            await client.send(request_head("GET", "/left"))
            await _until(sidecar, 1.0, "planb_limit_waiting", limit="few/pool")
            await client.reset()
        await _until(sidecar, 0.0, "planb_limit_waiting", limit="few/pool")
        waiting = asyncio.create_task(sidecar.ask("to-few", "/in-time"))
        await _until(sidecar, 1.0, "planb_limit_waiting", limit="few/pool")
        refused = await sidecar.ask("to-few", "/no")
        assert refused.status == 503
        assert 'details="concurrency"' in (refused.header("proxy-status") or "")
        script.go_on.set()
        assert [(await each).status for each in (*calls, waiting)] == [200, 200, 200]
        assert sorted(_targets(few.requests)) == ["/0", "/1", "/in-time"]
    await _until(sidecar, 0.0, "planb_limit_in_flight", limit="few/pool")


async def test_who_waits_too_long_for_a_connection_is_refused(sidecar: Sidecar) -> None:
    script = Held()
    async with RawOrigin(script, port=sidecar.few, peers_may_leave=True) as few:
        call = asyncio.create_task(sidecar.ask("to-one", "/"))
        await script.begun.acquire()
        refused = await sidecar.ask("to-one", "/late")
        assert refused.status == 503
        assert 'details="queue_timeout"' in (refused.header("proxy-status") or "")
        script.go_on.set()
        assert (await call).status == 200
        assert _targets(few.requests) == ["/"]


async def test_a_resting_connection_makes_room_for_the_other_lane_s(sidecar: Sidecar) -> None:
    script = Held()
    async with RawOrigin(script, port=sidecar.few, peers_may_leave=True) as few:
        calls = [asyncio.create_task(sidecar.ask("to-few", "/")) for _ in range(2)]
        for _ in calls:
            await script.begun.acquire()
        script.go_on.set()
        for each in calls:
            assert (await each).status == 200
        # Two that rest; a body in chunks is the full lane's.
        data = request_head("PUT", "/", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n\r\n"
        for _ in range(2):
            assert (await fetch(sidecar.planb.port("to-few"), data)).status == 200
        assert len([peer for peer in few.peers if not peer.left.is_set()]) <= 2


async def test_a_host_taken_out_of_the_rules_is_not_called_by_who_waits(sidecar: Sidecar) -> None:
    script = Held()
    async with RawOrigin(script, port=sidecar.few, peers_may_leave=True) as few:
        calls = [
            asyncio.create_task(
                sidecar.ask("proxy", f"http://few.example/{each}", host="few.example")
            )
            for each in range(2)
        ]
        for _ in calls:
            await script.begun.acquire()
        target = "http://few.example/waits"
        waiting = asyncio.create_task(sidecar.ask("proxy", target, host="few.example"))
        await _until(sidecar, 1.0, "planb_limit_waiting", limit="few/pool")
        await sidecar.reload(sidecar.rules.replace("      few.example: few\n", ""))
        script.go_on.set()
        assert [(await each).status for each in (*calls, waiting)] == [200, 200, 403]
        assert sorted(_targets(few.requests)) == ["/0", "/1"]
    await sidecar.reload(sidecar.rules)


def _targets(requests: list[Request]) -> list[str]:
    return [request.target.decode() for request in requests]


async def _until(sidecar: Sidecar, value: float, name: str, **labels: str) -> None:
    async with asyncio.timeout(10):
        while await sidecar.planb.metric(name, **labels) != value:
            await asyncio.sleep(0.01)
