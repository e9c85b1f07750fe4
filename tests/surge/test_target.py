import socket
from collections.abc import Iterator

import pytest

from proxy.surge.target import AddressError, TargetError, is_near, target


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _looked_up(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name has these addresses."""

    def getaddrinfo(host: str, port: int, *_: int, **__: int) -> list[object]:
        found = [host] if host[0].isdigit() else addresses
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_urls_become_requests_in_turn(port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    found = target([base, f"{base}/items/1?a=b%20c#top"], allow_public=False)
    lines = [request.split(b"\r\n") for request in found.requests]
    assert [each[0] for each in lines] == [b"GET / HTTP/1.1", b"GET /items/1?a=b%20c HTTP/1.1"]
    assert f"Host: 127.0.0.1:{port}".encode() in lines[0]
    assert (found.name, found.address, found.port) == (base, "127.0.0.1", port)


def test_the_address_that_listens_is_taken_of_several(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _looked_up(monkeypatch, "127.0.0.9", "127.0.0.1")
    assert target([f"http://localhost:{port}"], allow_public=False).address == "127.0.0.1"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://127.0.0.1", "speaks no TLS"),
        ("ftp://127.0.0.1", "is not a URL like"),
        ("127.0.0.1:8080", "is not a URL like"),
        ("http://", "is not a URL like"),
        ("", "is not a URL like"),
        ("http://127.0.0.1:0", "is not a URL like"),
        ("http://127.0.0.1:99999", "is no URL"),
        ("http://[::1", "is no URL"),
        ("http://me@127.0.0.1", "user name"),
        ("http://127.0.0.1/a b", "%XX"),
        ("http://127.0.0.1/a\r\nX: y", "%XX"),
        ("http://127.0.0.1/ä", "%XX"),
        ("http://shop.invalid", "unknown host shop.invalid"),
        (f"http://{'a' * 64}.example", "unknown host"),
    ],
)
def test_what_is_no_address_is_explained_in_one_line(url: str, why: str) -> None:
    with pytest.raises(AddressError, match=why) as raised:
        target([url], allow_public=False)
    assert "\n" not in str(raised.value)


def test_all_urls_are_of_one_server(port: int) -> None:
    with pytest.raises(AddressError, match="one server"):
        target([f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port + 1}"], allow_public=False)


def test_nothing_that_listens_is_an_error_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(TargetError, match="nothing listens there") as raised:
        target([f"http://127.0.0.1:{port}"], allow_public=False)
    assert not isinstance(raised.value, AddressError)


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("127.0.0.1", True),
        ("127.255.255.255", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("172.32.0.1", False),
        ("192.168.1.1", True),
        ("::1", True),
        ("fd00::1", True),
        ("fe80::1%eth0", False),
        ("169.254.169.254", False),  # a cloud's metadata service
        ("0.0.0.0", False),
        ("8.8.8.8", False),
        ("2001:db8::1", False),
        ("::ffff:8.8.8.8", False),
        ("::ffff:127.0.0.1", True),
        ("2002:0808:0808::1", False),
        ("64:ff9b::8.8.8.8", False),
    ],
)
def test_near_is_this_machine_or_a_private_network(address: str, near: bool) -> None:
    assert is_near(address) is near


def test_a_public_host_is_refused_before_a_byte_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(AddressError, match="--allow-public"):
        target(["http://8.8.8.8"], allow_public=False)
    _looked_up(monkeypatch, "127.0.0.1", "8.8.8.8")
    with pytest.raises(AddressError, match=r"shop\.test is at 8\.8\.8\.8 and is neither"):
        target(["http://shop.test"], allow_public=False)


def test_a_public_host_can_be_allowed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.surge.target.is_near", lambda _: False)
    assert target([f"http://127.0.0.1:{port}"], allow_public=True).port == port


@pytest.mark.skipif(not hasattr(socket, "SO_BINDTODEVICE"), reason="Linux has all of 127/8")
def test_loopback_is_reached_from_many_addresses(port: int) -> None:
    sources = target([f"http://127.0.0.1:{port}"], allow_public=False).sources
    assert sources[0] == "127.0.0.1"
    assert len(set(sources)) == 16
