from collections.abc import Sequence
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.errors import (
    BadMessage,
    BadRequest,
    HeadTooLarge,
    UnsupportedCoding,
    UnsupportedVersion,
)
from proxy.wire.field_section import MAX_FIELDS
from proxy.wire.request_head import MAX_EMPTY_LINES, RequestHead, RequestHeadReader

LIMIT = 4096


def read(data: bytes, *, max_bytes: int = LIMIT) -> RequestHead:
    head = RequestHeadReader(max_bytes).feed(data)
    assert head is not None
    return head


def with_fields(*lines: bytes, start: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"\r\n".join([start, b"Host: shop", *lines, b"", b""])


def outcome(
    pieces: Sequence[bytes], max_bytes: int = LIMIT
) -> tuple[RequestHead | type[BadMessage] | None, bytes]:
    """What comes of feeding the pieces: the head with what follows it, an error, or nothing."""
    reader = RequestHeadReader(max_bytes)
    for index, piece in enumerate(pieces):
        try:
            head = reader.feed(piece)
        except BadMessage as error:
            return type(error), b""
        if head is not None:
            return head, reader.rest + b"".join(pieces[index + 1 :])
    return None, b""


def test_a_browsers_head_is_read_byte_for_byte() -> None:
    reader = RequestHeadReader(LIMIT)
    head = reader.feed(
        b"GET /a%2Fb?x=1&y= HTTP/1.1\r\nhOsT: Shop.example:8080\r\nX-Empty:\r\nX-Pad: \t a b \t\r\n"
        b"cookie: a=b\r\nCookie: c=\xff\r\nConnection: keep-alive\r\n\r\nNEXT"
    )
    assert head is not None
    assert (head.method, head.target, head.version) == (b"GET", b"/a%2Fb?x=1&y=", (1, 1))
    assert head.fields == [
        (b"hOsT", b"Shop.example:8080"),
        (b"X-Empty", b""),
        (b"X-Pad", b"a b"),
        (b"cookie", b"a=b"),
        (b"Cookie", b"c=\xff"),
        (b"Connection", b"keep-alive"),
    ]
    assert (head.length, head.chunked, head.keep_alive) == (None, False, True)
    assert (head.expect_continue, head.upgrade) == (False, None)
    assert head.connection_names == {b"keep-alive"}
    assert head.host == b"Shop.example:8080"
    assert reader.rest == b"NEXT"


def test_a_head_has_started_with_its_first_byte() -> None:
    reader = RequestHeadReader(LIMIT)
    reader.feed(b"")
    assert not reader.started
    reader.feed(b"G")
    assert reader.started


LEGAL = [
    b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    b"b!#$%&'*+-.^_`|~9 / HTTP/1.0\r\n\r\n",
    b"GET //double?a?b#".replace(b"#", b"") + b" HTTP/1.0\r\n\r\n",
    b"GET /caf\xc3\xa9\xff HTTP/1.0\r\n\r\n",
    b'GET /"<>\\^`{|} HTTP/1.0\r\n\r\n',
    b"OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n",
    b"CONNECT shop:443 HTTP/1.1\r\nHost: shop:443\r\n\r\n",
    b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n",
    b"GET http://shop HTTP/1.1\r\nHost: shop\r\n\r\n",
    b"GET HTTP://SHOP:80/x?y HTTP/1.1\r\nHost: shop\r\n\r\n",
    b"GET https://shop/x HTTP/1.1\r\nHost: shop:443\r\n\r\n",
    b"GET http://shop?q HTTP/1.1\r\nHost: shop\r\n\r\n",
    b"GET / HTTP/1.0\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n",
    with_fields(b"Content-Length: 0"),
    with_fields(b"Content-Length: 9223372036854775807"),
    with_fields(b"Transfer-Encoding: chunked"),
    with_fields(b"Transfer-Encoding:\t CHUNKED \t"),
]


@pytest.mark.parametrize("data", LEGAL)
def test_legal_heads_are_accepted(data: bytes) -> None:
    read(data)


MALFORMED = [
    b" GET / HTTP/1.1\r\n",
    b"\nGET / HTTP/1.1\r\n",
    b"\rGET / HTTP/1.1\r\n",
    b"\x16\x03\x01\x02\x00",
    b"G@T / HTTP/1.1\r\n",
    b"GET  / HTTP/1.1\r\n",
    b"GET\t/ HTTP/1.1\r\n",
    b"GET / HTTP/1.1 \r\n",
    b"GET /  HTTP/1.1\r\n",
    b"GET /a b HTTP/1.1\r\n",
    b"GET / http/1.1\r\n",
    b"GET / HTTP/1.1\n",
    b"GET / HTTP/1.1\rX",
    b"GET / HTTP/1.2\r\n",
    b"GET / HTTP/1.\r\n",
    b"GET / HTTP/1.10\r\n",
    b"GET /\r\n",
    b"GET\r\n",
    b"GET /\x00 HTTP/1.1\r\n",
    b"GET /\x7f HTTP/1.1\r\n",
    b"GET /\x0b HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\n Host: shop\r\n",
    b"GET / HTTP/1.1\r\n\tHost: shop\r\n",
    b"GET / HTTP/1.1\r\nHost : shop\r\n",
    b"GET / HTTP/1.1\r\nHost\t: shop\r\n",
    b"GET / HTTP/1.1\r\nHost: shop\n",
    b"GET / HTTP/1.1\r\nHost: shop\rX",
    b"GET / HTTP/1.1\r\nHost: sh\x00op\r\n",
    b"GET / HTTP/1.1\r\nX: a\x0bb\r\n",
    b"GET / HTTP/1.1\r\nX: a\x7f\r\n",
    b"GET / HTTP/1.1\r\nHost: shop\r\n folded\r\n",
    b"GET / HTTP/1.1\r\nHost: shop\r\nX: a\r\n\tfolded\r\n",
    b"GET / HTTP/1.1\r\n: x\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n",
    b"GET / HTTP/1.1\r\nnocolon\r\n",
    b"GET / HTTP/1.1\r\nX\x00: a\r\n",
    b"GET / HTTP/1.1\r\n\xc3\xa9: a\r\n",
    b"GET / HTTP/1.1\r\nHost: shop\r\n\n",
    b"GET / HTTP/1.1\r\nHost: shop\r\n\rX",
    b"\r\n" * (MAX_EMPTY_LINES + 1),
]


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed_heads_are_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        RequestHeadReader(LIMIT).feed(data)


@pytest.mark.parametrize(
    ("begin", "wrong"),
    [
        (b"", b" "),
        (b"", b"\x16"),
        (b"GE", b"\r"),
        (b"GET", b"\n"),
        (b"GET ", b" "),
        (b"GET /", b"\r"),
        (b"GET /x", b"\x01"),
        (b"GET / H", b"t"),
        (b"GET / HTTP/1", b"/"),
        (b"GET / HTTP/1.1", b"\n"),
        (b"GET / HTTP/1.1\r", b"\r"),
        (b"GET / HTTP/1.1\r\n", b" "),
        (b"GET / HTTP/1.1\r\nHost", b" "),
        (b"GET / HTTP/1.1\r\nHost: a", b"\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r", b"a"),
        (b"GET / HTTP/1.1\r\nHost: a", b"\x00"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", b"\r"),
    ],
)
def test_the_first_wrong_byte_is_refused_without_waiting_for_more(
    begin: bytes, wrong: bytes
) -> None:
    for pieces in ([begin, wrong], [bytes([byte]) for byte in begin + wrong]):
        reader = RequestHeadReader(LIMIT)
        for piece in pieces[:-1]:
            assert reader.feed(piece) is None
        with pytest.raises(BadRequest):
            reader.feed(pieces[-1])


@pytest.mark.parametrize("start", [b"PRI * HTTP/2.0", b"GET / HTTP/0.9", b"GET / HTTP/3"])
def test_other_versions_are_told_apart_from_nonsense(start: bytes) -> None:
    with pytest.raises(UnsupportedVersion):
        RequestHeadReader(LIMIT).feed(start + b"\r\n\r\nSM\r\n\r\n")


MEANINGLESS = [
    # Hosts.
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    # Targets.
    b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http:///x HTTP/1.1\r\nHost:\r\n\r\n",
    b"GET http://:80/x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\nHost:\r\n\r\n",
    b"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/ HTTP/1.1\r\n\r\n",
    b"GET a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    b"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    # Two lengths, or none that is one (CL.CL).
    with_fields(b"Content-Length: 5", b"Content-Length: 5"),
    with_fields(b"Content-Length: 5", b"content-length: 6"),
    with_fields(b"Content-Length: 5, 5"),
    with_fields(b"Content-Length: +5"),
    with_fields(b"Content-Length: -1"),
    with_fields(b"Content-Length: 0x5"),
    with_fields(b"Content-Length: 5 5"),
    with_fields(b"Content-Length: 1_0"),
    with_fields(b"Content-Length: \xb2"),
    with_fields(b"Content-Length:"),
    with_fields(b"Content-Length: 9223372036854775808"),
    with_fields(b"Content-Length: 18446744073709551621"),
    with_fields(b"Content-Length: " + b"0" * 19 + b"5"),
    # CL.TE and TE.CL.
    with_fields(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    with_fields(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    with_fields(b"Transfer-Encoding: chunked", b"CONTENT-LENGTH: 0"),
    with_fields(b"Content-Length: 5", b"Transfer-Encoding: identity"),
    # TE.TE.
    with_fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    with_fields(b"Transfer-Encoding: chunked", b"Transfer-encoding: x"),
    with_fields(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
    with_fields(b"Transfer-Encoding: chunked, chunked"),
    with_fields(b"Transfer-Encoding: chunked, identity"),
    with_fields(b"Transfer-Encoding: identity, chunked"),
    with_fields(b"Transfer-Encoding: identity"),
    with_fields(b"Transfer-Encoding: gzip"),
    with_fields(b"Transfer-Encoding: chunked, gzip"),
    with_fields(b"Transfer-Encoding: xchunked"),
    with_fields(b"Transfer-Encoding: chunkedx"),
    with_fields(b"Transfer-Encoding: x chunked"),
    with_fields(b'Transfer-Encoding: "chunked"'),
    with_fields(b"Transfer-Encoding: chunked;q=1"),
    with_fields(b"Transfer-Encoding: chunked,"),
    with_fields(b"Transfer-Encoding: , chunked"),
    with_fields(b"Transfer-Encoding: \xa0chunked"),
    with_fields(b"Transfer-Encoding:"),
    with_fields(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0"),
    # The same, by bytes that some reader drops.
    with_fields(b"Transfer-Encoding : chunked"),
    with_fields(b" Transfer-Encoding: chunked"),
    with_fields(b"X: y\r\n Transfer-Encoding: chunked"),
    with_fields(b"Transfer-Encoding\x0b: chunked"),
    with_fields(b"Transfer-Encoding: \x0bchunked"),
    with_fields(b"Transfer-Encoding: chunked\x00"),
    with_fields(b"Transfer-Encoding:\r chunked"),
    with_fields(b"Transfer-Encoding:\n chunked"),
    with_fields(b"X: y\nTransfer-Encoding: chunked"),
    with_fields(b"X: y\rTransfer-Encoding: chunked"),
    with_fields(b"Content-Length: 5\x00"),
    with_fields(b"Content-Length: \x0c5"),
    with_fields(b"Content-Length\x00: 5"),
]


@pytest.mark.parametrize("data", MEANINGLESS)
def test_heads_without_one_meaning_are_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        RequestHeadReader(LIMIT).feed(data)


@pytest.mark.parametrize("value", [b"gzip, chunked", b"foo,chunked", b"gzip , deflate\t, Chunked"])
def test_another_coding_before_chunked_is_not_supported(value: bytes) -> None:
    with pytest.raises(UnsupportedCoding):
        read(with_fields(b"Transfer-Encoding: " + value))


def test_framing_is_told() -> None:
    assert read(with_fields(b"Content-Length: 0042")).length == 42
    assert read(with_fields()).length is None
    head = read(with_fields(b"transfer-encoding: Chunked"))
    assert head.chunked
    assert head.length is None


@pytest.mark.parametrize(
    ("version", "lines", "keep_alive"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: close"], False),
        (b"1.1", [b"Connection: x, CLOSE ,y"], False),
        (b"1.1", [b"Connection: x", b"Connection: close"], False),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: Keep-Alive"], True),
        (b"1.0", [b"Connection: keep-alive, close"], False),
    ],
)
def test_persistence_follows_version_and_connection(
    version: bytes, lines: list[bytes], keep_alive: bool
) -> None:
    head = read(with_fields(*lines, start=b"GET / HTTP/" + version))
    assert head.keep_alive is keep_alive


def test_names_in_connection_are_gathered_in_lower_case() -> None:
    head = read(with_fields(b"Connection: X-A,, Upgrade\t,", b"connection: x-b"))
    assert head.connection_names == {b"x-a", b"upgrade", b"x-b"}


@pytest.mark.parametrize(
    ("version", "lines", "upgrade"),
    [
        (b"1.1", [b"Connection: Upgrade", b"Upgrade: websocket"], b"websocket"),
        (b"1.1", [b"Connection: upgrade", b"Upgrade: a", b"Upgrade: b/2"], b"a, b/2"),
        (b"1.1", [b"Upgrade: websocket"], None),
        (b"1.1", [b"Connection: upgrade"], None),
        (b"1.0", [b"Connection: upgrade", b"Upgrade: websocket"], None),
    ],
)
def test_an_upgrade_must_be_named_by_connection(
    version: bytes, lines: list[bytes], upgrade: bytes | None
) -> None:
    assert read(with_fields(*lines, start=b"GET / HTTP/" + version)).upgrade == upgrade


@pytest.mark.parametrize(
    ("version", "value", "expected"),
    [
        (b"1.1", b"100-continue", True),
        (b"1.1", b"100-Continue", True),
        (b"1.1", b"something", False),
        (b"1.0", b"100-continue", False),
    ],
)
def test_only_an_http_1_1_client_waits_for_100(
    version: bytes, value: bytes, expected: bool
) -> None:
    head = read(with_fields(b"Expect: " + value, start=b"PUT / HTTP/" + version))
    assert head.expect_continue is expected


@pytest.mark.parametrize(
    "lines",
    [
        [b"Expect: other", b"Expect: 100-continue"],
        [b"Expect: 100-continue", b"expect: other"],
        [b"Expect: a=b , 100-Continue"],
        [b"Expect:,100-continue,"],
    ],
)
def test_an_expectation_among_others_is_one(lines: list[bytes]) -> None:
    assert read(with_fields(*lines)).expect_continue


@pytest.mark.parametrize(
    ("data", "host"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b""),
        (b"GET http://a:81/ HTTP/1.0\r\n\r\n", b"a:81"),
        (b"GET http://A/ HTTP/1.1\r\nHost: a:80\r\n\r\n", b"A"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", b"a:443"),
    ],
)
def test_the_targets_authority_goes_before_host(data: bytes, host: bytes) -> None:
    assert read(data).host == host


@pytest.mark.parametrize("begin", [b"", b"\r\n", b"G", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_head_ends_at_its_limit_whatever_it_is_made_of(begin: bytes) -> None:
    endless = begin + b"A" * 200
    for pieces in ([endless], [bytes([byte]) for byte in endless]):
        assert outcome(pieces, 100)[0] is HeadTooLarge


def test_a_head_of_just_the_limit_passes() -> None:
    data = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for pieces in ([data], [bytes([byte]) for byte in data]):
        assert isinstance(outcome(pieces, len(data))[0], RequestHead)
        assert outcome(pieces, len(data) - 1)[0] is HeadTooLarge


def test_the_number_of_fields_is_limited() -> None:
    read(with_fields(*[b"a:"] * (MAX_FIELDS - 1)))
    with pytest.raises(HeadTooLarge):
        read(with_fields(*[b"a:"] * MAX_FIELDS))


def test_reasons_never_quote_the_client() -> None:
    with pytest.raises(BadRequest) as caught:
        read(b"GET /\x1b[31msecret HTTP/1.1\r\n\r\n")
    assert caught.value.reason == "byte 0x1b in the request target"


def test_feeding_byte_by_byte_costs_linear_time() -> None:
    def seconds(size: int) -> float:
        reader = RequestHeadReader(10_000_000)
        reader.feed(b"GET / HTTP/1.1\r\nX: ")
        begun = perf_counter()
        for _ in range(size):
            reader.feed(b"a")
        return perf_counter() - begun

    # A reader that looked at everything again would need some sixty times as long.
    assert min(seconds(160_000) for _ in range(2)) < 25 * min(seconds(20_000) for _ in range(3))


PIECES_OF_HEADS = st.lists(
    st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"POST http://a/x HTTP/1.0\r\n",
            b"OPTIONS * HTTP/1.1\r\n",
            b"Host: a\r\n",
            b"Host: ",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close, x\r\n",
            b"X-Pad:  a \t\r\n",
            b"\r\n",
            b"\r",
            b"\n",
            b" ",
            b":",
            b"\x00",
            b"a",
            b"HTTP/1.1",
            b"HTTP/2.0",
        ]
    ),
    max_size=12,
).map(b"".join)
HEADS = (
    st.sampled_from([*LEGAL, *MALFORMED, *MEANINGLESS]) | PIECES_OF_HEADS | st.binary(max_size=80)
)


@given(HEADS, st.lists(st.integers(0, 120), max_size=6), st.integers(1, 150))
def test_splitting_the_input_anywhere_changes_nothing(
    data: bytes, cuts: list[int], max_bytes: int
) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(edges)]
    whole = repr(outcome([data], max_bytes))
    assert repr(outcome(pieces, max_bytes)) == whole
    assert repr(outcome([bytes([byte]) for byte in data], max_bytes)) == whole


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_wire_errors(data: bytes) -> None:
    outcome([data])
    outcome([b"GET / HTTP/1.1\r\nHost: a\r\n", data])
