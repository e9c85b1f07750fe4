"""Endpoints as upstreams: what they share, what they keep, and what an exchange tells of them."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from proxy.lanes.balanced_upstream import BalancedUpstream, EndpointUpstream
from proxy.lanes.errors import ServerFailedError, UpstreamError
from proxy.policy.endpoint_spec import BalanceSpec, EjectionSpec, Place, ResolveSpec
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import FailureSpec, TlsSpec, UpstreamSpec, UpstreamTimeouts
from proxy.wire.response_head import ResponseHead, whole_response_head
from tests.lanes.listening import listening
from tests.support.name_server import NameServer
from tests.support.origin import RawOrigin, answering, ok
from tests.support.raw_client import RawClient, fetch, request_head

PLACES = tuple(Place("127.0.0.1", port) for port in (1, 2, 3, 4))
SPEC = UpstreamSpec(
    "shop",
    "127.0.0.1",
    1,
    balance=BalanceSpec(PLACES, ejection=EjectionSpec(consecutive_failures=1)),
)
NOW = monotonic() + 1000.0
"""Later than anything in these tests."""

REFUSED = UpstreamError(Reason.UPSTREAM_ERROR, "no connection: Connection refused")


@contextlib.asynccontextmanager
async def balanced(
    spec: UpstreamSpec = SPEC, places: tuple[Place, ...] = PLACES
) -> AsyncIterator[BalancedUpstream]:
    loop = asyncio.get_running_loop()
    made = BalancedUpstream(spec, places, loop, random.Random(1).random)
    yield made
    await made.close()


def _answer(status: int, *lines: str) -> ResponseHead:
    head = "\r\n".join([f"HTTP/1.1 {status} X", *lines, "Content-Length: 0", "", ""])
    parsed = whole_response_head(head.encode(), 1000)
    assert parsed is not None
    return parsed[0]


def _first(upstream: BalancedUpstream) -> EndpointUpstream:
    return upstream.endpoints.all[0]


@pytest.mark.parametrize(
    ("status", "lines", "fails"),
    [
        (101, (), False),
        (200, (), False),
        (404, (), False),
        (429, (), False),
        (500, (), True),
        (501, (), False),
        (503, (), True),
        (503, ("retry-after: 5",), False),
        (504, (), True),
        (505, (), False),
        (599, (), True),
    ],
)
async def test_an_answer_may_tell_that_the_endpoint_is_not_well(
    status: int, lines: tuple[str, ...], fails: bool
) -> None:
    async with balanced() as upstream:
        _first(upstream).answered(_answer(status, *lines), 0.1, NOW)
        assert _first(upstream).health.failures == upstream.endpoints.ejected == int(fails)
        # One exchange is one failure, whatever becomes of it then.
        if fails:
            _first(upstream).failed(ServerFailedError(status), NOW)
            _first(upstream).failed(ServerFailedError(status), NOW, status)
            _first(upstream).failed(REFUSED, NOW, status)
            assert _first(upstream).health.failures == 1


async def test_no_answer_and_half_an_answer_are_failures() -> None:
    async with balanced() as upstream:
        one, two, *_ = upstream.endpoints.all
        one.failed(REFUSED, NOW)
        two.answered(_answer(200), 0.1, NOW)
        two.failed(UpstreamError(Reason.UPSTREAM_ERROR, "cut short"), NOW, 200)
        assert [each.health.failures for each in upstream.endpoints.all] == [1, 1, 0, 0]
        assert upstream.endpoints.ejected == 2
        assert one.why == "no connection: Connection refused"
        assert upstream.failures[Reason.UPSTREAM_ERROR] == 2
        assert (upstream.counters.failures, upstream.counters.server_errors) == (1, 1)


async def test_what_is_a_failure_is_for_the_rules_to_say() -> None:
    failures = FailureSpec(frozenset({404}), timeouts=False)
    async with balanced(replace(SPEC, failures=failures)) as upstream:
        one, two, three, _ = upstream.endpoints.all
        one.answered(_answer(500), 0.1, NOW)
        two.answered(_answer(404), 0.1, NOW)
        three.failed(UpstreamError(Reason.UPSTREAM_TIMEOUT, "no response in time"), NOW)
        assert [each.health.failures for each in (one, two, three)] == [0, 1, 0]


async def test_a_failure_that_another_makes_up_for_is_the_endpoint_s_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with balanced() as upstream:
        other = _first(upstream).another(REFUSED, NOW)
        assert other in set(upstream.endpoints.all[1:])
        assert _first(upstream).health.failures == 1
        assert upstream.failures[Reason.UPSTREAM_ERROR] == upstream.counters.failures == 0
        assert caplog.messages == [
            f"upstream shop (127.0.0.1:1) gets no requests for 10 s: {REFUSED}"
        ]


async def test_one_alone_has_no_other() -> None:
    async with balanced(places=PLACES[:1]) as upstream:
        assert _first(upstream).another(REFUSED, NOW) is None
        assert _first(upstream).health.failures == 0


async def test_new_rules_keep_the_endpoints_that_are_in_both() -> None:
    async with balanced() as upstream:
        old = list(upstream.endpoints.all)
        old[3].connects = 7
        ejection = EjectionSpec(consecutive_failures=9)
        places = (Place("127.0.0.1", 5), *PLACES[:2])
        spec = replace(SPEC, port=5, balance=BalanceSpec(places, ejection=ejection))
        assert upstream.can_become(spec)
        upstream.adopt(spec)
        assert [each.place.port for each in upstream.endpoints.all] == [5, 1, 2]
        assert list(upstream.endpoints.all[1:]) == old[:2]
        assert upstream.endpoints.spec is ejection
        assert old[3].resting.closed
        assert upstream.connects == 7


async def test_a_pool_s_bound_is_each_endpoint_s() -> None:
    async with balanced() as upstream:
        upstream.limit_connections(3)
        upstream.adopt(replace(SPEC, balance=BalanceSpec((*PLACES[:1], Place("127.0.0.1", 5)))))
        assert [each._most for each in upstream.endpoints.all] == [3, 3]


async def test_what_connections_depend_on_makes_another_upstream() -> None:
    resolved = replace(SPEC, balance=BalanceSpec(resolve=ResolveSpec()))
    async with balanced() as listed, balanced(resolved) as looked_up:
        for changed in (
            replace(SPEC, timeouts=UpstreamTimeouts(connect=9.0)),
            replace(SPEC, tls=TlsSpec()),
            replace(SPEC, balance=None),
            resolved,
        ):
            assert not listed.can_become(changed)
        for changed in (
            SPEC,
            replace(resolved, port=2),
            replace(resolved, host="other"),
            replace(resolved, balance=BalanceSpec(resolve=ResolveSpec(("10.0.0.2", 53)))),
        ):
            assert not looked_up.can_become(changed)
        assert looked_up.can_become(
            replace(resolved, balance=BalanceSpec((), ResolveSpec(every=1.0)))
        )


async def test_a_name_s_endpoints_speak_for_the_name() -> None:
    spec = UpstreamSpec("shop", "shop.test", 443, TlsSpec(verify=False), balance=BalanceSpec())
    spec = replace(spec, balance=BalanceSpec(resolve=ResolveSpec()))
    async with balanced(spec, (Place("127.0.0.1", 443),)) as upstream:
        (one,) = upstream.endpoints.all
        assert one.authority == b"shop.test"
        assert one.spec.tls == TlsSpec(verify=False, server_name="shop.test")
        assert one.spec.host == "127.0.0.1"
    assert (await _authority(SPEC)) == b"127.0.0.1:1"


async def _authority(spec: UpstreamSpec) -> bytes:
    async with balanced(spec) as upstream:
        return _first(upstream).authority


async def test_places_follow_the_name_and_leave_no_task_behind() -> None:
    async with NameServer() as names:
        names.records["shop.test", "A"] = (100, ["127.0.0.2", "127.0.0.1"])
        spec = replace(SPEC, host="shop.test", balance=BalanceSpec(resolve=ResolveSpec(names.at)))
        async with balanced(spec, PLACES[:1]) as upstream:
            upstream.follow(0.0)
            (old,) = upstream.endpoints.all
            async with asyncio.timeout(5):
                while len(upstream.endpoints.all) < 2:
                    await asyncio.sleep(0.01)
            assert [each.place.host for each in upstream.endpoints.all] == [
                "127.0.0.1",
                "127.0.0.2",
            ]
            assert _first(upstream) is old
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("express", [True, False])
async def test_what_a_client_leaves_behind_is_not_in_flight(tmp_path: Path, express: bool) -> None:
    async with (
        RawOrigin(lambda peer: peer.stall(), peers_may_leave=True) as hanging,
        listening("", tmp_path, upstream=f"endpoints: ['{hanging.url}']", express=express) as lane,
    ):
        upstream = lane.services.upstreams["shop"]
        assert isinstance(upstream, BalancedUpstream)
        (endpoint,) = upstream.endpoints.all
        async with RawClient(lane.port) as client:
            await client.send(request_head("GET", "/"))
            async with asyncio.timeout(5):
                while not hanging.received:
                    await asyncio.sleep(0.01)
            assert endpoint.in_flight == 1
        async with asyncio.timeout(5):
            while endpoint.in_flight:
                await asyncio.sleep(0.01)
        assert endpoint.health.failures == 0


@pytest.mark.parametrize("express", [True, False])
async def test_who_can_t_be_connected_to_is_passed_over_once(tmp_path: Path, express: bool) -> None:
    async with RawOrigin(answering(ok()), peers_may_leave=True) as well:
        pass
    async with RawOrigin(answering(ok()), peers_may_leave=True) as other:
        pass
    urls = f"'{well.url}', '{other.url}'"
    async with listening("", tmp_path, upstream=f"endpoints: [{urls}]", express=express) as lane:
        answer = await fetch(lane.port, request_head("POST", "/", "Content-Length: 2") + b"ab")
        assert answer.status == 502
        upstream = lane.services.upstreams["shop"]
        assert isinstance(upstream, BalancedUpstream)
        assert [each.health.failures for each in upstream.endpoints.all] == [1, 1]
        assert upstream.failures[Reason.UPSTREAM_ERROR] == upstream.counters.failures == 1

        well.peers.clear()
        await well.open()
        for _ in range(4):
            answer = await fetch(lane.port, request_head("POST", "/", "Content-Length: 2") + b"ab")
            assert answer.status == 200
        assert upstream.failures[Reason.UPSTREAM_ERROR] == 1
        await well.close()
