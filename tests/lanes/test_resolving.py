"""What a name leads to, from a real nameserver and from the machine."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.lanes import resolving
from proxy.lanes.resolving import Found, LookUpError, Resolution, look_up
from proxy.policy.endpoint_spec import MOST_ENDPOINTS, Place, ResolveSpec
from tests.support.name_server import NameServer

A, AAAA = ("shop.test", "A"), ("shop.test", "AAAA")


@pytest.fixture
async def names() -> AsyncIterator[NameServer]:
    async with NameServer() as running:
        yield running


async def _hosts(names: NameServer) -> tuple[list[str], float]:
    places, again_in, _ = await look_up("shop.test", 80, ResolveSpec(names.at, every=7.0))
    assert {place.port for place in places} <= {80}
    return [place.host for place in places], again_in


async def test_each_address_is_a_place_in_an_order_that_stays(names: NameServer) -> None:
    names.records[A] = (60, ["10.0.0.10", "10.0.0.9", "9.0.0.1"])
    assert await _hosts(names) == (["9.0.0.1", "10.0.0.9", "10.0.0.10"], 60.0)
    assert names.asked == [A]


async def test_ipv6_is_asked_for_where_there_is_no_ipv4(names: NameServer) -> None:
    names.records[AAAA] = (5, ["2001:db8::2", "2001:db8::1"])
    assert await _hosts(names) == (["2001:db8::1", "2001:db8::2"], 5.0)


async def test_ipv6_is_not_taken_for_an_ipv4_that_is_not_told_just_now(names: NameServer) -> None:
    names.records[AAAA] = (5, ["2001:db8::2"])
    names.failing = {"A"}
    with pytest.raises(LookUpError):
        await _hosts(names)


async def test_a_name_without_addresses_has_none(names: NameServer) -> None:
    names.records["shop.test", "TXT"] = (5, ["hello"])
    with pytest.raises(LookUpError, match="no address"):
        await _hosts(names)


async def test_the_shortest_ttl_on_the_way_counts(names: NameServer) -> None:
    names.records["shop.test", "CNAME"] = (3, ["blue.test"])
    names.records["blue.test", "A"] = (600, ["10.0.0.1"])
    assert await _hosts(names) == (["10.0.0.1"], 3.0)


@pytest.mark.parametrize(("ttl", "again_in"), [(0, 1.0), (1, 1.0), (2**31 - 1, 86400.0)])
async def test_a_ttl_is_kept_within_reason(names: NameServer, ttl: int, again_in: float) -> None:
    names.records[A] = (ttl, ["10.0.0.1"])
    assert await _hosts(names) == (["10.0.0.1"], again_in)


async def test_there_are_only_so_many_endpoints(names: NameServer) -> None:
    # More does not fit into a datagram: of what the machine says there may be any number.
    many = [f"10.0.{number // 256}.{number % 256}" for number in range(400)]
    assert resolving._usable([*many, *many]) == many[:MOST_ENDPOINTS]


async def test_no_name_leads_to_metadata(
    names: NameServer, caplog: pytest.LogCaptureFixture
) -> None:
    taken: list[tuple[Place, ...]] = []
    resolution = Resolution("shop", ("shop.test", 80), ResolveSpec(names.at), taken.append)
    names.records[A] = (60, ["10.0.0.1", "169.254.169.254"])
    for _ in range(2):
        await resolution.once()
    assert taken == [(Place("10.0.0.1", 80),)] * 2
    assert caplog.messages == [
        "upstream shop: shop.test leads to 169.254.169.254, which only a URL may name: left out"
    ]
    names.records[A] = (60, ["169.254.169.254"])
    with pytest.raises(LookUpError, match=r"leads to 169\.254\.169\.254, which only a URL may"):
        await _hosts(names)


@pytest.mark.parametrize("raw", [b"\x81\x80", b"\xff" * 40, b"\x81\x80" + b"\0" * 500])
async def test_nonsense_is_no_address(
    names: NameServer, raw: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolving, "LOOK_UP_SECONDS", 0.2)
    names.records["other.test", "A"] = (60, ["10.0.0.1"])
    names.raw = raw
    with pytest.raises(LookUpError):
        await _hosts(names)


async def test_silence_is_no_address(names: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "LOOK_UP_SECONDS", 0.2)
    names.silent = True
    with pytest.raises(LookUpError):
        await _hosts(names)


async def _machine(monkeypatch: pytest.MonkeyPatch, addresses: list[tuple[int, str]]) -> None:
    """What getaddrinfo says from now on: families and addresses; nothing is an unknown name."""

    async def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(family, 1, 6, "", (address, port)) for family, address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_a_name_that_only_the_machine_knows_is_looked_up_at_fixed_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await _machine(monkeypatch, [(socket.AF_INET, "10.0.0.1"), (socket.AF_INET, "10.0.0.1")])
    monkeypatch.setattr(resolving, "TTL_PATIENCE", 0.1)
    found = await look_up("of-the-hosts-file.invalid", 80, ResolveSpec(every=7.0))
    assert found == Found((Place("10.0.0.1", 80),), 7.0)


async def test_the_machine_s_addresses_count_and_the_dns_only_says_for_how_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    async def records(
        host: str, kind: str, nameserver: object, patience: float
    ) -> tuple[list[str], float]:
        asked.append((host, kind, nameserver))
        return ["10.9.9.9"], 12.0

    monkeypatch.setattr(resolving, "_records", records)
    # Of both families the one is used that the machine prefers.
    await _machine(monkeypatch, [(socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "10.0.0.1")])
    found = await look_up("shop.test", 80, ResolveSpec())
    assert found == Found((Place("2001:db8::1", 80),), 12.0)
    assert asked == [("shop.test", "AAAA", None)]


async def test_a_name_that_nobody_knows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    await _machine(monkeypatch, [])
    with pytest.raises(LookUpError, match="Name or service not known"):
        await look_up("shop.test", 80, ResolveSpec())


async def test_a_lost_dns_changes_nothing_and_is_told_once(
    names: NameServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    taken: list[tuple[Place, ...]] = []
    spec = ResolveSpec(names.at, every=3.0)
    resolution = Resolution("shop", ("shop.test", 80), spec, taken.append)
    names.records[A] = (60, ["10.0.0.1"])
    assert await resolution.once() == 60.0
    known = names.records.copy()
    names.records.clear()
    for _ in range(2):
        assert await resolution.once() == 3.0
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(
        "upstream shop: shop.test can't be looked up, its last addresses stay: "
    )
    names.records.update(known)
    await resolution.once()
    assert caplog.messages[1:] == ["upstream shop: shop.test is looked up again"]
    assert taken == [(Place("10.0.0.1", 80),)] * 2


async def test_look_ups_go_on_whatever_goes_wrong(
    names: NameServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resolving, "RETRY_SECONDS", 0.0)
    names.records[A] = (100, ["10.0.0.1"])
    taken = asyncio.Event()

    def take(_: tuple[Place, ...]) -> None:
        if not caplog.messages:
            raise ZeroDivisionError
        taken.set()

    resolution = Resolution("shop", ("shop.test", 80), ResolveSpec(names.at), take)
    running = asyncio.create_task(resolution.run(0.0))
    await asyncio.wait_for(taken.wait(), 5)
    running.cancel()
    assert caplog.messages == ["upstream shop could not be given its addresses"]


async def test_look_ups_go_on_at_their_times(names: NameServer) -> None:
    names.records[A] = (100, ["10.0.0.1"])
    first = asyncio.Event()
    resolution = Resolution("shop", ("shop.test", 80), ResolveSpec(names.at), lambda _: first.set())
    running = asyncio.create_task(resolution.run(0.0))
    await asyncio.wait_for(first.wait(), 5)
    await asyncio.sleep(0.01)
    assert not running.done()
    assert len(names.asked) == 1
    running.cancel()
