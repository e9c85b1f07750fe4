import pytest

from proxy.wire.authority import host_name, is_authority, named, same_authority


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"shop",
        b"shop.example",
        b"shop.example:8080",
        b"shop.example:",
        b"10.0.0.1:80",
        b"[::1]",
        b"[2001:db8::1]:443",
        b"under_score",
        b"a%20b",
        b"shop:65535",
    ],
)
def test_legal_authorities_are_accepted(text: bytes) -> None:
    assert is_authority(text)


@pytest.mark.parametrize(
    "text",
    [
        b"shop:65536",
        b"shop:abc",
        b"shop:80:80",
        b"user@shop",
        b"shop/",
        b"a b",
        b"a\tb",
        b"[::1",
        b"[::g]",
        b"[1:2]",
        b"[fe80::1%25eth0]",
        b"[v1.x]",
        b"::1",
        b"a%2",
        b"\xc3\xa9",
        b"a,b c",
        b"shop:+80",
    ],
)
def test_malformed_authorities_are_refused(text: bytes) -> None:
    assert not is_authority(text)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (b"shop", b"SHOP", True),
        (b"shop:80", b"shop", True),
        (b"shop:", b"shop:080", True),
        (b"shop:443", b"shop", False),
        (b"[::1]:80", b"[::1]", True),
        (b"shop", b"shop.evil", False),
        (b"shop:8080", b"shop", False),
    ],
)
def test_case_and_the_default_port_make_no_difference(
    first: bytes, second: bytes, same: bool
) -> None:
    assert same_authority(first, second, b"http") is same


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        (b"", ""),
        (b"Shop.Example:8080", "shop.example"),
        (b"shop.example.", "shop.example"),
        (b"shop.example.:80", "shop.example"),
        (b"[2001:DB8::1]:80", "2001:db8::1"),
        (b"[::1]", "::1"),
    ],
)
def test_rules_see_a_host_in_one_spelling(authority: bytes, name: str) -> None:
    assert host_name(authority) == name


@pytest.mark.parametrize(
    ("host", "port", "tls", "authority"),
    [
        ("shop.example", 80, False, b"shop.example"),
        ("shop.example", 443, True, b"shop.example"),
        ("shop.example", 443, False, b"shop.example:443"),
        ("shop.example", 80, True, b"shop.example:80"),
        ("10.0.0.1", 8000, False, b"10.0.0.1:8000"),
        ("::1", 80, False, b"[::1]"),
        ("fe80::1%eth0", 8000, False, b"[fe80::1]:8000"),
    ],
)
def test_an_address_is_named_as_browsers_do(
    host: str, port: int, tls: bool, authority: bytes
) -> None:
    assert named(host, port, tls=tls) == authority
    assert is_authority(authority)
