from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire import client
from proxy.wire.client import (
    LONGEST_ADDRESS,
    MAX_HOPS,
    client_address,
    client_key,
    is_trusted,
    plain_address,
)

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def chain(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"X-Forwarded-For", value) for value in values]


@pytest.mark.parametrize(
    ("peer", "values", "address"),
    [
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"1.1.1.1", b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"203.0.113.9, 10.0.0.2, fd00::1"], "203.0.113.9"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [b"203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [b"203.0.113.9, ,"], "203.0.113.9"),
        ("10.0.0.1", [b"203.0.113.9:4711"], "203.0.113.9"),
        ("10.0.0.1", [b"[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", [b"[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", [b"2001:DB8:0::1"], "2001:db8::1"),
        ("10.0.0.1", [b"203.0.113.9:x"], "10.0.0.1"),
        ("10.0.0.1", [b"[2001:db8::1"], "10.0.0.1"),
        ("10.0.0.1", [b"[2001:db8::1]4711"], "10.0.0.1"),
        ("10.0.0.1", [b"203.0.113.999"], "10.0.0.1"),
        ("10.0.0.1", [b"\xff"], "10.0.0.1"),
        ("::ffff:10.0.0.1", [b"::ffff:203.0.113.9"], "203.0.113.9"),
        ("203.0.113.7", [b"1.1.1.1"], "203.0.113.7"),
        ("fe80::1%eth0", [b"1.1.1.1"], "fe80::1"),
        ("", [b"1.1.1.1"], ""),
    ],
)
def test_the_client_is_the_last_address_that_is_not_ours(
    peer: str, values: list[bytes], address: str
) -> None:
    assert client_address(peer, chain(*values), TRUSTED) == address


def test_nobody_is_believed_unless_told_so() -> None:
    assert client_address("10.0.0.1", chain(b"1.1.1.1"), ()) == "10.0.0.1"


def test_the_walk_is_bounded() -> None:
    ours = b", ".join([b"10.0.0.2"] * MAX_HOPS)
    assert client_address("10.0.0.1", chain(b"1.1.1.1, " + ours), TRUSTED) == "10.0.0.2"
    assert client_address("10.0.0.1", chain(b"1.1.1.1, " + ours[10:]), TRUSTED) == "1.1.1.1"


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fd00::1", True),
        ("11.0.0.1", False),
        ("", False),
    ],
)
def test_trust_is_a_matter_of_networks(peer: str, trusted: bool) -> None:
    assert is_trusted(peer, TRUSTED) is trusted


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", ""),
        ("a:b", "a:b"),
    ],
)
def test_an_ipv6_client_is_counted_by_its_64(address: str, key: str) -> None:
    assert client_key(address) == b"@" + key.encode()


def test_a_peer_is_told_upstream_without_zone_or_mapping() -> None:
    assert plain_address("::ffff:1.2.3.4") == "1.2.3.4"
    assert plain_address("fe80::1%eth0") == "fe80::1"
    assert plain_address("unix") == "unix"


def test_a_long_text_is_no_address_and_not_remembered() -> None:
    caches = (client._parse_short, client._plain, client._network)
    before = [cache.cache_info().currsize for cache in caches]
    for n in range(5):
        text = f"{n}::" + "f" * LONGEST_ADDRESS
        assert client_address("10.0.0.1", chain(text.encode()), TRUSTED) == "10.0.0.1"
        assert not is_trusted(text, TRUSTED)
        assert plain_address(text) == text
        assert client_key(text) == b"@" + text.encode()
    assert [cache.cache_info().currsize for cache in caches][1:] == before[1:]
    assert caches[0].cache_info().currsize <= before[0] + 1  # the peer


def test_the_longest_address_is_one() -> None:
    text = "[1111:2222:3333:4444:5555:6666:7777:8888%interface123456]:65535"
    assert len(text) < LONGEST_ADDRESS
    assert plain_address(text) == "1111:2222:3333:4444:5555:6666:7777:8888"


@given(st.text(max_size=30), st.binary(max_size=60))
def test_nothing_in_the_chain_raises(peer: str, value: bytes) -> None:
    client_address(peer, chain(value), TRUSTED)
    client_address("10.0.0.1", chain(value), TRUSTED)
    client_key(peer)
