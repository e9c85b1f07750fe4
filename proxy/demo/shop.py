"""A legacy shop: `python -m proxy.demo.shop --port 8000 --coupons http://127.0.0.1:8001`.

| route | what | effort |
|---|---|---|
| `GET /`, `GET /items` | all items | 1 |
| `GET /items/{id}` | one item, with today's coupons | 1 |
| `GET /pictures/{id}.svg` | its picture | 0.05 |
| `GET /cart`, `POST /cart` | the cart of the cookie `sid`; `action` add or remove, `item_id` | 1 |
| `POST /orders` | orders `item_id` and `quantity`, or else the cart; `coupon` if wanted | 1 |
| `GET /orders?limit=20` | recent orders | 0.5 and 0.05 for each |
| `GET /recommendations`, `GET /recommendations/{id}` | a part of a page | 3 |
| `GET /healthz` | | 0 |

Every route but pictures answers programs (`Accept: application/json`) with JSON. The effort is in
units of `--service-time`, see `proxy.demo.effort`.
"""

import argparse
import re
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import NoReturn

from proxy.demo import pages
from proxy.demo.coupon_client import Coupon, CouponClient, CouponsUnavailableError
from proxy.demo.database import (
    MOST_OF_ONE,
    Database,
    EmptyOrderError,
    Line,
    SoldOutError,
    UnknownItemError,
)
from proxy.demo.effort import Effort
from proxy.demo.messages import HttpError, Request, Response
from proxy.demo.pictures import picture
from proxy.demo.pool_server import PoolServer
from proxy.demo.process import end_on_signals, serving, wait_for_end

MOST_ORDERS_SHOWN = 200
_MEASURING = 0.5

Answered = tuple[Response, float]
"""A response and the share of the effort's unit that it takes."""


class Shop:
    """Answers the shop's requests; `waiting` tells how many others wait for a thread."""

    def __init__(
        self,
        database: Database,
        coupons: CouponClient,
        effort: Effort,
        waiting: Callable[[], int],
    ) -> None:
        self._database = database
        self._coupons = coupons
        self._effort = effort
        self._waiting = waiting

    def answer(self, request: Request) -> Response:
        """One request's response, after as long as the effort takes."""
        started = time.monotonic()
        waiting = self._waiting()
        try:
            response, share = self._route(request)
        except HttpError as error:
            response, share = _trouble(request, error), 1.0
        # The database is elsewhere: the thread and its connection wait until it has answered.
        effort = self._effort.seconds(share, waiting)
        time.sleep(max(0.0, started + effort - time.monotonic()))
        return response

    def _route(self, request: Request) -> Answered:
        allowed: set[str] = set()
        method = "GET" if request.method == "HEAD" else request.method
        for route_method, pattern, handler in _ROUTES:
            if match := re.fullmatch(pattern, request.path):
                if route_method == method:
                    return handler(self, request, *map(int, match.groups()))
                allowed.add(route_method)
        if allowed:
            error = HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "This can't be done here.")
            return _trouble(request, error).adding(("Allow", ", ".join(sorted(allowed)))), 0.0
        return _trouble(request, HttpError(HTTPStatus.NOT_FOUND, "There is no such page.")), 0.0

    def home(self, request: Request) -> Answered:
        """All items."""
        items = self._database.items()
        if request.wants_json:
            return Response.json({"items": [asdict(item) for item in items]}), 1.0
        return _page(request, pages.home(items)), 1.0

    def item(self, request: Request, item_id: int) -> Answered:
        """One item."""
        try:
            item = self._database.item(item_id)
        except UnknownItemError as error:
            raise HttpError(HTTPStatus.NOT_FOUND, "There is no such item.") from error
        if request.wants_json:
            return Response.json(asdict(item)), 1.0
        return _page(request, pages.item(item, self._coupons.today())), 1.0

    def picture(self, _: Request, item_id: int) -> Answered:
        """An item's picture."""
        headers = (
            ("Content-Type", "image/svg+xml"),
            ("Cache-Control", "public, max-age=86400"),
        )
        return Response(HTTPStatus.OK, picture(item_id).encode(), headers), 0.05

    def cart(self, request: Request) -> Answered:
        """What is in the cart."""
        lines = self._database.cart(_sid(request) or "")
        if request.wants_json:
            return Response.json(_cart(lines)), 1.0
        return _page(request, pages.cart(lines, self._coupons.today())), 1.0

    def change_cart(self, request: Request) -> Answered:
        """Put an item into the cart or take it out."""
        form = request.form()
        item_id = _number(form.get("item_id"), "item_id", 1, 10**9)
        known = _sid(request)
        sid = known or secrets.token_hex(16)
        cookie = () if known else (_sid_cookie(sid),)
        match form.get("action", "add"):
            case "add":
                quantity = _number(form.get("quantity", "1"), "quantity", 1, MOST_OF_ONE)
                try:
                    self._database.add_to_cart(sid, item_id, quantity)
                except UnknownItemError as error:
                    raise HttpError(HTTPStatus.NOT_FOUND, "There is no such item.") from error
            case "remove":
                self._database.remove_from_cart(sid, item_id)
            case _:
                raise HttpError(HTTPStatus.BAD_REQUEST, "The action must be add or remove.")
        if request.wants_json:
            return Response.json(_cart(self._database.cart(sid))).adding(*cookie), 1.0
        return Response(HTTPStatus.SEE_OTHER, b"", (("Location", "/cart"), *cookie)), 1.0

    def order(self, request: Request) -> Answered:
        """Order an item, or the cart."""
        form = request.form()
        coupon = self._coupon(form.get("coupon", "").strip())
        code, percent_off = (coupon.code, coupon.percent) if coupon else (None, 0)
        try:
            if "item_id" in form:
                item_id = _number(form["item_id"], "item_id", 1, 10**9)
                quantity = _number(form.get("quantity", "1"), "quantity", 1, MOST_OF_ONE)
                order = self._database.order_item(item_id, quantity, code, percent_off)
            else:
                order = self._database.order_cart(_sid(request) or "", code, percent_off)
        except UnknownItemError as error:
            raise HttpError(HTTPStatus.NOT_FOUND, "There is no such item.") from error
        except SoldOutError as error:
            text = f"Sold out: less of {error.name} is left than you asked for."
            raise HttpError(HTTPStatus.CONFLICT, text) from error
        except EmptyOrderError as error:
            raise HttpError(HTTPStatus.CONFLICT, "The cart is empty.") from error
        if request.wants_json:
            return Response.json(asdict(order), HTTPStatus.CREATED), 1.0
        return _page(request, pages.ordered(order), HTTPStatus.CREATED), 1.0

    def orders(self, request: Request) -> Answered:
        """Recent orders."""
        limit = _number(request.query.get("limit", "20"), "limit", 1, MOST_ORDERS_SHOWN)
        orders = self._database.recent_orders(limit)
        share = 0.5 + 0.05 * limit
        if request.wants_json:
            return Response.json({"orders": [asdict(order) for order in orders]}), share
        return _page(request, pages.orders(orders)), share

    def recommendations(self, request: Request, item_id: int | None = None) -> Answered:
        """What sells best, or together with an item."""
        try:
            items = self._database.recommended(item_id)
        except UnknownItemError as error:
            raise HttpError(HTTPStatus.NOT_FOUND, "There is no such item.") from error
        if request.wants_json:
            return Response.json({"items": [asdict(item) for item in items]}), 3.0
        title = "Others like" if item_id is None else "Bought together with it"
        return Response.html(pages.recommendations(items, title=title)), 3.0

    def healthz(self, _: Request) -> Answered:
        """That a thread is free to say so."""
        return Response.json({"status": "ok", "waiting": self._waiting()}), 0.0

    def _coupon(self, code: str) -> Coupon | None:
        if not code:
            return None
        try:
            coupon = self._coupons.find(code)
        except CouponsUnavailableError as error:
            text = "Coupons can't be checked now. Order without, or try again in a minute."
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, text) from error
        if coupon is None:
            text = f"There is no coupon {code} today. Nothing was ordered."
            raise HttpError(HTTPStatus.UNPROCESSABLE_ENTITY, text)
        return coupon


_ID = "([1-9][0-9]{0,8})"
_ROUTES: tuple[tuple[str, str, Callable[..., Answered]], ...] = (
    ("GET", "/(?:items)?", Shop.home),
    ("GET", f"/items/{_ID}", Shop.item),
    ("GET", rf"/pictures/{_ID}\.svg", Shop.picture),
    ("GET", "/cart", Shop.cart),
    ("POST", "/cart", Shop.change_cart),
    ("GET", "/orders", Shop.orders),
    ("POST", "/orders", Shop.order),
    ("GET", "/recommendations", Shop.recommendations),
    ("GET", f"/recommendations/{_ID}", Shop.recommendations),
    ("GET", "/healthz", Shop.healthz),
)


def measured_capacity(server: PoolServer, threads: int) -> float:
    """Requests per second that an idle shop serves, found by asking it for `_MEASURING` seconds."""
    end = time.monotonic() + _MEASURING
    answered: list[float] = []

    def ask() -> None:
        ours, theirs = socket.socketpair()
        server.adopt(theirs)
        with ours:
            while True:
                # The work of a GET, but an answer that a client can read without effort: it
                # shares the processor with the shop.
                ours.sendall(b"HEAD /items/1 HTTP/1.1\r\nHost: shop\r\n\r\n")
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += ours.recv(65536)
                if time.monotonic() > end:
                    return
                answered.append(time.monotonic())

    clients = [threading.Thread(target=ask, daemon=True) for _ in range(threads + 2)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    # The first round opens connections to the database, and the last may be cut off by the end:
    # the rate is that of the rounds between.
    return (len(answered) - threads) / (answered[-1] - answered[threads - 1])


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Serve until SIGTERM or SIGINT, then raise SystemExit(0)."""
    parser = argparse.ArgumentParser(
        prog="python -m proxy.demo.shop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--coupons", default="http://127.0.0.1:8001", metavar="URL")
    parser.add_argument("--database", type=Path, metavar="FILE", help="else a temporary one")
    parser.add_argument("--stock", type=int, default=500, help="of each item in a new database")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument(
        "--service-time",
        type=float,
        default=0.04,
        help="seconds that an item's page takes, up to 0.1",
    )
    options = parser.parse_args(arguments)
    if not 0 < options.service_time <= _MEASURING / 5:
        parser.error("--service-time must be over 0 and no more than 0.1")
    try:
        coupons = CouponClient(options.coupons)
    except ValueError as error:
        parser.error(str(error))
    end_on_signals()
    with tempfile.TemporaryDirectory(prefix="old-kiln-") as folder:
        path = options.database or Path(folder) / "shop.db"
        with closing(Database(path, options.stock)) as database:
            _serve(options, database, coupons)


def _serve(options: argparse.Namespace, database: Database, coupons: CouponClient) -> NoReturn:
    effort = Effort(options.service_time)
    shop = Shop(database, coupons, effort, lambda: server.waiting)
    with serving("shop", (options.host, options.port), shop.answer, options.threads) as server:
        capacity = measured_capacity(server, options.threads)
        server.listen()
        print(
            f"shop: http://{options.host}:{server.port}  capacity about "
            f"{round(capacity, -1) or capacity:.0f} requests/s ({options.threads} threads)",
            flush=True,
        )
        wait_for_end()


def _page(request: Request, text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A page; a visitor without a session gets one with it."""
    response = Response.html(text, status)
    return response if _sid(request) else response.adding(_sid_cookie(secrets.token_hex(16)))


def _sid(request: Request) -> str | None:
    sid = request.cookie("sid")
    return sid if sid and re.fullmatch("[0-9A-Za-z_-]{1,64}", sid) else None


def _sid_cookie(sid: str) -> tuple[str, str]:
    return "Set-Cookie", f"sid={sid}; Path=/; HttpOnly; SameSite=Lax"


def _cart(lines: Sequence[Line]) -> dict[str, object]:
    total = sum(line.price_cents * line.quantity for line in lines)
    return {"lines": [asdict(line) for line in lines], "total_cents": total}


def _number(text: str | None, name: str, least: int, most: int) -> int:
    if text is None or not re.fullmatch("[0-9]{1,12}", text) or not least <= int(text) <= most:
        raise HttpError(HTTPStatus.BAD_REQUEST, f"{name} must be {least} to {most}.")
    return int(text)


def _trouble(request: Request, error: HttpError) -> Response:
    if request.wants_json:
        return Response.json({"error": error.text}, error.status)
    return Response.html(pages.trouble(error.status.phrase, error.text), error.status)


if __name__ == "__main__":
    main()
