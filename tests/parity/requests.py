"""What clients send: legal, odd, refused and malformed. Short, so that they can be cut anywhere."""

from tests.parity.cases import Case, End, Reply, case

HOST = b"Host: a\r\n"


def head(line: bytes, *lines: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """A request's head: its method and target, `Host`, and further fields."""
    return b"\r\n".join([b"%b %b" % (line, version), b"Host: a", *lines, b"", b""])


def get(target: bytes = b"/", *lines: bytes) -> bytes:
    return head(b"GET %b" % target, *lines)


def post(body: bytes, *lines: bytes, target: bytes = b"/") -> bytes:
    return head(b"POST %b" % target, b"Content-Length: %d" % len(body), *lines) + body


def chunked(data: bytes, *lines: bytes, target: bytes = b"/") -> bytes:
    return head(b"POST %b" % target, b"Transfer-Encoding: chunked", *lines) + data


LEGAL = {
    "GET": case(get()),
    "GET with an empty query": case(get(b"/a?")),
    "HEAD": case(head(b"HEAD /"), methods=(b"HEAD",)),
    "POST": case(post(b"hello")),
    "POST of nothing": case(post(b"")),
    "POST without a length": case(head(b"POST /")),
    "PUT": case(head(b"PUT /a", b"Content-Length: 3") + b"abc"),
    "DELETE": case(head(b"DELETE /a")),
    "DELETE with a body": case(head(b"DELETE /a", b"Content-Length: 2") + b"{}"),
    "GET with a body": case(head(b"GET /a", b"Content-Length: 2") + b"{}"),
    "PATCH": case(head(b"PATCH /a", b"Content-Length: 2") + b"{}"),
    "a body with an empty line": case(post(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n")),
    "leading zeros in a length": case(head(b"POST /", b"Content-Length: 0005") + b"hello"),
    "a lower-case length": case(head(b"POST /", b"content-length: 5") + b"hello"),
    "OPTIONS": case(head(b"OPTIONS /")),
    "OPTIONS *": case(head(b"OPTIONS *")),
    "an unknown method": case(head(b"PURGE /")),
    "a lower-case method": case(head(b"get /")),
    "a method of odd characters": case(head(b"M-!#$%&'*+.^_`|~9 /")),
    "empty lines before": case(b"\r\n\r\n" + get()),
    "an encoded slash": case(get(b"/a%2Fb")),
    "dots": case(get(b"/a/../b/./c")),
    "slashes": case(get(b"//a///b")),
    "an encoded letter": case(get(b"/%7ea%41")),
    "a broken escape": case(get(b"/%zz%")),
    "a strange query": case(get(b'/?a=[1]&b={2}|\\^`"<>')),
    "semicolons": case(get(b"/a;b=c;d")),
    "obs-text in a target": case(get(b"/caf\xe9")),
    "obs-text in a value": case(get(b"/", b"X: caf\xe9 \xff")),
    "tabs in a value": case(get(b"/", b"X:\t a \tb\t ")),
    "no space after a colon": case(get(b"/", b"X:a")),
    "an empty value": case(get(b"/", b"X:", b"Y: ")),
    "absolute form": case(head(b"GET http://a/b?c")),
    "absolute form with a port": case(b"GET http://a:80/ HTTP/1.1\r\nHost: a:80\r\n\r\n"),
    "absolute form without a path": case(head(b"GET http://a")),
    "a host with a port": case(b"GET / HTTP/1.1\r\nHost: a.test:8080\r\n\r\n"),
    "a host in brackets": case(b"GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n"),
    "a host in capitals": case(b"GET / HTTP/1.1\r\nHOST: A.Test\r\n\r\n"),
    "an empty host": case(b"GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    "mixed case": case(get(b"/", b"aCCept: */*", b"X-ODD-case: Yes", b"x-odd-CASE: No")),
    "repeated fields": case(get(b"/", b"Cookie: a=1", b"X: 1", b"Cookie: b=2", b"X: 1")),
    "forwarding fields": case(
        get(b"/", b"X-Forwarded-For: 9.9.9.9", b"X-Forwarded-Proto: https", b"Via: 1.0 x"),
    ),
    "forwarding fields, believed": case(
        get(b"/", b"X-Forwarded-For: 9.9.9.9, 8.8.8.8", b"X-Forwarded-Host: b", b"Via: 1.0 x"),
        listener="behind-proxy",
    ),
    "Forwarded": case(get(b"/", b"Forwarded: for=9.9.9.9"), listener="behind-proxy"),
    "Connection: close": case(get(b"/", b"Connection: close")),
    "Connection: keep-alive": case(get(b"/", b"Connection: keep-alive", b"Keep-Alive: 5")),
    "Connection names fields": case(get(b"/", b"X: 1", b"Y: 2", b"Connection: x, z", b"Z: 3")),
    "Connection names Host": case(get(b"/", b"Connection: host, via")),
    "Connection in two fields": case(get(b"/", b"Connection: x", b"X: 1", b"connection: Close")),
    "Connection: close, and more after": case(get(b"/", b"Connection: close") + get(b"/no")),
    "hop-by-hop fields": case(
        get(b"/", b"TE: trailers", b"Proxy-Connection: close", b"Trailer: X", b"Upgrade: h2c")
    ),
    "TE": case(get(b"/", b"TE: gzip", b"Connection: TE")),
    "TE: trailers": case(get(b"/", b"TE: trailers", b"Connection: TE")),
    "Proxy-Authorization": case(get(b"/", b"Proxy-Authorization: Basic YQ==")),
    "1.0": case(b"GET / HTTP/1.0\r\n\r\n"),
    "1.0 with a host": case(head(b"GET /", version=b"HTTP/1.0")),
    "1.0 keep-alive": case(head(b"GET /", b"Connection: keep-alive", version=b"HTTP/1.0")),
    "1.0 POST": case(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi"),
    "chunked": case(chunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")),
    "chunked, in capitals": case(
        head(b"POST /", b"TRANSFER-ENCODING: Chunked") + b"A\r\n0123456789\r\n000\r\n\r\n"
    ),
    "chunked with extensions": case(chunked(b'3;a;b="c;d"\r\nabc\r\n0;e\r\n\r\n')),
    "chunked with trailers": case(
        chunked(b"1\r\na\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n", b"Trailer: X-Sum")
    ),
    "chunked of nothing": case(chunked(b"0\r\n\r\n")),
    "Max-Forwards of OPTIONS": case(head(b"OPTIONS /", b"Max-Forwards: 0")),
    "Max-Forwards of OPTIONS *": case(head(b"OPTIONS *", b"Max-Forwards: 0")),
    "Max-Forwards is counted down": case(head(b"OPTIONS /", b"Max-Forwards: 3")),
    "Max-Forwards of GET": case(get(b"/", b"Max-Forwards: 0")),
    "Max-Forwards of OPTIONS with a body": case(
        head(b"OPTIONS /", b"Max-Forwards: 0", b"Content-Length: 2") + b"hi"
    ),
    "TRACE": case(head(b"TRACE /", b"Max-Forwards: 1")),
    "TRACE for us": case(head(b"TRACE /", b"Max-Forwards: 0")),
    "a plan of hosts and methods": case(b"POST /orders HTTP/1.1\r\nHost: Orders.TEST:80\r\n\r\n"),
    "a limit in shadow": case(get(b"/watched/")),
    "a body just small enough": case(post(b"12345678", target=b"/small/")),
    "a large body": case(post(b"0123456789" * 20_000)),
    "a large target": case(get(b"/" + b"x" * 900)),
}

PIPELINED = {
    "GET GET": case(get(b"/1") + get(b"/2")),
    "GET GET GET": case(get(b"/1") + get(b"/2") + get(b"/3")),
    "POST GET": case(post(b"hello") + get(b"/2")),
    "POST POST GET": case(post(b"a" * 10) + post(b"b" * 20) + get(b"/3")),
    "HEAD GET": case(head(b"HEAD /") + get(b"/2"), methods=(b"HEAD",)),
    "GET HEAD": case(get() + head(b"HEAD /2"), methods=(b"GET", b"HEAD")),
    "GET chunked GET": case(get() + chunked(b"1\r\na\r\n0\r\n\r\n") + get(b"/3")),
    "GET Expect": case(get() + head(b"POST /", b"Expect: 100-continue", b"Content-Length: 0")),
    "GET, empty lines, GET": case(get() + b"\r\n\r\n" + get(b"/2")),
    "GET malformed GET": case(get(b"/1") + get(b"/", b"A : 1") + get(b"/no")),
    "GET 1.0 GET": case(get(b"/1") + head(b"GET /2", version=b"HTTP/1.0") + get(b"/no")),
    "refused GET": case(get(b"/closed/") + get(b"/2")),
    "GET refused GET": case(get(b"/1") + get(b"/held/") + get(b"/3")),
    "refused refused": case(get(b"/held/") + get(b"/closed/")),
    "refused POST GET": case(post(b"hello", target=b"/held/") + get(b"/2")),
    "refused chunked GET": case(chunked(b"1\r\na\r\n0\r\n\r\n", target=b"/held/") + get(b"/2")),
    "fifty": case(b"".join(get(b"/%d" % each) for each in range(50))),
    "paced": case(get(b"/paced/1") + get(b"/paced/2") + get(b"/paced/3")),
}

REFUSED = {
    "rate": case(get(b"/closed/")),
    "rate, for a person": case(get(b"/closed/", b"Accept: text/html")),
    "rate, for a program": case(get(b"/closed/", b"Accept: text/plain;q=.5, image/*")),
    "rate, HEAD": case(head(b"HEAD /closed/"), methods=(b"HEAD",)),
    "rate, by another path": case(get(b"/x/../closed/a")),
    "rate, by an encoded path": case(get(b"/%63losed%2Fa")),
    "rate, close": case(get(b"/closed/", b"Connection: close")),
    "rate, 1.0": case(b"GET /closed/ HTTP/1.0\r\n\r\n"),
    "rate, body": case(post(b"hello", target=b"/closed/")),
    "rate, POST, for a person": case(post(b"a", b"Accept: text/html", target=b"/closed/")),
    "rate, long body": case(post(b"x" * 70_000, target=b"/closed/")),
    "rate, body to come": case(head(b"POST /closed/", b"Content-Length: 5"), b"hello"),
    "rate, long body to come": case(head(b"POST /closed/", b"Content-Length: 70000")),
    "rate, chunked": case(chunked(b"1\r\na\r\n0\r\n\r\n", target=b"/closed/")),
    "rate, Expect": case(head(b"POST /closed/", b"Expect: 100-continue", b"Content-Length: 5")),
    "rate, upgrade": case(get(b"/closed/", b"Connection: Upgrade", b"Upgrade: websocket")),
    "rate, OPTIONS": case(head(b"OPTIONS /closed/", b"Max-Forwards: 0")),
    "concurrency": case(get(b"/held/")),
    "concurrency, body": case(post(b"hello", target=b"/held/")),
    "concurrency, HEAD": case(head(b"HEAD /held/"), methods=(b"HEAD",)),
    "in a queue for too long": case(get(b"/queued/")),
    "in a queue for too long, body": case(post(b"hello", target=b"/queued/")),
    "body too large": case(post(b"123456789", target=b"/small/")),
    "body too large, to come": case(head(b"POST /small/", b"Content-Length: 999")),
    "body too large, Expect": case(
        head(b"POST /small/", b"Expect: 100-continue", b"Content-Length: 9")
    ),
    "chunked body too large": case(chunked(b"9\r\n123456789\r\n0\r\n\r\n", target=b"/small/")),
    "CONNECT": case(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    "CONNECT, and more after": case(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n" + get()),
    "head too large": case(get(b"/", b"X: " + b"x" * 1024)),
    "target too large": case(get(b"/" + b"x" * 1024)),
    "head without an end": case(get()[:-2] + b"X" * 2000),
}

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
UPGRADE = get(b"/", b"Connection: upgrade", b"Upgrade: echo")
EXPECT = head(b"POST /", b"Expect: 100-continue", b"Content-Length: 5")
ANSWER = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"

DESERTED = {
    "GET": case(get(), listener="deserted"),
    "HEAD": case(head(b"HEAD /"), methods=(b"HEAD", b"GET"), listener="deserted"),
    "POST": case(post(b"hello"), listener="deserted"),
    "POST, body to come": case(
        head(b"POST /", b"Content-Length: 5"), b"hello", listener="deserted"
    ),
    "POST, long body": case(post(b"x" * 70_000), listener="deserted"),
    "chunked": case(chunked(b"1\r\na\r\n0\r\n\r\n"), listener="deserted"),
    "Expect": case(EXPECT, b"hello", listener="deserted"),
    "upgrade": case(UPGRADE, listener="deserted"),
    "two": case(get(b"/1") + get(b"/2"), listener="deserted"),
}
"""Nobody listens where these are to go."""

IN_STEPS = {
    "Expect, go on": case(EXPECT, b"hello", reply=Reply((ANSWER,), early=GO_ON)),
    "Expect, no": case(EXPECT, reply=Reply(early=b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")),
    "Expect, not waited for": case(EXPECT + b"hello", reply=Reply((ANSWER,), early=GO_ON)),
    "Expect, never told": case(EXPECT, b"hello"),
    "Expect of something else": case(head(b"GET /", b"Expect: cake")),
    "Expect, no body": case(head(b"POST /", b"Expect: 100-continue", b"Content-Length: 0")),
    "upgrade": case(UPGRADE, b"Abc", b"\x00\xffdef", reply=Reply((SWITCHED,), end=End.TUNNEL)),
    "upgrade with bytes that are early": case(
        UPGRADE + b"Abc", b"def", reply=Reply((SWITCHED + b"hey",), end=End.TUNNEL)
    ),
    "upgrade refused": case(UPGRADE, reply=Reply((ANSWER,))),
    "upgrade not answered": case(UPGRADE),
    "body in steps": case(head(b"POST /", b"Content-Length: 10"), b"hello", b"again"),
    "chunks in steps": case(chunked(b"1\r\na\r\n"), b"2\r\nbc\r\n", b"0\r\n\r\n"),
    "one after the other": case(get(b"/1"), post(b"hello"), get(b"/3"), get(b"/closed/")),
    "upgrade, later": case(
        *(get(b"/1"), UPGRADE, b"Abc"), reply=Reply((SWITCHED,), end=End.TUNNEL, skip=1)
    ),
    "Expect, later": case(
        *(get(b"/1"), EXPECT, b"hello", get(b"/3")), reply=Reply((ANSWER,), early=GO_ON, skip=1)
    ),
    "chunked, later": case(get(b"/1"), chunked(b"1\r\na\r\n"), b"0\r\n\r\n", get(b"/3")),
    "1.0, later": case(get(b"/1"), head(b"GET /2", version=b"HTTP/1.0")),
    "CONNECT, later": case(get(b"/1"), b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
    "good, refused, malformed": case(get(b"/1"), get(b"/held/"), b"nonsense\r\n\r\n"),
}
"""What waits for an answer before it goes on. Not cut: too much of it waits."""

UNFINISHED = {
    "nothing": case(b""),
    "part of a head": case(b"GET / HTTP/1.1\r\nHo"),
    "part of a body": case(head(b"POST /", b"Content-Length: 50") + b"hello"),
    "part of a chunk": case(chunked(b"50\r\nhello")),
    "never answered": case(get(), reply=Reply()),
    "never answered, and a reset": case(get(), reply=Reply(), resets=True),
    "never answered POST": case(post(b"hello"), reply=Reply()),
    "a reset at once": case(b"", resets=True),
    "a reset in a head": case(b"GET / HTTP/1.1\r\nHo", resets=True),
    "a reset in a body": case(head(b"POST /", b"Content-Length: 50") + b"hello", resets=True),
    "a reset after an answer": case(get(), resets=True),
    "late head": case(b"GET / HTT", listener="impatient", watch=0.15),
    "late body": case(post(b"hello")[:-3], listener="impatient", watch=0.25),
    "late second head": case(get(b"/1") + b"GET", listener="impatient", watch=0.15),
    "idle for too long": case(get(b"/1"), listener="impatient", watch=0.45),
    "idle from the start": case(b"", listener="impatient", watch=0.45),
}

MALFORMED: dict[str, bytes] = {
    "two lengths": head(b"POST /", b"Content-Length: 5", b"Content-Length: 6") + b"hello",
    "two equal lengths": head(b"POST /", b"Content-Length: 1", b"Content-Length: 1") + b"a",
    "list of lengths": head(b"POST /", b"Content-Length: 5, 5") + b"hello",
    "signed length": head(b"POST /", b"Content-Length: +5") + b"hello",
    "negative length": head(b"POST /", b"Content-Length: -5") + b"hello",
    "hexadecimal length": head(b"POST /", b"Content-Length: 0x5") + b"hello",
    "empty length": head(b"POST /", b"Content-Length:"),
    "length of 2^63": head(b"POST /", b"Content-Length: 9223372036854775808"),
    "length with a space in it": head(b"POST /", b"Content-Length: 1 2"),
    "length and chunked": head(b"POST /", b"Content-Length: 4", b"Transfer-Encoding: chunked")
    + b"0\r\n\r\n",
    "chunked and length": head(b"POST /", b"Transfer-Encoding: chunked", b"Content-Length: 4")
    + b"0\r\n\r\n",
    "chunked twice": head(b"POST /", b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "unknown coding": head(b"POST /", b"Transfer-Encoding: xchunked"),
    "known coding": head(b"POST /", b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
    "identity": head(b"POST /", b"Transfer-Encoding: identity"),
    "empty coding": head(b"POST /", b"Transfer-Encoding:"),
    "chunked in 1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before a colon": get(b"/", b"A : 1"),
    "tab before a colon": get(b"/", b"A\t: 1"),
    "folded line": get(b"/", b"A: 1\r\n B: 2"),
    "space before the first field": b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
    "bare LF in a head": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF after a field": b"GET / HTTP/1.1\r\nA: 1\n" + HOST + b"\r\n",
    "bare LF before": b"\n" + get(),
    "bare CR before": b"\r" + get(),
    "bare CR in a value": get(b"/", b"A: 1\rB: 2"),
    "NUL in a value": get(b"/", b"A: a\0b"),
    "control character in a value": get(b"/", b"A: a\x01b"),
    "DEL in a value": get(b"/", b"A: a\x7fb"),
    "control character in a name": get(b"/", b"A\x01: a"),
    "obs-text in a name": get(b"/", b"\xe9: a"),
    "no name": get(b"/", b": a"),
    "no colon": get(b"/", b"abc"),
    "space in the target": get(b"/a b"),
    "tab in the target": get(b"/a\tb"),
    "NUL in the target": get(b"/\0"),
    "fragment": get(b"/#a"),
    "relative target": get(b"a"),
    "empty target": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "asterisk for GET": get(b"*"),
    "another scheme": get(b"ftp://a/"),
    "user in the target": get(b"http://u@a/"),
    "two spaces": get(b" /"),
    "space after the version": b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n",
    "lower-case version": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "version 1.2": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "version 2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version 0.9": b"GET /\r\n",
    "brackets in the method": b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no method": b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": get(b"/", b"Host: a"),
    "host with a path": b"GET / HTTP/1.1\r\nHost: a/x\r\n\r\n",
    "host with a user": b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "host with a strange port": b"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n",
    "host unlike the target's": get(b"http://b/"),
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(32),
    "chunk size with 0x": chunked(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "negative chunk size": chunked(b"-1\r\n\r\n0\r\n\r\n"),
    "empty chunk size": chunked(b"\r\nhello\r\n0\r\n\r\n"),
    "chunk size of 17 digits": chunked(b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
    "space after a chunk size": chunked(b"5 \r\nhello\r\n0\r\n\r\n"),
    "bare LF after a chunk size": chunked(b"5\nhello\r\n0\r\n\r\n"),
    "bare LF in an extension": chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "chunk too long": chunked(b"5\r\nhello!\r\n0\r\n\r\n"),
    "second chunk malformed": chunked(b"1\r\na\r\nz\r\n"),
    "bad trailer": chunked(b"0\r\nX : 1\r\n\r\n"),
    "malformed and refused": chunked(b"z\r\n", target=b"/held/"),
}

_ALONE = {"legal": LEGAL, "pipelined": PIPELINED, "refused": REFUSED}

WHOLE: dict[str, Case] = {
    f"{group}: {name}": each
    for group, cases in {
        **_ALONE,
        "deserted": DESERTED,
        "in steps": IN_STEPS,
        "unfinished": UNFINISHED,
        # A good request after it must never be served.
        "malformed": {name: case(data + get(b"/no")) for name, data in MALFORMED.items()},
    }.items()
    for name, each in cases.items()
}

LONGEST_CUT = 150
"""Bytes of a request that is cut at every position."""

_TOO_SLOW = ("in a queue", "paced")

CUT: dict[str, Case] = {
    f"{group}: {name}": each
    for group, cases in {
        **_ALONE,
        "malformed": {name: case(data) for name, data in MALFORMED.items()},
    }.items()
    for name, each in cases.items()
    if len(each.steps) == 1
    and len(each.steps[0][0]) <= LONGEST_CUT
    and not name.startswith(_TOO_SLOW)
}
