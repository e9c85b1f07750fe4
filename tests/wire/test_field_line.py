import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire import field_line
from proxy.wire.field_line import LONGEST_LINE, MOST_LINES, FieldLine, LineReader
from proxy.wire.grammar import TEXT_BYTES


def requests() -> LineReader:
    return LineReader(of_requests=True)


def read(line: bytes, *, of_requests: bool = True) -> FieldLine:
    found = LineReader(of_requests=of_requests).read(line + b"\r")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("line", "name", "value", "text"),
    [
        (b"A: b", b"A", b"b", b"A: b"),
        (b"a:b:c", b"a", b"b:c", b"a: b:c"),
        (b"A:", b"A", b"", b"A: "),
        (b"A: ", b"A", b"", b"A: "),
        (b"A:\t", b"A", b"", b"A: "),
        (b"A:  b \t", b"A", b"b", b"A: b"),
        (b"A: b ", b"A", b"b", b"A: b"),
        (b"A:\tb", b"A", b"b", b"A: b"),
        (b"A:bb ", b"A", b"bb", b"A: bb"),
    ],
)
def test_a_line_goes_on_with_one_space(line: bytes, name: bytes, value: bytes, text: bytes) -> None:
    found = read(line)
    assert (found.name, found.value, found.text) == (name, value, text)


@pytest.mark.parametrize(
    "line", [b"", b"A", b": x", b"A : x", b" A: x", b"A B: x", b"\xe9: x", b"A\r: x", b"Host"]
)
def test_what_has_no_name_is_no_line(line: bytes) -> None:
    reader = requests()
    assert reader.read(line + b"\r") is None
    assert reader.read(line + b"\r") is None


@pytest.mark.parametrize(
    "end", [b"", b"\r\r", b"\n", b"\0\r", b"\x0b\r", b"\x7f\r", b"\r ", b" \n"]
)
@pytest.mark.parametrize("name", [b"Cookie", b"User-Agent"])
def test_what_is_no_text_or_has_no_end_is_no_line(name: bytes, end: bytes) -> None:
    reader = requests()
    for _ in range(2):
        assert reader.read(name + b": a" + end) is None
    assert reader.known == {}


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"Cookie: a", field_line.PLAIN),
        (b"X-Forward: a", field_line.PLAIN),
        (b"ACCEPT: a", field_line.ACCEPT),
        (b"Accept-Language: a", field_line.ACCEPT_LANGUAGE),
        (b"Max-Forwards: 1", field_line.MAX_FORWARDS),
        (b"host: a:80", field_line.HOST),
        (b"Host: a b", field_line.UNJUDGED),
        (b"Content-Length: 007", field_line.CONTENT_LENGTH),
        (b"Content-Length: 5, 5", field_line.UNJUDGED),
        (b"Content-Length: 9223372036854775808", field_line.UNJUDGED),
        (b"Content-Length:", field_line.UNJUDGED),
        (b"Expect: 100-continue", field_line.UNJUDGED),
        (b"Forwarded: for=a", field_line.FORWARDED),
        (b"x-forwarded-prefix: a", field_line.FORWARDED),
        (b"X-Forwarded-Proto: a", field_line.FORWARDED_PROTO),
        (b"X-Forwarded-Host: a", field_line.FORWARDED_HOST),
        (b"X-Forwarded-For: a", field_line.FORWARDED_FOR),
        (b"X_Forwarded_For: a", field_line.STAYS),
        (b"Proxy: a", field_line.STAYS),
        (b"TE: a", field_line.STAYS),
        (b"Connection: Keep-Alive", field_line.KEEP_ALIVE),
        (b"Connection: close", field_line.CLOSE),
        (b"Connection: close, x", field_line.CONNECTION),
        (b"Transfer-Encoding: Chunked", field_line.CHUNKED),
        (b"Transfer-Encoding: gzip, chunked", field_line.TRANSFER_ENCODING),
        (b"Upgrade: a", field_line.UPGRADE),
    ],
)
def test_a_requests_line_is_classified(line: bytes, kind: int) -> None:
    assert read(line).kind == kind


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"Date: a", field_line.DATE),
        (b"Proxy: a", field_line.PLAIN),
        (b"Host: a", field_line.PLAIN),
        (b"X-Forwarded-For: a", field_line.PLAIN),
        (b"Keep-Alive: timeout=5", field_line.STAYS),
        (b"Content-Length: 5", field_line.CONTENT_LENGTH),
    ],
)
def test_a_responses_line_is_classified(line: bytes, kind: int) -> None:
    assert read(line, of_requests=False).kind == kind


@pytest.mark.parametrize(
    "name",
    [
        b"Cookie",
        b"Set-Cookie",
        b"Authorization",
        b"Proxy-Authorization",
        b"Referer",
        b"X-Api-Key",
        b"X-Forwarded-For",
        b"If-None-Match",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Protocol",
    ],
)
@pytest.mark.parametrize("of_requests", [False, True])
def test_what_may_be_secret_is_not_kept(name: bytes, *, of_requests: bool) -> None:
    reader = LineReader(of_requests=of_requests)
    line = name + b": secret\r"
    assert reader.read(line) is not reader.read(line)
    assert reader.known == {}


@pytest.mark.parametrize(
    "line", [b"User-Agent: x\r", b"accept:*/*\r", b"Sec-CH-UA: x\r", b"SEC-FETCH-MODE: no\r"]
)
def test_what_repeats_is_kept(line: bytes) -> None:
    reader = requests()
    assert reader.read(line) is reader.read(line) is reader.known[line]


def test_long_lines_are_not_kept() -> None:
    reader = requests()
    name = b"User-Agent: "
    reader.read(name + b"x" * (LONGEST_LINE - len(name) - 1) + b"\r")
    reader.read(name + b"x" * (LONGEST_LINE - len(name)) + b"\r")
    assert [len(line) for line in reader.known] == [LONGEST_LINE]


def test_a_flood_of_lines_and_names_is_forgotten() -> None:
    reader = requests()
    for number in range(3 * MOST_LINES):
        reader.read(b"User-Agent: %d\r" % number)
        reader.read(b"X-%d: a\r" % number)
        assert len(reader.known) <= MOST_LINES
    assert read(b"User-Agent: 0").value == b"0"


NAMES = st.sampled_from([b"Host", b"Cookie", b"X_Real_IP", b"Connection", b"Content-Length", b"A"])
VALUES = st.lists(st.sampled_from(sorted(TEXT_BYTES)), max_size=8).map(bytes)


@given(NAMES, st.sampled_from([b":", b": ", b":\t "]), VALUES, st.booleans())
def test_a_line_is_known_for_what_it_was_read_as(
    name: bytes, colon: bytes, value: bytes, of_requests: bool
) -> None:
    reader = LineReader(of_requests=of_requests)
    line = name + colon + value + b"\r"
    first, second = reader.read(line), reader.read(line)
    assert first is not None
    assert repr(first) == repr(second)
    assert (first.name, first.value) == (name, value.strip(b" \t"))
    # As it goes on, it is read as the same.
    assert repr(reader.read(first.text + b"\r")) == repr(first)
    assert [repr(line) for line in reader.classify([(name, first.value)])] == [repr(first)]


def test_the_names_in_connection_are_gathered() -> None:
    assert field_line.names_in_connection(None) == frozenset()
    assert field_line.names_in_connection([b"A,, b\t,", b"C"]) == {b"a", b"b", b"c"}
