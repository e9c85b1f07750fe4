"""Where no name may lead to."""

import logging
from socket import AddressFamily

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.lanes.forbidden_addresses import GuardedResolver, is_forbidden


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "fe80::1%eth0",
        "febf::1",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    ],
)
def test_metadata_and_the_own_link_are_forbidden(address: str) -> None:
    assert is_forbidden(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "::1",
        "fec0::1",
        "fd00:ec3::254",
        "64:ff9b::10.0.0.1",
        "::ffff:10.0.0.1",
        "localhost",
        "",
    ],
)
def test_all_else_is_not(address: str) -> None:
    assert not is_forbidden(address)


class _Known(AbstractResolver):
    """Knows one host."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0)
            for each in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


async def test_forbidden_addresses_are_left_out_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = _Known()
    resolver = GuardedResolver(known)

    async def found(*addresses: str) -> list[str]:
        known.addresses = list(addresses)
        return [each["host"] for each in await resolver.resolve("a.test", 80)]

    with caplog.at_level(logging.WARNING):
        assert await found("10.0.0.1") == ["10.0.0.1"]
        assert caplog.messages == []
        for _ in range(2):
            assert await found("169.254.169.254", "10.0.0.1") == ["10.0.0.1"]
        assert caplog.messages == [
            "not connected: a.test resolves to 169.254.169.254, which only a URL may name"
        ]
        with pytest.raises(OSError, match=r"a.test resolves to fe80::1%eth0, which only a URL"):
            await found("fe80::1%eth0", "169.254.169.254")
        assert len(caplog.messages) == 1
        await found("10.0.0.1")
        await found("169.254.169.254", "10.0.0.1")
        assert len(caplog.messages) == 2


async def test_it_closes_what_it_asks() -> None:
    known = _Known()
    await GuardedResolver(known).close()
    assert known.closed
