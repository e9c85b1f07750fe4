import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from proxy.lanes.answering import as_request
from proxy.lanes.attempts import Attempts
from proxy.lanes.errors import TravelError
from proxy.lanes.outgoing import head_to_send, upstream_for
from proxy.lanes.services import Services, Upstreams
from proxy.policy.engine import Engine
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import ListenerSpec, Snapshot, UpstreamSpec
from proxy.wire.request_head import RequestHead, RequestHeadReader
from tests.lanes.listening import NoLog
from tests.policy.guarded import FRONT
from tests.policy.kept import shop

INBOUND = ListenerSpec("front", "::1", 1, "shop")
OUTBOUND = ListenerSpec("calls", "::1", 1, "shop", outbound=True, hosts={"c.example:80": "coupons"})
PROXY = ListenerSpec("calls", "::1", 1, "", outbound=True, hosts={"c.example:80": "coupons"})


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    upstreams = Upstreams(asyncio.get_running_loop())
    upstreams.swap(UpstreamSpec(name, "::1", 8000) for name in ("shop", "coupons"))
    yield Services(Engine(Snapshot((), {}), 0.0, random.random), upstreams, NoLog())
    await upstreams.close()


def request(target: bytes, host: bytes, *lines: bytes) -> RequestHead:
    start = b"GET %b HTTP/1.1" % target
    head = RequestHeadReader(8192).feed(b"\r\n".join([start, b"Host: " + host, *lines, b"", b""]))
    assert head is not None
    return head


ABSOLUTE = request(b"http://c.example/", b"c.example")


@pytest.mark.parametrize(
    ("listener", "head", "upstream"),
    [
        (INBOUND, ABSOLUTE, "shop"),
        (OUTBOUND, request(b"/", b"c.example"), "shop"),
        (OUTBOUND, ABSOLUTE, "coupons"),
        (PROXY, ABSOLUTE, "coupons"),
    ],
)
async def test_the_listener_says_where_a_request_goes(
    services: Services, listener: ListenerSpec, head: RequestHead, upstream: str
) -> None:
    assert upstream_for(services, listener, head, 0.0).spec.name == upstream


async def test_a_host_that_was_taken_out_of_the_rules_is_not_called(services: Services) -> None:
    """While the request waited, say."""
    for head in (request(b"/", b"c.example"), request(b"http://d.example/", b"d.example")):
        with pytest.raises(TravelError) as caught:
            upstream_for(services, PROXY, head, 0.0)
        assert caught.value.reason is Reason.HOST_NOT_ALLOWED


@pytest.mark.parametrize("keeps", [False, True])
async def test_only_clients_of_inbound_listeners_are_told_of(
    services: Services, keeps: bool
) -> None:
    """Where answers are kept, the whole is asked for on either."""
    head = request(b"/", b"shop", b"If-None-Match: x")
    upstream = services.upstreams["shop"].endpoint(0.0)
    for listener in (INBOUND, OUTBOUND):
        engine = shop().engine
        verdict = engine.decide(FRONT, as_request(head, b"@203.0.113.9"), 0.0, lambda: None)
        assert verdict.lookup is not None
        if not keeps:
            verdict.lookup = None
        data = head_to_send(listener, upstream, verdict, head, "203.0.113.9", False, None, 0.0)
        assert (b"\r\nHost: shop\r\n" in data) is (listener is INBOUND)
        assert (b"\r\nHost: [::1]:8000\r\n" in data) is (listener is OUTBOUND)
        assert (b"X-Forwarded-For: 203.0.113.9" in data) is (listener is INBOUND)
        assert (b"If-None-Match: x" in data) is not keeps


async def test_each_attempt_and_what_is_left_of_its_time_is_told_on_either(
    services: Services,
) -> None:
    head = request(b"/", b"shop", b"Grpc-Timeout: 900m")
    verdict = shop().engine.decide(FRONT, as_request(head, b"@203.0.113.9"), 0.0, lambda: None)
    verdict.guard.deadline_header, verdict.deadline, verdict.attempts = b"grpc-timeout", 0.9, 2
    for listener in (INBOUND, OUTBOUND):
        data = head_to_send(
            *(listener, services.upstreams["shop"].endpoint(0.0), verdict, head),
            *("203.0.113.9", False),
            *(Attempts(verdict, head), 0.5),
        )
        assert b"\r\nPlanb-Attempt: 2\r\nGrpc-Timeout: 400m\r\n" in data
        assert b"900m" not in data
