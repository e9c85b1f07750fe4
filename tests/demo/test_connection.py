import socket
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from proxy.demo.connection import MAX_BODY_BYTES, MAX_HEAD_BYTES, Connection, Next
from proxy.demo.messages import HttpError, Request, Response


class Pair:
    """A connection and its client's end."""

    def __init__(self) -> None:
        self.client, server = socket.socketpair()
        self.client.settimeout(5)
        self.connection = Connection(server)

    def close(self) -> None:
        self.client.close()
        self.connection.close()

    def read(self, sent: bytes) -> tuple[Request, bool]:
        self.client.sendall(sent)
        assert self.connection.receive() is Next.SERVE
        return self.connection.read_request()

    def received(self) -> bytes:
        data = b""
        while more := self.client.recv(65536):
            data += more
        return data


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def test_a_head_in_pieces_is_waited_for(pair: Pair) -> None:
    pair.client.sendall(b"\r\nGET / HTTP/1.1\r\nHo")
    assert pair.connection.receive() is Next.WATCH
    request, kept = pair.read(b"st: x\r\n\r\n")
    assert (request.method, request.headers["host"], kept) == ("GET", "x", True)


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_who_may_send_another_request(pair: Pair, head: bytes, kept: bool) -> None:
    assert pair.read(head)[1] is kept


@pytest.mark.parametrize(
    "framed",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
    ],
)
def test_a_body_is_read_whole_and_no_further(pair: Pair, framed: bytes) -> None:
    following = b"GET /next HTTP/1.1\r\n\r\n"
    request, _ = pair.read(b"POST / HTTP/1.1\r\n" + framed + following)
    assert request.body == b"hello"
    after = pair.connection.send(Response.html("x"), to_method="POST", kept=True)
    assert after is Next.SERVE
    assert pair.connection.read_request()[0].target == "/next"


def test_continue_is_sent_before_the_body_is_read(pair: Pair) -> None:
    pair.client.sendall(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
    assert pair.connection.receive() is Next.SERVE
    pair.client.sendall(b"x")
    assert pair.connection.read_request()[0].body == b"x"
    assert pair.client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nName : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nname: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nname: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413),
    ],
)
def test_a_request_that_can_not_be_read_is_refused(pair: Pair, sent: bytes, status: int) -> None:
    with pytest.raises(HttpError) as raised:
        pair.read(sent)
    assert raised.value.status == status


def test_a_head_without_end_is_refused(pair: Pair) -> None:
    pair.client.sendall(b"GET / HTTP/1.1\r\nname: " + b"x" * MAX_HEAD_BYTES)
    while pair.connection.receive() is Next.WATCH:
        pass
    with pytest.raises(HttpError) as raised:
        pair.connection.read_request()
    assert raised.value.status == 431


def test_a_refused_client_can_read_why_although_it_sends_on(pair: Pair) -> None:
    pair.client.sendall(b"x" * 100_000)
    pair.client.shutdown(socket.SHUT_WR)
    assert pair.connection.refuse(HttpError(HTTPStatus.BAD_REQUEST, "No.")) is Next.FORGET
    answer = pair.received()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nNo.\n")


def test_several_fields_of_one_name_are_sent(pair: Pair) -> None:
    response = Response.html("body").adding(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
    assert pair.connection.send(response, to_method="HEAD", kept=False) is Next.FORGET
    answer = pair.received()
    assert b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 4\r\n" in answer
    assert answer.endswith(b"Connection: close\r\n\r\n")


def test_a_client_that_leaves_is_forgotten(pair: Pair) -> None:
    pair.client.close()
    assert pair.connection.receive() is Next.FORGET
