import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus

import pytest

from proxy.demo.coupon_client import Coupon, CouponClient, CouponsUnavailableError
from proxy.demo.messages import Request, Response
from proxy.demo.pool_server import PoolServer

TEA = {"code": "TEA", "percent": 10, "text": "Drink."}


@contextmanager
def client_of(answer: Callable[[Request], Response]) -> Iterator[CouponClient]:
    server = PoolServer(("127.0.0.1", 0), answer, threads=1)
    try:
        server.listen()
        yield CouponClient(f"http://127.0.0.1:{server.port}", timeout=0.1)
    finally:
        server.close()


def test_coupons_are_read() -> None:
    def answer(request: Request) -> Response:
        return Response.json({"coupons": [TEA]} if request.path == "/coupons" else TEA)

    with client_of(answer) as client:
        assert client.today() == [Coupon("TEA", 10, "Drink.")]
        assert client.find("TEA") == Coupon("TEA", 10, "Drink.")


def test_a_code_is_sent_as_one_part_of_the_path() -> None:
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(request.target)
        return Response(HTTPStatus.NOT_FOUND)

    with client_of(answer) as client:
        assert client.find("../a?b") is None
    assert asked == ["/coupons/..%2Fa%3Fb"]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"coupons": 1}', json.dumps({**TEA, "percent": 101}).encode()],
)
def test_nonsense_is_the_same_as_absence(body: bytes) -> None:
    with client_of(lambda _: Response(HTTPStatus.OK, body)) as client:
        assert client.today() == []
        with pytest.raises(CouponsUnavailableError):
            client.find("TEA")


def test_patience_is_short() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = CouponClient(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1)
        started = time.monotonic()
        assert client.today() == []
        assert time.monotonic() - started < 1.0


def test_an_address_must_be_one() -> None:
    with pytest.raises(ValueError, match="not an address"):
        CouponClient("localhost:8001")
