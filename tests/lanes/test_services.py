import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from proxy.lanes.balanced_upstream import BalancedUpstream
from proxy.lanes.full_upstream import Upstream
from proxy.lanes.resolving import Found
from proxy.lanes.services import Services, Upstreams
from proxy.policy.endpoint_spec import BalanceSpec, Place, ResolveSpec
from proxy.policy.engine import Engine
from proxy.policy.snapshot import (
    AdaptiveSpec,
    AdviceSpec,
    ConcurrencySpec,
    Snapshot,
    TlsSpec,
    UpstreamSpec,
)
from tests.lanes.listening import NoLog

SHOP = UpstreamSpec("shop", "127.0.0.1", 8000)
COUPONS = UpstreamSpec("coupons", "127.0.0.1", 8001)


@pytest.fixture
async def upstreams() -> AsyncIterator[Upstreams]:
    made = Upstreams(asyncio.get_running_loop())
    yield made
    await made.close()


async def test_an_unchanged_upstream_keeps_its_connections(
    upstreams: Upstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstreams.swap([SHOP, COUPONS])
    shop, coupons = upstreams["shop"], upstreams["coupons"]
    limited = replace(
        SHOP,
        adaptive_concurrency=AdaptiveSpec("shop/adaptive"),
        advice=AdviceSpec("shop/advice"),
        pool=ConcurrencySpec("shop/pool", 3),
    )
    told: list[int | None] = []
    monkeypatch.setattr(shop, "limit_connections", told.append)
    upstreams.swap([limited, replace(COUPONS, port=8002)])
    assert upstreams["shop"] is shop
    assert told == [3]
    assert upstreams["coupons"] is not coupons
    assert {each.spec.port for each in upstreams} == {8000, 8002}


async def test_an_unusable_ca_file_changes_nothing(
    upstreams: Upstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstreams.swap([SHOP])
    shop = upstreams["shop"]
    told: list[int | None] = []
    monkeypatch.setattr(shop, "limit_connections", told.append)
    broken = replace(COUPONS, tls=TlsSpec(ca_file="/nowhere/ca.pem"))
    for changed in (replace(SHOP, port=8002), replace(SHOP, pool=ConcurrencySpec("shop/pool", 3))):
        with pytest.raises(OSError, match="No such file"):
            upstreams.swap([changed, broken])
        assert list(upstreams) == [shop]
    assert not told


def _several(*ports: int, tls: TlsSpec | None = None) -> UpstreamSpec:
    places = tuple(Place("127.0.0.1", port) for port in ports)
    return replace(SHOP, port=ports[0], tls=tls, balance=BalanceSpec(places))


async def test_endpoints_that_stay_keep_their_connections(upstreams: Upstreams) -> None:
    upstreams.swap([_several(1, 2)])
    shop = upstreams["shop"]
    assert isinstance(shop, BalancedUpstream)
    two = shop.endpoints.all[1]
    # A change that can't be made changes nothing, here neither.
    broken = replace(COUPONS, tls=TlsSpec(ca_file="/nowhere/ca.pem"))
    with pytest.raises(OSError, match="No such file"):
        upstreams.swap([_several(2, 3), broken])
    assert [each.place.port for each in shop.endpoints.all] == [1, 2]

    upstreams.swap([_several(2, 3)])
    assert upstreams["shop"] is shop
    assert [each.place.port for each in shop.endpoints.all] == [2, 3]
    assert shop.endpoints.all[0] is two

    upstreams.swap([_several(2, 3, tls=TlsSpec(verify=False))])
    assert upstreams["shop"] is not shop
    assert two.resting.closed
    upstreams.swap([SHOP])
    assert isinstance(upstreams["shop"], Upstream)
    upstreams.swap([_several(2, 3)])
    assert isinstance(upstreams["shop"], BalancedUpstream)


async def test_a_name_is_to_be_resolved_once(upstreams: Upstreams) -> None:
    spec = replace(SHOP, host="shop.test", balance=BalanceSpec(resolve=ResolveSpec()))
    assert list(upstreams.unresolved([spec, COUPONS, _several(1, 2)])) == [spec]
    found = Found((Place("127.0.0.1", 8000),), 100.0)
    upstreams.swap([spec], {"shop": found})
    shop = upstreams["shop"]
    later = replace(spec, balance=BalanceSpec(resolve=ResolveSpec(every=5.0)))
    assert list(upstreams.unresolved([later])) == []
    upstreams.swap([later])
    assert upstreams["shop"] is shop
    elsewhere = replace(spec, host="other.test")
    assert list(upstreams.unresolved([elsewhere])) == [elsewhere]


async def test_the_last_connection_s_end_is_told(upstreams: Upstreams) -> None:
    engine = Engine(Snapshot((), {}), time.monotonic(), random.random)
    services = Services(engine, upstreams, NoLog())
    await services.all_closed()
    services.opened()
    services.opened()
    waiting = asyncio.create_task(services.all_closed())
    await asyncio.sleep(0)
    services.closed()
    await asyncio.sleep(0)
    assert not waiting.done()
    services.closed()
    await asyncio.wait_for(waiting, 5)
    assert services.connections == 0


async def test_a_date_is_one_for_its_second(upstreams: Upstreams) -> None:
    engine, now = Engine(Snapshot((), {}), 0.0, random.random), 784111777.9
    services = Services(engine, upstreams, NoLog(), lambda: now)
    assert services.date() == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert services.date() is services.date()
    now = 784111778.0
    assert services.date() == b"Sun, 06 Nov 1994 08:49:38 GMT"
