"""Answers that are kept: what is sent of them, and what is not."""

from collections.abc import Callable

from tests.parity.cases import Case, End, Reply, case
from tests.parity.requests import get, head
from tests.parity.responses import CHUNKED, FIVE, OK

# By the number that makes its target another: what is kept of one case is not there for the next.
Numbered = Callable[[int], Case]

FAILED = b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"


def _twice(answer: bytes, *again: bytes, then: bytes = b"GET", end: End = End.KEEP) -> Numbered:
    """A request that is answered with `answer`, and the same once more, with further fields."""

    def numbered(number: int) -> Case:
        target = b"/kept/%d" % number
        second = head(b"%b %b" % (then, target), *again)
        return case(get(target), second, reply=Reply((answer,), end=end), methods=(b"GET", then))

    return numbered


def _failing(
    answer: bytes, method: bytes = b"GET", end: End = End.KEEP, *, again: bytes = b""
) -> Numbered:
    """A request that the shop answers well, and another that it does not."""

    def numbered(number: int) -> Case:
        target, limit = b"/stands-in/%d" % number, b"limit: %d" % number
        second = head(b"%b %b" % (method, target), limit) + again
        reply = Reply((answer,), end=end, skip=1)
        return case(get(target, limit), second, reply=reply, methods=(b"GET", method))

    return numbered


def _refused(number: int) -> Case:
    target, limit = b"/stands-in/%d" % number, b"limit: %d" % number
    return case(get(target, limit) * 5)


def _asked_with(*lines: bytes) -> Numbered:
    """A request with further fields that the shop answers, and one without."""

    def numbered(number: int) -> Case:
        target = b"/kept/%d" % number
        return case(head(b"GET " + target, *lines), get(target), reply=Reply((TAGGED,)))

    return numbered


TAGGED = OK + b'ETag: "1"\r\nVary: Accept\r\nContent-Length: 5\r\n\r\nhello'

NUMBERED: dict[str, Numbered] = {
    "a length": _twice(FIVE + b"hello"),
    "no content": _twice(OK + b"Content-Length: 0\r\n\r\n"),
    "chunks": _twice(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
    "chunks with trailers": _twice(CHUNKED + b"1\r\na\r\n0\r\nX: 1\r\n\r\n"),
    "hop-by-hop fields": _twice(
        OK + b"Connection: x\r\nX: 1\r\nAge: 7\r\nY: 2\r\ncontent-length: 1\r\n\r\na"
    ),
    "for a HEAD": _twice(FIVE + b"hello", then=b"HEAD"),
    "for who has it": _twice(TAGGED, b'If-None-Match: "1"'),
    "for who has another": _twice(TAGGED, b'If-None-Match: "2"'),
    "to who has another": _asked_with(b'If-None-Match: "2"'),
    "to who has one of a time": _asked_with(b"X: 1", b"if-modified-since: x", b"Y: 2"),
    "not to a part of it": _asked_with(b'If-None-Match: "2"', b"Range: bytes=0-1"),
    "for a part": _twice(TAGGED, b"Range: bytes=0-1"),
    "to Connection: close": _twice(FIVE + b"hello", b"Connection: close"),
    "for another Accept": _twice(TAGGED, b"Accept: x"),
    "with a cookie": _twice(FIVE + b"hello", b"Cookie: a=1"),
    "not of somebody's own": _twice(OK + b"Set-Cookie: a\r\nContent-Length: 1\r\n\r\na"),
    "not until close": _twice(OK + b"\r\nhello", end=End.CLOSE),
    "not without its end": _twice(FIVE + b"hell", end=End.CLOSE),
    "not without its last chunk": _twice(CHUNKED + b"3\r\nabc\r\n", end=End.RESET),
    "instead of a 503": _failing(FAILED),
    "instead of a 503, for a HEAD": _failing(FAILED[:-4], b"HEAD"),
    "instead of a 503 of unknown length": _failing(b"HTTP/1.1 503 Busy\r\n\r\nbusy", end=End.CLOSE),
    "instead of a reset": _failing(b"", end=End.RESET),
    "instead of nonsense": _failing(b"nonsense\r\n\r\n"),
    "instead of half a head": _failing(b"HTTP/1.1 200", end=End.CLOSE),
    "not instead of a 404": _failing(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
    "not instead of half an answer": _failing(FIVE + b"hell", end=End.RESET),
    "before the next": _failing(FAILED, again=get(b"/")),
    "instead of a refusal": _refused,
}
