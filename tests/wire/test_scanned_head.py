"""The scanner of the compiled wheel says what the strict reader says, or nothing."""

import functools
import importlib.machinery
import importlib.util
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire import scanned_head
from proxy.wire.errors import BadMessage
from proxy.wire.field_line import FORWARDED_FOR, HOST, REQUEST_LINES
from proxy.wire.fields import forward_request_head
from proxy.wire.outbound import outbound_request_head
from proxy.wire.request_head import RequestHead, RequestHeadReader
from proxy.wire.scanned_head import scanned_request_head

LIMIT = 4096


@pytest.fixture(
    scope="module", autouse=True, params=["-O1", "-U__SSE2__"], ids=["as it is", "without SSE2"]
)
def _scanner(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """In the compiled wheel it is there already. Elsewhere it is also made as for a machine that
    has no SSE2.
    """
    if scanned_head._scan is not None:
        if request.param != "-O1":
            pytest.skip("the wheel has the one that it was made with")
        yield
        return
    source = Path(scanned_head.__file__).with_name("_scan.c")
    compiler = shutil.which("cc")
    include = sysconfig.get_path("include")
    if compiler is None or not Path(include, "Python.h").exists():
        pytest.skip("no C compiler, or no Python.h")
    built = tmp_path_factory.mktemp("scan") / "_scan.so"
    flags = ["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{include}", request.param]
    subprocess.run([compiler, *flags, str(source), "-o", str(built)], check=True)
    loader = importlib.machinery.ExtensionFileLoader("_scan", str(built))
    spec = importlib.util.spec_from_loader("_scan", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanned_head, "_scan", module.Scanner(REQUEST_LINES.kind).read)
        yield


def strictly(data: bytes, max_bytes: int) -> tuple[RequestHead, int] | None:
    """The head and its end as the reader has them that is fed byte by byte, and so never quick."""
    reader = RequestHeadReader(max_bytes)
    try:
        for index in range(len(data)):
            head = reader.feed(data[index : index + 1])
            if head is not None:
                return head, index + 1
    except BadMessage:
        pass
    return None


def everything(head: RequestHead) -> list[object]:
    sent_on = functools.partial(forward_request_head, head, host=b"shop", peer="192.0.2.1")
    return [
        repr(head),
        head.fields,
        list(head),
        [line.text for line in head.lines],
        head.preferences(),
        head.path_and_query(),
        head.value(HOST),
        head.values(FORWARDED_FOR),
        outbound_request_head(head, host=b"shop"),
        outbound_request_head(head, host=b"shop", without=b"cookie", extra=b"Planb-Attempt: 1"),
        sent_on(trusted=False, extra=b"Planb-Attempt: 1"),
        sent_on(trusted=False, without=b"cookie", extra=b"Planb-Attempt: 1"),
        sent_on(trusted=False),
        sent_on(trusted=True),
        sent_on(trusted=False, whole=True),
    ]


def is_scanned(data: bytes, max_bytes: int = LIMIT) -> bool:
    """Whether it is, and then read as it is strictly."""
    found = scanned_request_head(data, max_bytes)
    if found is None:
        return False
    strict = strictly(data, max_bytes)
    assert strict is not None
    # What is sent on comes first from the text alone, then with its lines read.
    sent_on = functools.partial(forward_request_head, host=b"shop", peer="192.0.2.1", trusted=False)
    first = sent_on(found)
    assert sent_on(found, extra=b"A: b") == sent_on(strict[0], extra=b"A: b")
    assert found.text == data[: strict[1]]
    assert everything(found) == everything(strict[0])
    assert first == everything(strict[0])[-3]
    return True


BROWSER = (
    b"GET /items/1?a=b HTTP/1.1\r\nHost: shop.example:8080\r\nConnection: keep-alive\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: text/html,*/*;q=0.8\r\n"
    b"Accept-Language: en\r\nAccept: second\r\nCookie: a=b;\tc=d\r\nIf-None-Match: x\r\n\r\n"
)
UPLOAD = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-LENGTH: 05\r\nConnection: Close\r\n\r\nbody!"
BEHIND_PROXIES = (
    b"GET /? HTTP/1.1\r\nX-Forwarded-For: 1.1.1.1\r\nX_Forwarded_For: 2.2.2.2\r\nHost: a.b.\r\n"
    b"X-Forwarded-Proto: https\r\nKeep-Alive: 5\r\nTE: trailers\r\nProxy: a\r\n\r\n"
)
PLAIN = [BROWSER, UPLOAD, BEHIND_PROXIES, b"GET /%s?b?c HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 300)]


@pytest.mark.parametrize("data", PLAIN, ids=lambda data: data[:12])
def test_plain_heads_are_scanned(data: bytes) -> None:
    for _ in range(2):
        assert is_scanned(data)
        assert is_scanned(data + BROWSER)


@pytest.mark.parametrize("data", PLAIN[:3], ids=lambda data: data[:12])
def test_a_head_cut_anywhere_is_not_whole(data: bytes) -> None:
    end = data.index(b"\r\n\r\n") + 4
    for cut in range(end):
        assert not is_scanned(data[:cut])
        assert not is_scanned(data, cut)
    assert is_scanned(data[:end], end)


@given(st.sampled_from(PLAIN[:3]), st.data())
def test_a_head_with_any_byte_changed_is_read_alike_or_not_at_all(
    head: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(head) - 1))
    byte = data.draw(st.sampled_from(b"\r\n\0 \t:#?/\x7f\x80\xff,aA0") | st.integers(0, 255))
    is_scanned(head[:place] + bytes([byte]) + head[place + 1 :])


NAMES = st.sampled_from(
    b"Host host Connection Content-Length Transfer-Encoding Expect Upgrade TE Keep-Alive Accept "
    b"Accept-Language X-Forwarded-For X_Forwarded_For Forwarded Proxy Cookie Date Max-Forwards "
    b"If-None-Match A".split()
) | st.binary(max_size=70)
VALUES = st.sampled_from(
    b"a b:80 a:65535 a:65536 a: a:1x [::1] a/b 5 007 +5 5,5 999999999999999999 9223372036854775808 "
    b"chunked close Keep-Alive close,a upgrade 100-continue 1234567 12345678 123456789".split()
) | st.binary(max_size=20)
COLONS = st.sampled_from([b": "] * 12 + [b":", b":\t", b":  ", b" : ", b""])
ENDS = st.sampled_from([b"\r\n"] * 20 + [b"\n", b" \r\n", b"\t\r\n", b"\r", b"\r\r\n", b"\n\r"])
LINES = st.lists(st.tuples(NAMES, COLONS, VALUES, ENDS).map(b"".join), max_size=5).map(b"".join)
STARTS = st.sampled_from(
    [b"GET / HTTP/1.1\r\nHost: a\r\n"] * 6
    + [b"%b /a?b HTTP/1.1\r\n" % each for each in b"HEAD POST PUT PATCH DELETE OPTIONS X".split()]
    + [
        b"GET /a#b HTTP/1.1\r\n",
        b"GET /\xff HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"GET * HTTP/1.1",
    ]
)


@given(
    st.tuples(STARTS, LINES, st.sampled_from([b"\r\n", b"\r\nrest", b""])).map(b"".join),
    st.just(LIMIT) | st.integers(-1, 120),
)
def test_any_head_is_read_alike_or_not_at_all(data: bytes, max_bytes: int) -> None:
    is_scanned(data, max_bytes)


@pytest.mark.parametrize(
    "line",
    [
        b"Host: b",
        b"Expect: 100-continue",
        b"Upgrade: a",
        b"Connection: upgrade",
        b"Connection: close\r\nConnection: close",
        b"Transfer-Encoding: chunked",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 1234567890123456789",
        b"Content-Length: 5,",
        b"A: \xe9",
        b"A: b ",
        b"A:  b",
        b"A:b",
        b"A: ",
        b"A : b",
        b": b",
        b"A\xe9: b",
        b"A: b\r\n c",
        b"A: b\rC: d",
        b"A: b\nC: d",
        b"%b: b" % (b"a" * 65),
        b"\r\n".join([b"A: b"] * 200),
    ],
)
def test_what_is_not_plain_is_left_to_python(line: bytes) -> None:
    assert not is_scanned(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % line)


# What is read sixteen, or eight, bytes at a time.
@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 17, 33, 40])
def test_no_byte_of_a_value_is_overlooked_wherever_it_stands(length: int) -> None:
    for place in range(length):
        for byte in range(256):
            value = b"a" * place + bytes([byte]) + b"a" * (length - place - 1)
            plain = 0x20 < byte < 0x7F or (byte in b"\t " and 0 < place < length - 1)
            head = b"GET / HTTP/1.1\r\nHost: a\r\nB: %b\r\n\r\n" % value
            assert (scanned_request_head(head, LIMIT) is not None) == plain, (place, byte)


@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 17, 63, 64, 65])
@pytest.mark.parametrize("left", [1, 13, 14, 15, 40])
def test_a_name_ends_where_its_colon_is(length: int, left: int) -> None:
    name, value = b"n" * length, b"v" * left
    head = b"GET / HTTP/1.1\r\nHost: a\r\n%b: %b\r\n\r\n" % (name, value)
    assert is_scanned(head) == (length <= 64)
    assert not is_scanned(head.replace(b": v", b"; v"))


def test_it_takes_bytes_and_a_size_that_fits() -> None:
    scan = scanned_head._scan
    assert scan is not None
    for wrong in (
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        bytearray(BROWSER),
        memoryview(BROWSER),
        None,
    ):
        with pytest.raises(TypeError):
            scan(wrong, LIMIT)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        scan(BROWSER)  # type: ignore[call-arg]
    with pytest.raises(OverflowError):
        scan(BROWSER, 1 << 63)
    assert scan(BROWSER, (1 << 63) - 1) is not None
    assert scan(BROWSER, -(1 << 62)) is None


def test_names_that_crowd_each_other_out_are_asked_for_again() -> None:
    def head(numbers: range) -> bytes:
        lines = b"".join(b"N%d: %d\r\nX-Forwarded-%d: a\r\n" % (n, n, n) for n in numbers)
        return b"GET / HTTP/1.1\r\nHost: h%d\r\n%b\r\n" % (numbers[0], lines)

    for _ in range(2):
        for start in range(0, 1500, 30):
            assert is_scanned(head(range(start, start + 30)))
