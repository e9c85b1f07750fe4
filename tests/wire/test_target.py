from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.target import LONGEST_RESOLVED_BYTES, normalise, other_readings, read_path

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


def others(target: bytes) -> tuple[str, ...]:
    return other_readings(target, normalise(target)[0])


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"*",
        b"/items/1?a=//../;b",
        b"/items/",
        b"/caf%C3%A9/%zz%",
        b"/.well-known/a..b",
        b"http://shop/orders",
        b"http://shop",
    ],
)
def test_a_usual_target_has_one_reading(target: bytes) -> None:
    assert others(target) == ()


@pytest.mark.parametrize(
    ("target", "reading"),
    [
        # Routers that resolve nothing.
        (b"/guarded/a/../../x", "/guarded/a/../../x"),
        (b"/guarded/./../x/", "/guarded/./../x"),
        (b"/guarded/%2e%2E/x", "/guarded/../x"),
        (b"/guarded/..%2f..%2Fx", "/guarded/..%2f..%2Fx"),
        (b"/guarded/..;/x", "/guarded/..;/x"),
        (b"/guarded/..%3B/x", "/guarded/..;/x"),
        (b"/guarded/..%5Cx", "/guarded/..\\x"),
        (b"/guarded\\..\\x", "/guarded\\..\\x"),
        (b"//gu%61rded//../x", "/guarded/../x"),
        (b"http://shop/guarded/../x", "/guarded/../x"),
        (b"/x%00/guarded", "/x\0/guarded"),
        # nginx: an encoded slash splits, a parameter is part of a name.
        (b"/a;%2f../guarded/x", "/guarded/x"),
        (b"/b/a;%2f..//../guarded/x", "/guarded/x"),
        (b"/x%00/../guarded", "/guarded"),
        (b"/guarded/b\\..\\..\\..\\x/..", "/guarded"),
        # new URL(target, base): authorities, and empty segments that count.
        (b"//x/guarded", "/guarded"),
        (b"/\\x/guarded", "/guarded"),
        (b"///x/guarded?y", "/guarded"),
        (b"//x\\guarded", "/guarded"),
        (b"/%5Cx/guarded", "/guarded"),
        (b"http://shop//x/guarded", "/guarded"),
        (b"/a/../guarded/x//../../y", "/guarded/y"),
        (b"//x/a;b/..%2fguarded", "/guarded"),
    ],
)
def test_what_another_server_may_read_is_told(target: bytes, reading: str) -> None:
    assert reading != normalise(target)[0]
    assert reading in others(target)


def test_a_path_too_long_to_be_resolved_is_still_read_literally() -> None:
    target = b"//guarded/../x/" + b"a" * LONGEST_RESOLVED_BYTES
    assert others(target) == ("/guarded/../x/" + "a" * LONGEST_RESOLVED_BYTES,)


@given(st.binary(max_size=60) | st.text(alphabet="/.;%25eEfFcC\\0?a", max_size=40).map(str.encode))
def test_other_readings_are_few_and_differ(data: bytes) -> None:
    path = normalise(b"/" + data)[0]
    readings = others(b"/" + data)
    assert len({path, *readings}) == len(readings) + 1 <= 5
    assert all(reading.startswith("/") and "//" not in reading for reading in readings)
    others(data)


TARGETS = st.binary(max_size=60) | st.text(alphabet="/.;%25eEfFcC\\0?a", max_size=40).map(
    str.encode
)


@given(TARGETS | TARGETS.map(lambda data: b"/" + data))
def test_one_call_tells_all_readings_the_first_time_and_again(target: bytes) -> None:
    path, _ = normalise(target)
    for _ in range(2):
        assert read_path(target.partition(b"?")[0]) == (path, other_readings(target, path))


@pytest.mark.parametrize("part", [b"%", b"/;", b"/", b";", b"/a"])
def test_no_spelling_takes_long_to_read(part: bytes) -> None:
    target = b"/n/" + part * (65_000 // len(part))

    def seconds() -> float:
        begun = perf_counter()
        normalise(target)
        return perf_counter() - begun

    # What is here below 1 ms took 5 to 16.
    assert min(seconds() for _ in range(5)) < 0.003


def test_long_paths_are_not_remembered() -> None:
    """Nobody fills the memory with paths of 64 KiB."""
    short, long = b"/short/%41", b"/long/%41" + b"x" * 300
    for path in (short, long):
        read_path(path)
    assert read_path(short)[0] is read_path(short)[0]
    assert read_path(long)[0] is not read_path(long)[0]
