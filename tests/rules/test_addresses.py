"""Addresses, networks and hosts."""

from collections.abc import Callable
from ipaddress import ip_network

import pytest

from proxy.rules import addresses
from proxy.rules.addresses import Address, Origin


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (addresses.bind, "127.0.0.1:8080", Address("127.0.0.1", 8080)),
        (addresses.bind, "[::1]:0", Address("::1", 0)),
        (addresses.bind, "sidecar.local:80", Address("sidecar.local", 80)),
        (addresses.origin, "http://127.0.0.1:8000", Origin(Address("127.0.0.1", 8000))),
        (addresses.origin, "http://Shop/", Origin(Address("shop", 80))),
        (addresses.origin, "https://[::1]", Origin(Address("::1", 443), tls=True)),
        (addresses.origin, "unix:/run/shop.sock", Origin(None, unix_path="/run/shop.sock")),
        (addresses.network, "10.0.0.0/8", ip_network("10.0.0.0/8")),
        (addresses.network, "192.0.2.1", ip_network("192.0.2.1/32")),
        (addresses.network, "fd00::/8", ip_network("fd00::/8")),
        (addresses.network, "FD00:0::/8", ip_network("fd00::/8")),
        (addresses.host_pattern, "Shop.Example", "shop.example"),
        (addresses.host_pattern, "*.shop.example", "*.shop.example"),
        (addresses.host_pattern, "[::1]", "[::1]"),
        (addresses.named_host, "Coupons.Example.", "coupons.example:80"),
        (addresses.named_host, "pay.example:08443", "pay.example:8443"),
        (addresses.named_host, "[2001:DB8:0::1]:81", "[2001:db8::1]:81"),
    ],
)
def test_an_address_is_read(parse: Callable[[object], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (addresses.bind, 8080, "is not an address"),
        (addresses.bind, ":8080", "is not an address"),
        (addresses.bind, "127.0.0.1:65536", "at most 65535"),
        (addresses.bind, "127.0.0.256:80", "is not an IP address"),
        (addresses.bind, "[127.0.0.1]:80", "only an IPv6 address"),
        (addresses.bind, "[x]:80", "is not an IP address"),
        (addresses.origin, "127.0.0.1:8000", "does not start with"),
        (addresses.origin, "ftp://shop", "does not start with"),
        (addresses.origin, "http://", "no host"),
        (addresses.origin, "http://a b", "no host"),
        (addresses.origin, "http://[::1", "is not an address"),
        (addresses.origin, "http://shop:99999", "is not an address"),
        (addresses.origin, "http://shop:0", "port 0"),
        (addresses.origin, "http://me@shop", "user names"),
        (addresses.origin, "http://shop/app", "no path"),
        (addresses.origin, "http://shop?", "no path"),
        (addresses.origin, "unix:shop.sock", "unix:/path"),
        (addresses.origin, None, "is not an address"),
        (addresses.network, "10.0.0.1/8", "did you mean 10.0.0.0/8"),
        (addresses.network, "10.0.0.0/33", "is not a network"),
        (addresses.network, 10, "is not a network"),
        (addresses.host_pattern, "shop:80", "without its port"),
        (addresses.named_host, "*.shop.example", "each host is named"),
        (addresses.named_host, "shop.example:0", "1 to 65535"),
        (addresses.named_host, "shop.example:65536", "1 to 65535"),
        (addresses.named_host, "shop:80:80", "is not a host"),
        (addresses.named_host, "http://shop", "is not a host"),
        (addresses.named_host, "[::g]", "is not a host"),
        (addresses.named_host, "[1:2]", "is not an IPv6 address"),
        (addresses.named_host, "", "is not a host"),
        (addresses.named_host, 80, "is not a host"),
        (addresses.host_pattern, "shop.*", "is not a host"),
        (addresses.host_pattern, "*", "is not a host"),
        (addresses.host_pattern, "bücher.example", "ASCII"),
        (addresses.host_pattern, 5, "is not a host"),
    ],
)
def test_all_else_is_refused_with_a_sentence(
    parse: Callable[[object], object], value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        parse(value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("shop.example", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, loopback: bool) -> None:
    assert Address(host, 80).loopback is loopback


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "[::1]:80", False),
        ("[::]:80", "[::1]:80", True),
        ("[::]:80", "0.0.0.0:80", False),
        ("localhost:80", "[::1]:80", True),
        ("[0:0::1]:80", "[::1]:80", True),
        ("a.example:80", "A.example:80", True),
    ],
)
def test_addresses_clash_when_both_cannot_be_bound(one: str, other: str, clash: bool) -> None:
    first, second = addresses.bind(one), addresses.bind(other)

    assert first.clashes(second) is clash
    assert second.clashes(first) is clash


@pytest.mark.parametrize(
    ("address", "bound", "reaches"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("localhost:80", "0.0.0.0:80", True),
        ("127.0.0.1:80", "0.0.0.0:80", True),
        ("[::1]:80", "0.0.0.0:80", False),
        ("[::1]:80", "[::]:80", True),
        ("10.0.0.1:80", "0.0.0.0:80", False),
        ("127.0.0.1:80", "127.0.0.1:81", False),
    ],
)
def test_a_loop_is_claimed_only_where_it_is_sure(address: str, bound: str, reaches: bool) -> None:
    assert addresses.bind(address).reaches(addresses.bind(bound)) is reaches
