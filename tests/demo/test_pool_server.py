import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http import HTTPStatus

import pytest

from proxy.demo.messages import Request, Response
from proxy.demo.pool_server import PoolServer


@contextmanager
def serving(answer: Callable[[Request], Response], threads: int = 1) -> Iterator[PoolServer]:
    server = PoolServer(("127.0.0.1", 0), answer, threads)
    try:
        server.listen()
        yield server
    finally:
        server.close()


def echo(request: Request) -> Response:
    return Response(HTTPStatus.OK, request.target.encode())


def connected(server: PoolServer) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port))
    client.settimeout(5)
    return client


def ask(client: socket.socket, target: str) -> bytes:
    client.sendall(f"GET {target} HTTP/1.1\r\n\r\n".encode())
    return client.recv(65536).rpartition(b"\r\n\r\n")[2]


def test_a_connection_serves_one_request_after_the_other() -> None:
    with serving(echo) as server, connected(server) as client:
        assert [ask(client, f"/{i}") for i in range(3)] == [b"/0", b"/1", b"/2"]


def test_idle_connections_hold_no_thread() -> None:
    with serving(echo) as server, ExitStack() as stack:
        idle = [stack.enter_context(connected(server)) for _ in range(20)]
        for client in idle:
            assert ask(client, "/") == b"/"
            client.sendall(b"GET /half")  # a part of a head holds none either
        assert ask(stack.enter_context(connected(server)), "/") == b"/"


def test_pipelined_requests_are_answered_in_order() -> None:
    with serving(echo, threads=4) as server, connected(server) as client:
        client.sendall(b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % i for i in range(50)))
        client.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.recv(65536):
            received += data
    assert re.findall(rb"\r\n\r\n/(\d+)", received) == [b"%d" % i for i in range(50)]


def test_what_no_thread_is_free_for_waits_in_the_queue() -> None:
    held, release = threading.Event(), threading.Event()

    def answer(request: Request) -> Response:
        held.set()
        release.wait(5)
        return echo(request)

    with serving(answer) as server, ExitStack() as stack:
        clients = [stack.enter_context(connected(server)) for _ in range(10)]
        for client in clients:
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert held.wait(5)
        while server.waiting < 9:
            pass
        release.set()
        assert all(client.recv(65536).startswith(b"HTTP/1.1 200") for client in clients)
        assert server.waiting == 0


def test_a_page_that_fails_costs_no_thread(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(request: Request) -> Response:
        return Response(HTTPStatus.OK, str(1 // int(request.target[1:])).encode())

    with serving(answer) as server, connected(server) as client:
        client.sendall(b"GET /0 HTTP/1.1\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 500 ")
        assert ask(client, "/1") == b"1"
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_request_that_can_not_be_read_is_refused_and_the_connection_closed() -> None:
    with serving(echo) as server, connected(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(65536).startswith(b"HTTP/1.1 400 ")
        assert client.recv(65536) == b""


def test_nobody_comes_before_it_listens_but_who_is_adopted() -> None:
    server = PoolServer(("127.0.0.1", 0), echo, threads=1)
    try:
        with pytest.raises(ConnectionRefusedError):
            connected(server)
        ours, theirs = socket.socketpair()
        with ours:
            server.adopt(theirs)
            assert ask(ours, "/") == b"/"
    finally:
        server.close()


def test_a_port_can_not_be_taken_twice() -> None:
    with serving(echo) as server, pytest.raises(OSError, match="in use"):
        PoolServer(("127.0.0.1", server.port), echo, threads=1)
