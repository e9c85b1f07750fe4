import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.errors import BadMessage
from proxy.wire.fields import (
    forward_request_head,
    forward_response_head,
    max_forwards,
    passable_upgrade,
    sent_chunked,
    trailer_fields,
)
from proxy.wire.request_head import RequestHead, RequestHeadReader
from proxy.wire.response_head import Framing, ResponseHead, ResponseHeadReader


def request(
    *lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a"
) -> RequestHead:
    head = RequestHeadReader(8192).feed(b"\r\n".join([start, host, *lines, b"", b""]))
    assert head is not None
    return head


def response(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> ResponseHead:
    head = ResponseHeadReader(8192).feed(b"\r\n".join([start, *lines, b"", b""]))
    assert head is not None
    return head


def sent(head: RequestHead, *, peer: str = "203.0.113.9", trusted: bool = False) -> list[bytes]:
    """The lines that go upstream, without the two empty ones at the end."""
    data = forward_request_head(head, peer=peer, trusted=trusted, host=b"up:8000")
    assert data.endswith(b"\r\n\r\n")
    return data[:-4].split(b"\r\n")


ADDED = [
    b"X-Forwarded-For: 203.0.113.9",
    b"X-Forwarded-Proto: http",
    b"X-Forwarded-Host: a",
    b"Via: 1.1 planb",
]


def own(head: RequestHead, *, trusted: bool = False) -> list[bytes]:
    """The client's field lines that go upstream: after the request line and Host."""
    lines = sent(head, trusted=trusted)
    assert lines[1] == b"Host: a"
    return [line for line in lines[2:] if line not in ADDED]


def answered(
    head: ResponseHead,
    *,
    to_version: tuple[int, int] = (1, 1),
    chunked: bool = False,
    close: bool = False,
    date: bytes | None = None,
) -> list[bytes]:
    data = forward_response_head(
        head, to_version=to_version, chunked=chunked, close=close, date=date
    )
    assert data.endswith(b"\r\n\r\n")
    return data[:-4].split(b"\r\n")


def test_a_request_goes_on_as_it_came() -> None:
    head = request(
        b"uSER-aGENT: x",
        b"Cookie: a=\xff",
        b"cookie: b",
        b"X-Empty:",
        b"Content-Length: 007",
        b"Authorization: Basic x",
        b"Proxy-Authorization: Basic y",
        b"Expect: 100-continue",
        start=b"pOST /a%2F../b?c=%7e& HTTP/1.1",
    )
    assert sent(head) == [
        b"pOST /a%2F../b?c=%7e& HTTP/1.1",
        b"Host: a",
        b"uSER-aGENT: x",
        b"Cookie: a=\xff",
        b"cookie: b",
        b"X-Empty: ",
        b"Content-Length: 007",
        b"Authorization: Basic x",
        b"Proxy-Authorization: Basic y",
        b"Expect: 100-continue",
        *ADDED,
    ]


def test_fields_for_this_hop_only_stay_behind() -> None:
    head = request(
        b"Connection: close, X-Hop , te",
        b"x-hop: 1",
        b"X-Hop2: 1",
        b"Keep-Alive: 5",
        b"Proxy-Connection: keep-alive",
        b"TE: trailers",
        b"Upgrade: x",
        b"HTTP2-Settings: AAA",
    )
    assert own(head) == [b"X-Hop2: 1"]


@pytest.mark.parametrize(
    "line",
    [
        b"Cookie: a",
        b"Authorization: a",
        b"Content-Length: 0",
        b"Cache-Control: no-store",
        b"Via: x",
    ],
)
def test_connection_can_not_strip_what_is_essential(line: bytes) -> None:
    name = line.partition(b":")[0]
    assert own(request(b"Connection: host, " + name, line)) == [line]


def test_connection_can_not_strip_what_a_trusted_proxy_vouches_for() -> None:
    head = request(
        b"Connection: X-Forwarded-For, X-Real-IP", b"X-Forwarded-For: 1.1.1.1", b"X-Real-IP: 1"
    )
    assert own(head, trusted=True) == [b"X-Real-IP: 1", b"X-Forwarded-For: 1.1.1.1, 203.0.113.9"]


FORGED = [
    b"X-Forwarded-For: 1.1.1.1",
    b"x-forwarded-proto: https",
    b"X-Forwarded-Host: evil",
    b"X-Forwarded-Anything: evil",
    b"Forwarded: for=1.1.1.1",
    b"X-Real-IP: 1.1.1.1",
    b"X-Forwarded: for=1.1.1.1",
    b"Forwarded-For: 1.1.1.1",
    b"X-Client-IP: 1.1.1.1",
    b"X-Cluster-Client-IP: 1.1.1.1",
    b"True-Client-IP: 1.1.1.1",
    b"CF-Connecting-IP: 1.1.1.1",
    b"X-Original-URL: /orders",
    b"X-Rewrite-URL: /orders",
]
MISSPELT = [
    b"X_Forwarded_For: 1.1.1.1",
    b"X-Forwarded_For: 1.1.1.1",
    b"x_forwarded-proto: https",
    b"X.Forwarded.Host: evil",
    b"X_Real_IP: 1.1.1.1",
    b"CF_Connecting_IP: 1.1.1.1",
    b"True_Client-IP: 1.1.1.1",
    b"X_Original_URL: /orders",
]


@pytest.mark.parametrize("line", [*FORGED, *MISSPELT])
def test_forwarding_fields_of_strangers_are_dropped(line: bytes) -> None:
    assert own(request(line)) == []


@pytest.mark.parametrize("line", MISSPELT)
def test_not_even_a_trusted_proxy_passes_what_cgi_would_mistake(line: bytes) -> None:
    assert own(request(line), trusted=True) == []


@pytest.mark.parametrize(
    "line",
    [
        b"X-Forward: 1",
        b"X_Other: 1",
        b"From: me",
        b"x: 1",
        b"f: 1",
        b"CF-Ray: 1",
        b"Content_Type: a",
    ],
)
def test_fields_that_merely_look_alike_pass(line: bytes) -> None:
    assert own(request(line)) == [line]


@pytest.mark.parametrize("line", [line for line in FORGED if b"-Forwarded-" not in line.title()])
def test_a_trusted_proxy_may_say_any_of_it(line: bytes) -> None:
    name = line.partition(b":")[0]
    assert own(request(line, b"Connection: " + name), trusted=True) == [line]


@pytest.mark.parametrize("trusted", [False, True])
def test_nobody_tells_a_cgi_which_proxy_to_use(*, trusted: bool) -> None:
    head = request(b"proxy: evil:80", b"Proxy-Authorization: x", b"Connection: x-a", b"X-A: 1")
    assert own(head, trusted=trusted) == [b"Proxy-Authorization: x"]


def test_a_trusted_proxys_word_is_kept_and_its_chain_continued() -> None:
    head = request(
        b"X-Forwarded-For: 1.1.1.1",
        b"A: 1",
        b"x-forwarded-for: 2.2.2.2, 3.3.3.3",
        b"x-forwarded-proto: https",
        b"X-Forwarded-Host: public",
        b"Forwarded: for=1.1.1.1",
        b"Via: 2 front",
    )
    assert sent(head, trusted=True) == [
        b"GET / HTTP/1.1",
        b"Host: a",
        b"A: 1",
        b"x-forwarded-proto: https",
        b"X-Forwarded-Host: public",
        b"Forwarded: for=1.1.1.1",
        b"Via: 2 front",
        b"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 203.0.113.9",
        b"Via: 1.1 planb",
    ]


def test_an_ipv4_mapped_peer_is_told_as_ipv4_and_a_unix_peer_not_at_all() -> None:
    assert b"X-Forwarded-For: 1.2.3.4" in sent(request(), peer="::ffff:1.2.3.4")
    assert not any(line.startswith(b"X-Forwarded-For") for line in sent(request(), peer=""))


def test_a_chunked_request_is_chunked_again() -> None:
    lines = sent(request(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.1"))
    assert lines[2:] == [*ADDED, b"Transfer-Encoding: chunked"]


def test_an_http_1_0_request_is_given_what_1_1_needs() -> None:
    head = request(start=b"GET / HTTP/1.0", host=b"Expect: 100-continue")
    assert sent(head) == [
        b"GET / HTTP/1.1",
        b"Host: up:8000",
        ADDED[0],
        ADDED[1],
        b"X-Forwarded-Host: up:8000",
        b"Via: 1.0 planb",
    ]
    absolute = request(start=b"GET http://b/ HTTP/1.0", host=b"A: 1")
    assert sent(absolute)[:3] == [b"GET http://b/ HTTP/1.1", b"Host: b", b"A: 1"]
    with_host = request(start=b"GET / HTTP/1.0")
    assert sent(with_host)[:3] == [b"GET / HTTP/1.1", b"Host: a", ADDED[0]]


def test_an_upgrade_is_passed_on() -> None:
    lines = sent(request(b"Upgrade: websocket", b"Connection: keep-alive, Upgrade"))
    assert lines[2:] == [*ADDED, b"Connection: Upgrade", b"Upgrade: websocket"]


@pytest.mark.parametrize(
    ("upgrade", "passable"),
    [
        (None, None),
        (b"websocket", b"websocket"),
        (b"h2c", None),
        (b"H2C , websocket", b"websocket"),
        (b"HTTP/2.0, http/1.1, h2", None),
        (b"TLS/1.0", None),
        (b"foo/1,,bar", b"foo/1, bar"),
        (b"foo h2c, foo;h2c, foo/1/h2c, /1, foo/, bar/2.0", b"bar/2.0"),
        (b'"h2c", (tls), \xe9', None),
        (b"", None),
    ],
)
def test_http_is_never_tunnelled_past_the_rules(
    upgrade: bytes | None, passable: bytes | None
) -> None:
    assert passable_upgrade(upgrade) == passable


def test_a_refused_upgrade_goes_on_as_an_ordinary_request() -> None:
    head = request(b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAA")
    assert sent(head)[2:] == ADDED


@pytest.mark.parametrize(
    ("start", "value", "limit", "line"),
    [
        (b"TRACE / HTTP/1.1", b"3", 3, b"Max-Forwards: 2"),
        (b"OPTIONS * HTTP/1.1", b"1", 1, b"Max-Forwards: 0"),
        (b"OPTIONS * HTTP/1.1", b"0", 0, b"Max-Forwards: 0"),
        (b"OPTIONS * HTTP/1.1", b"x", None, b"Max-Forwards: x"),
        (b"GET / HTTP/1.1", b"3", None, b"Max-Forwards: 3"),
    ],
)
def test_max_forwards_counts_down_where_it_has_a_meaning(
    start: bytes, value: bytes, limit: int | None, line: bytes
) -> None:
    head = request(b"Max-Forwards: " + value, start=start)
    assert max_forwards(head) == limit
    assert own(head) == [line]


def test_a_response_goes_on_as_it_came() -> None:
    head = response(
        b"set-cookie: a",
        b"Set-Cookie: b=\xff",
        b"Content-Length: 5",
        b"Proxy-Authenticate: Basic",
        b"Connection: x-hop, close",
        b"X-Hop: 1",
        b"Keep-Alive: timeout=5",
        b"Upgrade: h2c",
        start=b"HTTP/1.0 299 S\xfcper",
    )
    assert answered(head) == [
        b"HTTP/1.1 299 S\xfcper",
        b"set-cookie: a",
        b"Set-Cookie: b=\xff",
        b"Content-Length: 5",
        b"Proxy-Authenticate: Basic",
    ]


def test_a_missing_reason_phrase_leaves_its_space() -> None:
    assert answered(response(start=b"HTTP/1.1 200")) == [b"HTTP/1.1 200 "]


def test_a_chunked_response_is_chunked_again() -> None:
    head = response(b"Transfer-Encoding: Chunked")
    assert answered(head, chunked=True)[1:] == [b"Transfer-Encoding: chunked"]


@pytest.mark.parametrize(
    ("start", "to_version"),
    [
        (b"HTTP/1.1 204 No", (1, 1)),
        (b"HTTP/1.1 103 Hints", (1, 1)),
        (b"HTTP/1.1 200 OK", (1, 0)),
    ],
)
def test_transfer_encoding_is_left_out_where_it_may_not_stand(
    start: bytes, to_version: tuple[int, int]
) -> None:
    lines = answered(response(start=start), chunked=True, to_version=to_version)
    assert b"Transfer-Encoding: chunked" not in lines


def test_a_204_loses_its_length_and_a_304_does_not() -> None:
    line = b"Content-Length: 0"
    assert line not in answered(response(line, start=b"HTTP/1.1 204 No"))
    assert line in answered(response(line, start=b"HTTP/1.1 304 No"))


def test_the_client_is_told_what_becomes_of_its_connection() -> None:
    head = response()
    assert answered(head)[1:] == []
    assert answered(head, close=True)[1:] == [b"Connection: close"]
    assert answered(head, to_version=(1, 0))[1:] == [b"Connection: keep-alive"]
    assert answered(head, to_version=(1, 0), close=True)[1:] == [b"Connection: close"]
    hints = response(start=b"HTTP/1.1 103 Hints")
    assert answered(hints, close=True)[1:] == []


def test_a_date_is_added_only_where_one_is_missing() -> None:
    assert answered(response(), date=b"now")[1:] == [b"Date: now"]
    assert answered(response(b"date: then"), date=b"now")[1:] == [b"date: then"]
    assert answered(response(start=b"HTTP/1.1 100 C"), date=b"now")[1:] == []


def test_101_keeps_its_upgrade() -> None:
    head = response(
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Accept: x",
        start=b"HTTP/1.1 101 Switching Protocols",
    )
    assert answered(head, close=True)[1:] == [
        b"Sec-WebSocket-Accept: x",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
    ]


def test_426_keeps_its_upgrade_and_a_200_does_not() -> None:
    lines = [b"Connection: Upgrade", b"Upgrade: foo"]
    required = response(*lines, start=b"HTTP/1.1 426 Upgrade Required")
    assert answered(required, close=True)[1:] == [b"Upgrade: foo", b"Connection: close, Upgrade"]
    assert answered(response(*lines))[1:] == []


@pytest.mark.parametrize(
    ("framing", "to_version", "chunked"),
    [
        (Framing.CHUNKED, (1, 1), True),
        (Framing.UNTIL_CLOSE, (1, 1), True),
        (Framing.CHUNKED, (1, 0), False),
        (Framing.LENGTH, (1, 1), False),
        (Framing.NONE, (1, 1), False),
    ],
)
def test_bodies_without_a_length_are_sent_in_chunks(
    framing: Framing, to_version: tuple[int, int], chunked: bool
) -> None:
    assert sent_chunked(framing, to_version) is chunked


@pytest.mark.parametrize(
    "name",
    [
        b"Content-Length",
        b"transfer-encoding",
        b"Host",
        b"Cookie",
        b"Set-Cookie",
        b"Authorization",
        b"X-Forwarded-For",
        b"X_Forwarded_For",
        b"Forwarded",
        b"True-Client-IP",
        b"X-Original-URL",
        b"Proxy",
        b"Content_Length",
        b"Connection",
        b"Trailer",
        b"Endpoint-Load-Metrics",
    ],
)
def test_trailers_can_not_say_what_should_have_come_first(name: bytes) -> None:
    assert trailer_fields([(name, b"1"), (b"Digest", b"x")]) == [(b"Digest", b"x")]


@given(st.binary(max_size=120), st.booleans())
def test_whatever_passes_is_read_again_with_the_same_meaning(data: bytes, trusted: bool) -> None:
    try:
        head = RequestHeadReader(4096).feed(b"POST / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n\r\n")
    except BadMessage:
        return
    assert head is not None
    again = RequestHeadReader(8192).feed(
        forward_request_head(head, peer="1.2.3.4", trusted=trusted, host=b"a")
    )
    assert again is not None
    assert (again.method, again.target, again.host) == (head.method, head.target, head.host)
    assert (again.length, again.chunked) == (head.length, head.chunked)


@pytest.mark.parametrize("trusted", [False, True])
def test_the_whole_is_asked_for_without_the_client_s_conditions(*, trusted: bool) -> None:
    lines = (b"A: 1", b'IF-none-match: "1"', b"If-Modified-Since: x", b"if-match: *", b"B: 2")
    data = forward_request_head(
        request(*lines), peer="1.2.3.4", trusted=trusted, host=b"up:8000", whole=True
    )
    assert data.split(b"\r\n")[2:5] == [b"A: 1", b"if-match: *", b"B: 2"]
    assert own(request(*lines), trusted=trusted) == list(lines)


@pytest.mark.parametrize("trusted", [False, True])
def test_a_field_is_replaced_by_lines_of_our_own(*, trusted: bool) -> None:
    lines = (b"A: 1", b"Grpc-Timeout: 1S", b"grpc-timeout: 1S", b"B: 2")
    data = forward_request_head(
        request(*lines),
        peer="1.2.3.4",
        trusted=trusted,
        host=b"up:8000",
        without=b"grpc-timeout",
        extra=b"Planb-Attempt: 2\r\nGrpc-Timeout: 900m",
    )
    sent = data.split(b"\r\n")
    assert sent[2:4] == [b"A: 1", b"B: 2"]
    assert sent[-4:] == [b"Planb-Attempt: 2", b"Grpc-Timeout: 900m", b"", b""]
