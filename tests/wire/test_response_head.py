from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.errors import BadResponse
from proxy.wire.fields import forward_response_head
from proxy.wire.load_report import LONGEST_REPORT
from proxy.wire.response_head import (
    Framing,
    ResponseHead,
    ResponseHeadReader,
    body_framing,
)

LIMIT = 4096


def read(data: bytes, *, max_bytes: int = LIMIT) -> ResponseHead:
    head = ResponseHeadReader(max_bytes).feed(data)
    assert head is not None
    return head


def with_fields(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([start, *lines, b"", b""])


def outcome(
    pieces: Sequence[bytes], max_bytes: int
) -> tuple[ResponseHead | type[BadResponse] | None, bytes]:
    reader = ResponseHeadReader(max_bytes)
    for index, piece in enumerate(pieces):
        try:
            head = reader.feed(piece)
        except BadResponse as error:
            return type(error), b""
        if head is not None:
            return head, reader.rest + b"".join(pieces[index + 1 :])
    return None, b""


def test_a_response_is_read_byte_for_byte() -> None:
    reader = ResponseHeadReader(LIMIT)
    head = reader.feed(
        b"HTTP/1.1 299 S\xfcper  duper \r\nset-cookie: a\r\nSet-Cookie: b\r\n"
        b"Content-Length: 3\r\n\r\nabcHTTP"
    )
    assert head is not None
    assert (head.status, head.reason, head.version) == (299, b"S\xfcper  duper ", (1, 1))
    assert head.fields == [(b"set-cookie", b"a"), (b"Set-Cookie", b"b"), (b"Content-Length", b"3")]
    assert (head.length, head.chunked, head.keep_alive, head.upgrade) == (3, False, True, None)
    assert reader.started
    assert reader.rest == b"abcHTTP"


TOLERATED = [
    b"HTTP/1.1 200 OK\n\n",
    b"HTTP/1.1 200 OK\nA: 1\r\nB: 2\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"HTTP/1.1 200 \r\n\r\n",
    b"HTTP/1.0 200 OK\r\nA : 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n\r\n",
    b"HTTP/1.1 999 Odd\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\ncontent-length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: Chunked\r\n\r\n",
]


@pytest.mark.parametrize("data", TOLERATED)
def test_what_rfc_9112_tolerates_is_accepted(data: bytes) -> None:
    read(data)


REFUSED = [
    b"SSH-2.0-OpenSSH",
    b"<html>",
    b"http/1.1 200 OK\r\n\r\n",
    b"HTTP/2 200 OK\r\n\r\n",
    b"HTTP/1.2 200 OK\r\n\r\n",
    b" HTTP/1.1 200 OK\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1  200 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 099 OK\r\n\r\n",
    b"HTTP/1.1 +20 OK\r\n\r\n",
    b"HTTP/1.1 200OK\r\n\r\n",
    b"HTTP/1.1 200 O\x00K\r\n\r\n",
    b"HTTP/1.1 200 O\rK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n A: folded\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: 1\x00\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: 1\r2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nbad name: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5, 05\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: \x0b5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5,\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
]


@pytest.mark.parametrize("data", REFUSED)
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(BadResponse):
        ResponseHeadReader(LIMIT).feed(data)


def test_what_is_no_response_is_refused_with_its_first_wrong_byte() -> None:
    reader = ResponseHeadReader(LIMIT)
    assert reader.feed(b"HTT") is None
    with pytest.raises(BadResponse):
        reader.feed(b"X")


def test_a_head_of_just_the_limit_passes() -> None:
    data = b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n"
    read(data + b"body", max_bytes=len(data))
    with pytest.raises(BadResponse):
        read(data + b"body", max_bytes=len(data) - 1)


def test_equal_lengths_become_one() -> None:
    head = read(with_fields(b"content-length: 5, 5", b"A: 1", b"Content-Length: 5"))
    assert head.fields == [(b"content-length", b"5"), (b"A", b"1")]
    assert head.length == 5


def test_chunked_beats_a_length_and_ends_the_connection() -> None:
    head = read(with_fields(b"Content-Length: 5", b"Transfer-Encoding: chunked"))
    assert head.chunked
    assert head.length is None
    assert head.fields == [(b"Transfer-Encoding", b"chunked")]
    assert not head.keep_alive


@pytest.mark.parametrize(
    ("start", "lines", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK", [], True),
        (b"HTTP/1.1 200 OK", [b"Connection: x, Close"], False),
        (b"HTTP/1.0 200 OK", [], False),
        (b"HTTP/1.0 200 OK", [b"Connection: Keep-Alive"], True),
        (b"HTTP/1.0 200 OK", [b"Connection: keep-alive", b"Transfer-Encoding: chunked"], False),
        (b"HTTP/1.1 204 No", [b"Content-Length: 0"], True),
        (b"HTTP/1.1 204 No", [b"Content-Length: 5"], False),
        (b"HTTP/1.1 204 No", [b"Transfer-Encoding: chunked"], False),
        (b"HTTP/1.1 304 No", [b"Content-Length: 5"], True),
    ],
)
def test_a_connection_is_reused_only_when_its_framing_is_beyond_doubt(
    start: bytes, lines: list[bytes], keep_alive: bool
) -> None:
    assert read(with_fields(*lines, start=start)).keep_alive is keep_alive


def test_an_upgrade_must_be_named_by_connection() -> None:
    start = b"HTTP/1.1 101 Switching"
    head = read(with_fields(b"Connection: Upgrade", b"Upgrade: websocket", start=start))
    assert head.upgrade == b"websocket"
    assert read(with_fields(b"Upgrade: websocket", start=start)).upgrade is None


@pytest.mark.parametrize(
    ("method", "status", "lines", "framing"),
    [
        (b"GET", b"200", [], Framing.UNTIL_CLOSE),
        (b"GET", b"200", [b"Content-Length: 5"], Framing.LENGTH),
        (b"GET", b"200", [b"Content-Length: 0"], Framing.LENGTH),
        (b"GET", b"200", [b"Transfer-Encoding: chunked"], Framing.CHUNKED),
        (b"HEAD", b"200", [b"Content-Length: 5"], Framing.NONE),
        (b"HEAD", b"200", [b"Transfer-Encoding: chunked"], Framing.NONE),
        (b"head", b"200", [], Framing.UNTIL_CLOSE),
        (b"GET", b"204", [], Framing.NONE),
        (b"GET", b"304", [b"Content-Length: 5"], Framing.NONE),
        (b"GET", b"100", [], Framing.NONE),
        (b"POST", b"404", [], Framing.UNTIL_CLOSE),
    ],
)
def test_a_body_ends_as_rfc_9112_section_6_3_says(
    method: bytes, status: bytes, lines: list[bytes], framing: Framing
) -> None:
    head = read(with_fields(*lines, start=b"HTTP/1.1 %b X" % status))
    assert body_framing(head, method) is framing


@given(
    st.sampled_from([*TOLERATED, *REFUSED]).map(lambda data: data + b"rest")
    | st.binary(max_size=60)
    | st.binary(max_size=60).map(lambda data: b"HTTP/1.1 200 OK\r\n" + data),
    st.lists(st.integers(0, 120), max_size=6),
    st.integers(1, 120),
)
def test_splitting_the_input_anywhere_changes_nothing(
    data: bytes, cuts: list[int], max_bytes: int
) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    whole = repr(outcome([data], max_bytes))
    pieces = [data[begin:end] for begin, end in pairwise(edges)]
    assert repr(outcome(pieces, max_bytes)) == whole
    assert repr(outcome([bytes([byte]) for byte in data], max_bytes)) == whole


REPORT = b"Endpoint-Load-Metrics: TEXT cpu_utilization=0.9"


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK"])
def test_an_upstream_s_report_of_its_load_is_kept_and_goes_no_further(start: bytes) -> None:
    """On both ways of reading a head: HTTP/1.0 takes the full one."""
    binary = b"endpoint-load-metrics-bin: CQAAAAAAAOA/"
    head = read(with_fields(REPORT, b"A: b", binary, b"Content-Length: 0", start=start))
    assert head.load_report == b"TEXT cpu_utilization=0.9"
    sent = forward_response_head(head, to_version=(1, 1), chunked=False, close=False)
    assert sent == b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK"])
def test_of_two_reports_none_is_believed(start: bytes) -> None:
    assert read(with_fields(REPORT, REPORT, start=start)).load_report is None
    assert read(with_fields(b"A: b", start=start)).load_report is None


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK"])
def test_a_report_that_nobody_would_read_is_none_and_goes_no_further(start: bytes) -> None:
    """It would take a readable one's place among the latest."""
    longest = REPORT + b"," * (LONGEST_REPORT - len(REPORT) + len(b"Endpoint-Load-Metrics: "))
    head = read(with_fields(longest, start=start), max_bytes=2 * LONGEST_REPORT)
    assert len(head.load_report or b"") == LONGEST_REPORT
    longer = with_fields(longest + b",", b"Content-Length: 0", start=start)
    head = read(longer, max_bytes=2 * LONGEST_REPORT)
    assert head.load_report is None
    sent = forward_response_head(head, to_version=(1, 1), chunked=False, close=False)
    assert sent == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def test_a_report_is_not_remembered_with_the_rest_of_a_head() -> None:
    for load in (b"0.1", b"0.2", b"0.3"):
        field = b"endpoint-load-metrics: TEXT cpu_utilization=" + load
        head = read(with_fields(b"Server: s", field))
        assert head.load_report == b"TEXT cpu_utilization=" + load


@pytest.mark.parametrize("byte", sorted({*range(256)} - {0, 0x0A, 0x0D}))
def test_a_value_may_hold_what_is_no_text(byte: int) -> None:
    """RFC 9110 section 5.5 lets a recipient keep it; shops send it, and browsers take it."""
    data = b"HTTP/1.1 200 OK\r\nServer: a%cb\r\nX: a%cb\r\n\r\n" % (byte, byte)
    for _ in range(3):
        head = ResponseHeadReader(4096).feed(data)
        assert head is not None
        assert [value for _, value in head.fields] == [b"a%cb" % byte] * 2
