import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.demo.service_process import Service, started

SHOP = "proxy.demo.shop"


@pytest.fixture(scope="module")
def shop() -> Iterator[Service]:
    with (
        started("proxy.demo.coupons", "--service-time=0.001") as coupons,
        started(SHOP, f"--coupons={coupons.url}", "--service-time=0.002", "--stock=30") as service,
    ):
        yield service


def stock(shop: Service, item_id: int) -> int:
    left = shop.json("GET", f"/items/{item_id}").json["stock"]
    assert isinstance(left, int)
    return left


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("/", "Moon jar"),
        ("/items", "Moon jar"),
        ("/items/2", "Celadon vase"),
        ("/items/2", "WELCOME5"),
        ("/cart", "It is empty"),
        ("/orders", "Recent orders"),
        ("/recommendations", "Others like"),
        ("/recommendations/3", "Bought together"),
    ],
)
def test_pages_are_html(shop: Service, target: str, content: str) -> None:
    answer = shop.ask("GET", target)
    assert answer.status == 200
    assert answer.headers.get_content_type() == "text/html"
    assert content in answer.text


def test_every_picture_on_the_home_page_is_an_image_that_may_be_cached(shop: Service) -> None:
    targets = re.findall(r'src="(/pictures/\d+\.svg)"', shop.ask("GET", "/").text)
    assert len(targets) == 12
    for target in targets:
        answer = shop.ask("GET", target)
        assert answer.headers["Content-Type"] == "image/svg+xml"
        assert "max-age" in answer.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/items/999", 404),
        ("GET", "/items/0", 404),
        ("GET", "/recommendations/999", 404),
        ("DELETE", "/orders", 405),
        ("GET", "/orders?limit=none", 400),
        ("GET", "/orders?limit=0", 400),
        ("GET", "/orders?limit=201", 400),
    ],
)
def test_what_can_not_be_answered_is_said_with_a_status(
    shop: Service, method: str, target: str, status: int
) -> None:
    assert shop.ask(method, target).status == status
    assert "error" in shop.json(method, target).json


def test_a_refused_method_names_those_that_are_allowed(shop: Service) -> None:
    assert shop.ask("PUT", "/cart").headers["Allow"] == "GET, POST"


def test_a_head_request_has_the_length_of_a_get_and_no_body(shop: Service) -> None:
    head, get = shop.json("HEAD", "/items/5"), shop.json("GET", "/items/5")
    assert head.body == b""
    assert head.headers["Content-Length"] == str(len(get.body))


def test_a_visitor_gets_a_session_once(shop: Service) -> None:
    cookie = shop.ask("GET", "/").headers["Set-Cookie"]
    assert cookie.startswith("sid=")
    assert shop.ask("GET", "/", Cookie=cookie.split(";")[0]).headers["Set-Cookie"] is None


def test_a_cart_is_filled_and_emptied_and_ordered(shop: Service) -> None:
    added = shop.ask("POST", "/cart", {"item_id": 4, "quantity": 2})
    assert (added.status, added.headers["Location"]) == (303, "/cart")
    cookie = added.headers["Set-Cookie"].split(";")[0]
    shop.ask("POST", "/cart", {"item_id": 5}, Cookie=cookie)
    shop.ask("POST", "/cart", {"item_id": 5, "action": "remove"}, Cookie=cookie)
    lines = shop.json("GET", "/cart", Cookie=cookie).json["lines"]
    assert [(line["item_id"], line["quantity"]) for line in lines] == [(4, 2)]  # type: ignore[attr-defined]
    before = stock(shop, 4)
    assert shop.ask("POST", "/orders", {}, Cookie=cookie).status == 201
    assert stock(shop, 4) == before - 2
    assert shop.ask("POST", "/orders", {}, Cookie=cookie).status == 409


def test_the_limit_says_how_many_orders_are_shown(shop: Service) -> None:
    for _ in range(3):
        shop.json("POST", "/orders", {"item_id": 6})
    orders = shop.json("GET", "/orders?limit=2").json["orders"]
    assert isinstance(orders, list)
    assert [order["id"] for order in orders] == sorted((o["id"] for o in orders), reverse=True)
    assert len(orders) == 2
    assert shop.ask("GET", "/orders?limit=1").text.count("<tr><td>") == 1


def test_a_coupon_takes_its_part_off(shop: Service) -> None:
    full = shop.json("POST", "/orders", {"item_id": 7}).json["total_cents"]
    less = shop.json("POST", "/orders", {"item_id": 7, "coupon": "welcome5"}).json["total_cents"]
    assert (full, less) == (8800, 8360)


def test_an_unknown_coupon_orders_nothing_and_is_shown_escaped(shop: Service) -> None:
    before = stock(shop, 7)
    answer = shop.ask("POST", "/orders", {"item_id": 7, "coupon": "<b>"})
    assert answer.status == 422
    assert "<b>." not in answer.text
    assert "&lt;b&gt;" in answer.text
    assert stock(shop, 7) == before


def test_concurrent_orders_never_sell_more_than_there_is(shop: Service) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: shop.json("POST", "/orders", {"item_id": 8}), range(60))
    assert Counter(answer.status for answer in answers) == {201: 30, 409: 30}
    assert stock(shop, 8) == 0
    assert "sold out" in shop.ask("GET", "/items/8").text


def test_orders_are_placed_although_the_client_left(shop: Service) -> None:
    before = stock(shop, 9)
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", shop.port)) as client:
            body = b"item_id=9"
            client.sendall(b"POST /orders HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body))
            client.sendall(body)
    deadline = time.monotonic() + 5
    while stock(shop, 9) > before - 10 and time.monotonic() < deadline:
        pass
    assert stock(shop, 9) == before - 10


def test_without_coupon_service_pages_come_but_no_order_with_a_coupon() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # it does not listen
        url = f"--coupons=http://127.0.0.1:{unused.getsockname()[1]}"
        with started(SHOP, url, "--service-time=0.002") as shop:
            assert shop.ask("GET", "/items/1").status == 200
            assert shop.ask("POST", "/orders", {"item_id": 1, "coupon": "X"}).status == 503
            assert shop.ask("POST", "/orders", {"item_id": 1}).status == 201


def test_the_capacity_that_it_prints_is_threads_by_service_time_and_what_is_beyond_waits() -> None:
    with started(SHOP) as shop:
        found = re.search(r"capacity about (\d+) requests/s \(8 threads\)", shop.first_line)
        assert found
        assert 120 <= int(found[1]) <= 200
        clients = [socket.create_connection(("127.0.0.1", shop.port)) for _ in range(100)]
        alone = time.monotonic()
        shop.ask("GET", "/cart")
        alone = time.monotonic() - alone
        for client in clients:
            client.sendall(b"GET /cart HTTP/1.1\r\n\r\n")
        behind = time.monotonic()
        shop.ask("GET", "/cart")
        behind = time.monotonic() - behind
        assert behind > 5 * alone
        for client in clients:
            client.close()


def test_a_database_that_is_given_outlives_the_shop(tmp_path: Path) -> None:
    arguments = ("--service-time=0.002", f"--database={tmp_path}/shop.db", "--stock=3")
    with started(SHOP, *arguments) as shop:
        shop.ask("POST", "/orders", {"item_id": 1})
        shop.process.kill()
        shop.process.wait()
    with started(SHOP, *arguments) as shop:
        assert stock(shop, 1) == 2


def test_a_port_in_use_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", SHOP, f"--port={port}"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert f"port {port}" in ended.stderr
    assert "in use" in ended.stderr


@pytest.mark.parametrize("argument", ["--coupons=nonsense", "--service-time=9"])
def test_arguments_that_can_not_be_are_refused(argument: str) -> None:
    command = [sys.executable, "-m", SHOP, argument]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert ended.returncode == 2
