import asyncio
import socket
from dataclasses import replace

import pytest

from proxy.lanes.host_names import check_hosts, find_places, hosts_of
from proxy.lanes.resolving import Found, LookUpError
from proxy.policy.endpoint_spec import BalanceSpec, Place, ResolveSpec
from proxy.policy.snapshot import UpstreamSpec
from tests.support.name_server import NameServer

PLAIN = UpstreamSpec("plain", "shop.test", 80)
SOCKET = UpstreamSpec("socket", "localhost", 80, unix_path="/run/shop")
SEVERAL = replace(
    PLAIN, name="several", balance=BalanceSpec((Place("one.test", 80), Place("two.test", 80)))
)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names that the machine knows."""
    names: set[str] = set()

    async def getaddrinfo(_: object, host: str, port: int | None, **more: object) -> list[object]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return []

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return names


def test_what_is_looked_up_when_connecting() -> None:
    assert hosts_of(PLAIN) == {"shop.test"}
    assert hosts_of(SOCKET) == frozenset()
    assert hosts_of(SEVERAL) == {"one.test", "two.test"}
    # By then it has addresses.
    assert hosts_of(replace(PLAIN, balance=BalanceSpec(resolve=ResolveSpec()))) == frozenset()


async def test_an_unknown_host_is_an_error(known: set[str]) -> None:
    await check_hosts([SOCKET])
    message = "upstream plain: unknown host 'shop.test': Name or service not known"
    with pytest.raises(LookUpError, match=message):
        await check_hosts([PLAIN])
    known.add("shop.test")
    await check_hosts([PLAIN])


async def test_of_several_one_is_enough(known: set[str], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(LookUpError, match=r"upstream several: unknown host 'one\.test'"):
        await check_hosts([SEVERAL])
    known.add("two.test")
    await check_hosts([SEVERAL])
    assert [each.split(": N")[0] for each in caplog.messages] == [
        "upstream several: unknown host 'one.test'"
    ]


async def test_places_are_found_where_there_is_a_name_to_balance_by() -> None:
    async with NameServer() as names:
        spec = replace(PLAIN, balance=BalanceSpec(resolve=ResolveSpec(names.at)))
        with pytest.raises(LookUpError, match=r"upstream plain: unknown host 'shop\.test': "):
            await find_places([spec])
        names.records["shop.test", "A"] = (9, ["10.0.0.1"])
        found = await find_places([PLAIN, SEVERAL, spec])
        assert found == {"plain": Found((Place("10.0.0.1", 80),), 9.0)}
