import pytest

from proxy.wire.outbound import host_and_port, outbound_request_head, upstream_asked_for
from proxy.wire.request_head import RequestHead, RequestHeadReader

HOSTS = {
    "coupons.example:80": "coupons",
    "pay.example:8443": "payments",
    "pay.example:443": "payments-tls",
    "[2001:db8::1]:80": "six",
}


def request(
    *lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes | None = b"Host: us:8090"
) -> RequestHead:
    fields = lines if host is None else (host, *lines)
    head = RequestHeadReader(8192).feed(b"\r\n".join([start, *fields, b"", b""]))
    assert head is not None
    return head


def sent(head: RequestHead, *, whole: bool = False) -> list[bytes]:
    """The lines that go on, without `Via` and the two empty ones at the end."""
    data = outbound_request_head(head, host=b"up:8000", whole=whole)
    assert RequestHeadReader(8192).feed(data) is not None, "a sound request of one meaning"
    lines = data[:-4].split(b"\r\n")
    lines.remove(b"Via: 1.%d planb" % head.version[1])
    return lines


@pytest.mark.parametrize(
    ("target", "upstream"),
    [
        (b"/", "own"),
        (b"//coupons.example/", "own"),
        (b"*", "own"),
        (b"http://coupons.example/x", "coupons"),
        (b"HTTP://Coupons.Example./x", "coupons"),
        (b"http://coupons.example:80", "coupons"),
        (b"http://coupons.example:?x", "coupons"),
        (b"https://coupons.example/x", ""),
        (b"http://pay.example:8443/", "payments"),
        (b"https://pay.example/", "payments-tls"),
        (b"http://pay.example/", ""),
        (b"http://[2001:DB8:0::1]/", "six"),
        (b"http://other.example/coupons.example", ""),
        (b"http://other.example?http://coupons.example", ""),
        (b"http://coupons.example.other.example/", ""),
        (b"http://coupons%2eexample/", ""),
        (b"http://169.254.169.254/", ""),
    ],
)
def test_where_a_request_goes(target: bytes, upstream: str) -> None:
    assert upstream_asked_for(target, "own", HOSTS) == upstream


def test_without_an_upstream_only_hosts_are_called() -> None:
    assert not upstream_asked_for(b"/", "", HOSTS)
    assert not upstream_asked_for(b"http://coupons.example/", "own", {})


def test_a_host_has_one_name() -> None:
    assert host_and_port("a.example", 80) == "a.example:80"
    assert host_and_port("2001:db8:0:0::1", 8001) == "[2001:db8::1]:8001"


@pytest.mark.parametrize(
    ("start", "lines"),
    [
        (b"GET /a?b HTTP/1.1", [b"GET /a?b HTTP/1.1", b"Host: up:8000"]),
        (b"OPTIONS * HTTP/1.1", [b"OPTIONS * HTTP/1.1", b"Host: up:8000"]),
    ],
)
def test_the_host_is_the_upstream_s(start: bytes, lines: list[bytes]) -> None:
    assert sent(request(start=start)) == lines


@pytest.mark.parametrize(
    ("start", "lines"),
    [
        (b"GET http://A:81/b%2F/../c?d HTTP/1.1", [b"GET /b%2F/../c?d HTTP/1.1", b"host: A:81"]),
        (b"GET http://a:81 HTTP/1.1", [b"GET / HTTP/1.1", b"host: a:81"]),
        (b"GET http://a:81?d HTTP/1.1", [b"GET /?d HTTP/1.1", b"host: a:81"]),
        (b"OPTIONS http://a:81 HTTP/1.1", [b"OPTIONS * HTTP/1.1", b"host: a:81"]),
        (b"OPTIONS http://a:81/ HTTP/1.1", [b"OPTIONS / HTTP/1.1", b"host: a:81"]),
    ],
)
def test_an_absolute_target_goes_on_in_origin_form_with_its_own_host(
    start: bytes, lines: list[bytes]
) -> None:
    assert sent(request(start=start, host=b"host: a:81")) == lines


def test_a_host_is_added_to_a_request_of_1_0_without_one() -> None:
    plain = request(b"A: b", start=b"GET / HTTP/1.0", host=None)
    assert sent(plain) == [b"GET / HTTP/1.1", b"Host: up:8000", b"A: b"]
    absolute = request(start=b"GET http://a/ HTTP/1.0", host=None)
    assert sent(absolute) == [b"GET / HTTP/1.1", b"Host: a"]


def test_what_the_shop_says_of_its_clients_passes_and_nothing_is_added() -> None:
    said = [
        b"X-Forwarded-For: 203.0.113.9",
        b"Forwarded: for=203.0.113.9",
        b"x-real-ip: 203.0.113.9",
        b"X-Original-URL: /a",
    ]
    assert sent(request(*said))[2:] == said


def test_what_is_for_the_next_hop_stays() -> None:
    head = request(
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authorization: Basic YTpi",
        b"Connection: keep-alive, x-own, authorization",
        b"X-Own: 1",
        b"Keep-Alive: timeout=5",
        b"Proxy: evil",
        b"X_Forwarded_For: spelt for CGI",
        b"TE: trailers",
        b"Authorization: Basic YTpi",
    )
    assert sent(head)[2:] == [b"Authorization: Basic YTpi"]


def test_bodies_upgrades_and_forwards_are_told_as_they_are() -> None:
    chunked = request(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.1")
    assert sent(chunked)[2:] == [b"Transfer-Encoding: chunked"]
    length = request(b"Content-Length: 3", start=b"POST / HTTP/1.1")
    assert sent(length)[2:] == [b"Content-Length: 3"]
    upgrade = request(b"Connection: Upgrade", b"Upgrade: websocket, h2c")
    assert sent(upgrade)[2:] == [b"Connection: Upgrade", b"Upgrade: websocket"]
    left = request(b"Max-Forwards: 3", start=b"OPTIONS / HTTP/1.1")
    assert sent(left)[2:] == [b"Max-Forwards: 2"]


def test_conditions_are_left_out_where_the_whole_is_wanted() -> None:
    head = request(b"If-None-Match: x", b"Accept: */*")
    assert sent(head, whole=True)[2:] == [b"Accept: */*"]
    assert sent(head)[2:] == [b"If-None-Match: x", b"Accept: */*"]
