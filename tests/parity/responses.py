"""What shops answer: legal, odd, malformed, cut short."""

from dataclasses import replace

from tests.parity.cases import Case, End, Reply, case
from tests.parity.requests import get, head, post

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
FIVE = OK + b"Content-Length: 5\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"


def answer(data: bytes, *, end: End = End.KEEP, request: bytes = b"", method: bytes = b"") -> Case:
    """A request, plain if it is not given, that is answered with `data`, and one after that."""
    reply = Reply((data,), end=end)
    return case(request or head(b"%b /" % (method or b"GET")), reply=reply, methods=(method,))


LEGAL = {
    "length": answer(FIVE + b"hello"),
    "length of 0": answer(OK + b"Content-Length: 0\r\n\r\n"),
    "chunked": answer(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
    "chunked of nothing": answer(CHUNKED + b"0\r\n\r\n"),
    "chunked with extensions": answer(CHUNKED + b'3;a;b="c"\r\nabc\r\n0;d\r\n\r\n'),
    "chunked with trailers": answer(CHUNKED + b"1\r\na\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n"),
    "chunked with hop-by-hop trailers": answer(
        CHUNKED + b"1\r\na\r\n0\r\nContent-Length: 1\r\nConnection: close\r\nX: 1\r\n\r\n"
    ),
    "until close": answer(OK + b"X: 1\r\n\r\nhello", end=End.CLOSE),
    "until close, to 1.0": answer(
        OK + b"\r\nhello", end=End.CLOSE, request=b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
    ),
    "chunked, to 1.0": answer(
        CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", request=b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
    ),
    "length, to Connection: close": answer(
        FIVE + b"hello", request=get(b"/", b"Connection: close")
    ),
    "100": answer(CONTINUE + FIVE + b"hello"),
    "103": answer(HINTS + FIVE + b"hello"),
    "100 and 103 and 103": answer(CONTINUE + HINTS * 2 + FIVE + b"hello"),
    "103, to 1.0": answer(HINTS + FIVE + b"hello", request=b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
    "204": answer(b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n"),
    "204 with a length": answer(b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"),
    "204 with a body": answer(b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello"),
    "205": answer(b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
    "304": answer(b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 5\r\n\r\n'),
    "304 chunked": answer(b"HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "404": answer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"),
    "503": answer(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"),
    "HEAD with a length": answer(FIVE, method=b"HEAD"),
    "HEAD chunked": answer(CHUNKED, method=b"HEAD"),
    "HEAD without a length": answer(OK + b"\r\n", method=b"HEAD"),
    "HEAD with a body": answer(FIVE + b"hello", method=b"HEAD"),
    "Connection: close": answer(OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok"),
    "Connection: close, and closes": answer(
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok", end=End.CLOSE
    ),
    "Connection names fields": answer(
        OK + b"X: 1\r\nConnection: x, keep-alive\r\nY: 2\r\nContent-Length: 0\r\n\r\n"
    ),
    "hop-by-hop fields": answer(
        OK + b"Keep-Alive: 5\r\nProxy-Connection: a\r\nTE: b\r\nContent-Length: 0\r\n\r\n"
    ),
    "1.0": answer(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", end=End.CLOSE),
    "1.0 until close": answer(b"HTTP/1.0 200 OK\r\n\r\nok", end=End.CLOSE),
    "1.0 keep-alive": answer(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    ),
    "fields as they came": answer(
        OK + b"set-cookie: a=1\r\nSet-Cookie:b=2\r\nX-ODD:  \xe9 \r\nX-ODD:\r\n"
        b"Server: x\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nVia: 1.0 y\r\n"
        b"Content-Length: 0\r\n\r\n"
    ),
    "odd status": answer(b"HTTP/1.1 299 S\xfcper  duper \r\nContent-Length: 0\r\n\r\n"),
    "status 999": answer(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"),
    "no reason": answer(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
    "empty reason": answer(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
    "bare LF": answer(b"HTTP/1.1 200 OK\nA: 1\nContent-Length: 2\n\nok"),
    "folded": answer(OK + b"A: 1\r\n folded\r\nContent-Length: 0\r\n\r\n"),
    "space before a colon": answer(OK + b"A : 1\r\nContent-Length: 0\r\n\r\n"),
    "equal lengths": answer(OK + b"Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok"),
    "length and chunked": answer(
        OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    ),
    "Upgrade offered": answer(
        OK + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n"
    ),
    "a POST": answer(FIVE + b"hello", request=post(b"12345")),
    "a large body": answer(OK + b"Content-Length: 200000\r\n\r\n" + b"0123456789" * 20_000),
    "a large body in chunks": answer(
        CHUNKED + b"186A0\r\n" + b"0123456789" * 10_000 + b"\r\n0\r\n\r\n"
    ),
    "a large head": answer(OK + b"X: %b\r\nContent-Length: 0\r\n\r\n" % (b"x" * 60_000)),
    "length, then closes": answer(FIVE + b"hello", end=End.CLOSE),
    "length, then resets": answer(FIVE + b"hello", end=End.RESET),
    "to the first of two": answer(FIVE + b"hello", request=get(b"/1") + get(b"/2")),
    "chunked, to the first of two": answer(
        CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", request=get(b"/1") + get(b"/2")
    ),
    "until close, to the first of two": answer(
        OK + b"\r\nhello", end=End.CLOSE, request=get(b"/1") + get(b"/2")
    ),
}

WRONG = {
    "nonsense": answer(b"SSH-2.0-OpenSSH\r\n"),
    "HTML": answer(b"<html>"),
    "2.0": answer(b"HTTP/2 200 OK\r\n\r\n"),
    "1.2": answer(b"HTTP/1.2 200 OK\r\n\r\n"),
    "empty line before": answer(b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "short status": answer(b"HTTP/1.1 20 OK\r\n\r\n"),
    "long status": answer(b"HTTP/1.1 2000 OK\r\n\r\n"),
    "no colon": answer(OK + b"no colon\r\n\r\n"),
    "NUL": answer(OK + b"A: a\0b\r\n\r\n"),
    "bare CR": answer(OK + b"A: a\rb\r\n\r\n"),
    "two lengths": answer(OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "no length": answer(OK + b"Content-Length: x\r\n\r\nab"),
    "unknown coding": answer(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "head without an end": answer(OK + b"A: " + b"x" * 300_000),
    "101 unasked": answer(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
    "101 of something else": answer(
        b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        request=get(b"/", b"Connection: Upgrade", b"Upgrade: websocket"),
    ),
    "bad chunk": answer(CHUNKED + b"z\r\n"),
    "second chunk bad": answer(CHUNKED + b"1\r\na\r\nz\r\n"),
    "bare LF in chunks": answer(CHUNKED + b"1\na\n0\n\n"),
    "too many interim": answer(CONTINUE * 40 + FIVE + b"hello"),
    "nothing, and closes": answer(b"", end=End.CLOSE),
    "nothing, and resets": answer(b"", end=End.RESET),
    "nothing to a POST, and closes": answer(b"", end=End.CLOSE, request=post(b"hello")),
    "part of a head": answer(b"HTTP/1.1 20", end=End.CLOSE),
    "part of a head, reset": answer(b"HTTP/1.1 20", end=End.RESET),
    "part of a body": answer(FIVE + b"he", end=End.CLOSE),
    "part of a body, reset": answer(FIVE + b"he", end=End.RESET),
    "part of chunks": answer(CHUNKED + b"5\r\nhe", end=End.CLOSE),
    "all chunks but the last": answer(CHUNKED + b"1\r\na\r\n", end=End.CLOSE),
    "part of the trailers": answer(CHUNKED + b"0\r\nX: 1\r\n", end=End.CLOSE),
    "until close, reset": answer(OK + b"\r\nhello", end=End.RESET),
    "until close, reset, to 1.0": answer(
        OK + b"\r\nhello", end=End.RESET, request=b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"
    ),
    "only an interim one": answer(HINTS, end=End.CLOSE),
    "bytes after it": answer(FIVE + b"hello!"),
    "a response after it": answer((FIVE + b"hello") * 2),
    "bytes after chunks": answer(CHUNKED + b"0\r\n\r\n!"),
    "bytes after a 304": answer(b"HTTP/1.1 304 Same\r\n\r\n!"),
}

UNTIMELY = {
    "bytes after it, later": case(get(), reply=Reply((FIVE + b"hello", b"!"))),
    "a response after it, later": case(get(), reply=Reply((FIVE + b"hello", FIVE + b"hello"))),
    "left in the body": case(get(), reply=Reply((FIVE + b"he",)), resets=True),
    "early, part of a body": case(
        head(b"POST /", b"Content-Length: 50") + b"hello", reply=Reply(early=FIVE + b"early")
    ),
    "early, closes": case(
        head(b"POST /", b"Content-Length: 50") + b"hello",
        reply=Reply(early=FIVE + b"early", end=End.CLOSE),
    ),
    "early, resets": case(
        head(b"POST /", b"Content-Length: 50") + b"hello",
        reply=Reply(early=FIVE + b"early", end=End.RESET),
    ),
    "early, until close": case(
        head(b"POST /", b"Content-Length: 50") + b"hello",
        reply=Reply(early=OK + b"\r\nearly", end=End.CLOSE),
    ),
    "early, the body comes later": case(
        head(b"POST /", b"Content-Length: 5"), b"hello", reply=Reply(early=FIVE + b"early")
    ),
    "early, part of it": case(
        head(b"POST /", b"Content-Length: 5"), b"hello", reply=Reply((b"llo",), early=FIVE + b"he")
    ),
    "closes before the body": case(
        head(b"POST /", b"Content-Length: 5"), b"hello", reply=Reply(end=End.CLOSE)
    ),
    "a request's head alone, and closes": case(
        head(b"POST /", b"Content-Length: 5"),
        reply=Reply(early=b"HTTP/1.1 4", end=End.CLOSE),
    ),
    "chunked, early": case(
        head(b"POST /", b"Transfer-Encoding: chunked") + b"1\r\na\r\n",
        reply=Reply(early=FIVE + b"early"),
    ),
    "late": case(get(), reply=Reply(early=HINTS), listener="impatient", watch=0.15),
    "late, to a POST": case(
        post(b"hello"), reply=Reply(early=CONTINUE), listener="impatient", watch=0.15
    ),
    "silent in the body": case(
        get(), reply=Reply((FIVE + b"he",)), listener="impatient", watch=0.15
    ),
    "silent in chunks": case(
        get(), reply=Reply((CHUNKED + b"1\r\na\r\n",)), listener="impatient", watch=0.15
    ),
}

AT_ONCE = {
    f"{name}, at once": replace(each, reply=replace(each.reply, at_once=True))
    for name, each in {**LEGAL, **WRONG}.items()
    if each.reply is not None and each.reply.end is not End.KEEP
}
"""The last bytes and the end come together."""

WHOLE: dict[str, Case] = {**LEGAL, **WRONG, **UNTIMELY, **AT_ONCE}

LONGEST_CUT = 150
"""Bytes of a response that is cut at every position."""

CUT = {
    name: each
    for name, each in {**LEGAL, **WRONG}.items()
    if each.reply is not None and len(each.reply.pieces[0]) <= LONGEST_CUT
}
