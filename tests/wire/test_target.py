import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.target import normalise

SPELLINGS_OF_ORDERS = [
    b"/orders",
    b"/orders/",
    b"//orders//",
    b"/./orders/.",
    b"/a/../orders",
    b"/../../orders",
    b"/%6f%72ders",
    b"/%6F%72ders",
    b"/a/%2e%2e/orders",
    b"/a/%2E./orders",
    b"/a%2f..%2forders",
    b"%2forders".replace(b"%2f", b"/%2f"),
    b"\\orders".replace(b"\\", b"/\\"),
    b"/a\\..\\orders",
    b"/a%5c..%5Corders",
    b"/orders;jsessionid=1",
    b"/orders;a=1;b=2/",
    b"/;x/orders",
    b"/a/..;/orders",
    b"/a/..;x=y/orders",
    b"/a/%2e%2e;x/orders",
    b"/orders;x%2fy",
    b"/orders;x%00",
    b"/orders%3Bx",
    b"/orders%00.png",
    b"/orders%00/../items",
    b"http://shop/orders",
    b"HTTPS://shop:443//orders?x",
]


@pytest.mark.parametrize("target", SPELLINGS_OF_ORDERS)
def test_no_spelling_slips_past_a_rule(target: bytes) -> None:
    assert normalise(target)[0] == "/orders"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", b""),
        (b"*", "/", b""),
        (b"shop:443", "/", b""),
        (b"http://shop", "/", b""),
        (b"http://shop?a/b", "/", b"a/b"),
        (b"/..", "/", b""),
        (b"/a/..", "/", b""),
        (b"/a?b=%20?c;d#", "/a", b"b=%20?c;d#"),
        (b"/a?", "/a", b""),
        (b"/a%3Fb?c", "/a?b", b"c"),
        (b"/.well-known/x", "/.well-known/x", b""),
        (b"/...", "/...", b""),
        (b"/a.b/c..d", "/a.b/c..d", b""),
        (b"/caf%C3%A9", "/caf\xe9", b""),
        (b"/caf\xc3\xa9", "/caf\xe9", b""),
        (b"/%ff", "/\udcff", b""),
        (b"/a+b@c:d", "/a+b@c:d", b""),
        (b"/Orders", "/Orders", b""),
        # Decoded once, and invalid escapes kept.
        (b"/%252e%252e/a", "/%2e%2e/a", b""),
        (b"/%zz%2", "/%zz%2", b""),
    ],
)
def test_a_target_becomes_a_path_and_a_query(target: bytes, path: str, query: bytes) -> None:
    assert normalise(target) == (path, query)


@given(st.binary(max_size=60) | st.text(alphabet="/.;%25eEfFcC\\0?a", max_size=40).map(str.encode))
def test_a_path_is_always_absolute_and_resolved(data: bytes) -> None:
    path, _ = normalise(b"/" + data)
    assert path.startswith("/")
    assert path == "/" or not path.endswith("/")
    assert not {"", ".", ".."}.intersection(path[1:].split("/")) or path == "/"
    assert not {";", "\\", "\0"}.intersection(path)
    normalise(data)
