"""Client: who a connection speaks for, by the rules of now."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from proxy.lanes.client import Client
from proxy.policy.snapshot import ListenerSpec
from proxy.wire.client import client_address, client_key, is_trusted
from proxy.wire.request_head import RequestHead, RequestHeadReader
from tests.support.raw_client import request_head

OPEN = ListenerSpec("storefront", "127.0.0.1", 0, "shop")
BEHIND = replace(OPEN, trusted_proxies=(ip_network("10.0.0.0/8"),))


def _head(*lines: str) -> RequestHead:
    head = RequestHeadReader(65536).feed(request_head("GET", "/", *lines))
    assert head is not None
    return head


FORWARDED = _head("X-Forwarded-For: 203.0.113.7")


def _said(client: Client) -> tuple[bool, str, bytes]:
    return client.trusted, client.address, client.key


@pytest.mark.parametrize("peer", ["192.0.2.1", "10.1.2.3", "2001:db8::1", "::ffff:10.1.2.3", ""])
@pytest.mark.parametrize("spec", [OPEN, BEHIND])
@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("X-Forwarded-For: 203.0.113.7",),
        ("x-forwarded-for: 203.0.113.7, 10.9.9.9",),
        ("X-Forwarded-For: 203.0.113.7", "X-Forwarded-For: 203.0.113.8, 10.9.9.9"),
        ("X-Forwarded-For: nonsense",),
        ("X_Forwarded_For: 203.0.113.7",),
        ("X-Forwarded-For: 2001:db8:1:2:3::4",),
    ],
)
def test_it_is_what_each_request_would_be_asked_anew(
    peer: str, spec: ListenerSpec, lines: tuple[str, ...]
) -> None:
    client = Client(peer)
    head = _head(*lines)
    # Another request before, and the same twice: nothing of it stays.
    for each in (FORWARDED, head, head):
        client.read(spec, each)
    address = client_address(peer, head.fields, spec.trusted_proxies)
    trusted = is_trusted(peer, spec.trusted_proxies)
    assert _said(client) == (trusted, address, client_key(address))


def test_a_trusted_peer_speaks_for_one_client_after_another() -> None:
    client = Client("10.1.2.3")
    client.read(BEHIND, FORWARDED)
    assert _said(client) == (True, "203.0.113.7", b"@203.0.113.7")
    client.read(BEHIND, _head("X-Forwarded-For: 203.0.113.8"))
    assert _said(client) == (True, "203.0.113.8", b"@203.0.113.8")
    client.read(BEHIND, _head())
    assert _said(client) == (True, "10.1.2.3", b"@10.1.2.3")


def test_who_is_no_longer_trusted_speaks_for_itself() -> None:
    client = Client("10.1.2.3")
    client.read(BEHIND, FORWARDED)
    client.read(OPEN, FORWARDED)
    assert _said(client) == (False, "10.1.2.3", b"@10.1.2.3")
    client.read(BEHIND, FORWARDED)
    assert _said(client) == (True, "203.0.113.7", b"@203.0.113.7")
