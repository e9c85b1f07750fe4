"""Requests and responses that nobody thought of, legal and not, cut anywhere."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.parity.cases import Case, End, Pieces, Reply, case
from tests.parity.pair import Pair

# The same examples every time: a difference between the lanes is no matter of luck.
EXAMPLES = settings(
    max_examples=150,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

FIELDS = st.lists(
    st.sampled_from(
        [
            *(b"X: 1", b"x:2", b"X-ODD:  a\tb ", b"Cookie: a=1", b"Accept: text/html", b"X: \xe9"),
            *(b"Connection: x", b"Connection: close", b"Connection: keep-alive", b"TE: trailers"),
            *(b"Via: 1.0 y", b"X-Forwarded-For: 9.9.9.9", b"Forwarded: for=a", b"Keep-Alive: 5"),
            *(
                b"Max-Forwards: 1",
                b"Max-Forwards: 0",
                b"Upgrade: h2c",
                b"Date: x",
                b"Set-Cookie: a",
            ),
        ]
    ),
    max_size=4,
)
BODIES = st.binary(max_size=40)
SPOILT = st.tuples(
    st.sampled_from(
        [b"", b" ", b"\t", b"\r", b"\n", b"\r\n", b"\0", b":", b",", b"0", b"\xff", b"a"]
    ),
    st.integers(0, 2),
)
"""What is put into a message, and how many bytes of it that takes the place of."""


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> Pieces:
    """`data` in one piece, or cut anywhere."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=3)))
    return tuple(data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True))


@st.composite
def messages(draw: st.DrawFn, start: bytes, *lines: bytes) -> bytes:
    """A message that begins with `start` and `lines`, of which the framing may be wrong."""
    fields = [*lines, *draw(FIELDS)]
    body = draw(BODIES)
    framing = draw(st.sampled_from(["length", "length", "chunked", "none", "wrong", "both"]))
    if framing in ("length", "both"):
        fields.append(b"Content-Length: %d" % len(body))
    if framing == "wrong":
        fields.append(b"Content-Length: %d" % draw(st.integers(0, 60)))
    if framing in ("chunked", "both"):
        fields.append(b"Transfer-Encoding: chunked")
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        body = chunk + b"0\r\n" + draw(st.sampled_from([b"", b"X: 1\r\n"])) + b"\r\n"
    if framing == "none":
        body = b""
    fields = draw(st.permutations(fields))
    return b"\r\n".join([start, *fields, b"", body])


@st.composite
def spoilt(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with one place in it as it should not be."""
    (bytes_put, taken), at = draw(SPOILT), draw(st.integers(0, len(data)))
    return data[:at] + bytes_put + data[at + taken :]


TARGETS = st.sampled_from(
    [
        b"/",
        b"/a?b=c",
        b"//a/../b",
        b"/%2f%41",
        b"/held/",
        b"/closed/x",
        b"/small/",
        b"*",
        b"http://a/",
    ]
)
METHODS = st.sampled_from([b"GET", b"GET", b"POST", b"POST", b"PUT", b"OPTIONS", b"HEAD", b"PURGE"])
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0"])


@st.composite
def conversations(draw: st.DrawFn) -> Case:
    """One to three requests in a row."""
    data = b""
    methods = []
    for _ in range(draw(st.integers(1, 3))):
        methods.append(draw(METHODS))
        line = b"%b %b %b" % (methods[-1], draw(TARGETS), draw(VERSIONS))
        data += draw(messages(line, b"Host: a"))
    if b"HEAD" not in methods and draw(st.booleans()):
        data = draw(spoilt(data))
    return Case((draw(pieces(data)),), methods=tuple(methods))


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """What the shop answers, of which the framing may be wrong."""
    status = draw(st.sampled_from([b"200", b"200", b"200", b"404", b"204", b"304", b"500"]))
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0"]))
    data = draw(messages(b"%b %b Any" % (version, status)))
    if draw(st.booleans()):
        data = b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + data
    if draw(st.booleans()):
        data = draw(spoilt(data))
    end = draw(st.sampled_from([End.KEEP, End.KEEP, End.CLOSE, End.RESET]))
    return Reply(draw(pieces(data)), end=end)


@EXAMPLES
@given(conversations())
def test_any_requests_have_the_same_outcome_on_both_lanes(lanes: Pair, sent: Case) -> None:
    lanes.compare(sent)


@EXAMPLES
@given(st.sampled_from([b"GET", b"GET", b"HEAD"]), replies())
def test_any_response_has_the_same_outcome_on_both_lanes(
    lanes: Pair, method: bytes, reply: Reply
) -> None:
    asked = b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % method
    lanes.compare(case(asked, methods=(method,), reply=reply))


@EXAMPLES
@given(conversations(), replies())
def test_any_conversation_has_the_same_outcome_on_both_lanes(
    lanes: Pair, sent: Case, reply: Reply
) -> None:
    # A shop that closes a moment later would meet the next request, or not: either is right.
    lanes.compare(replace(sent, reply=replace(reply, at_once=True)))
