"""How the shop asks the coupon service: with little patience, and able to do without."""

import json
from contextlib import closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import quote, urlsplit


class CouponsUnavailableError(Exception):
    """The coupon service did not answer in time, or not sensibly."""


@dataclass(frozen=True)
class Coupon:
    """A `code` that takes `percent` off an order."""

    code: str
    percent: int
    text: str


class CouponClient:
    """Asks the service at `url`, on a new connection each time.

    `timeout` is in seconds, for each step of an exchange. ValueError for a `url` that is none.
    """

    def __init__(self, url: str, timeout: float = 0.25) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url} is not an address like http://127.0.0.1:8001")
        self._address = (parts.hostname, parts.port or 80)
        self._timeout = timeout

    def today(self) -> list[Coupon]:
        """Today's coupons; none if the service is away: a page is worth showing without."""
        try:
            found = self._get("/coupons")
            coupons = found["coupons"] if found else []
            if not isinstance(coupons, list):
                return []
            return [_coupon(value) for value in coupons]
        except (CouponsUnavailableError, KeyError, TypeError, ValueError):
            return []

    def find(self, code: str) -> Coupon | None:
        """The coupon `code`, None if there is none. Raises CouponsUnavailableError.

        An order whose price is not known must not be placed, so here absence is an error.
        """
        try:
            found = self._get(f"/coupons/{quote(code, safe='')}")
            return _coupon(found) if found else None
        except (KeyError, TypeError, ValueError) as error:
            raise CouponsUnavailableError from error

    def _get(self, path: str) -> dict[str, object] | None:
        """The JSON object at `path`; None for 404."""
        host, port = self._address
        try:
            with closing(HTTPConnection(host, port, timeout=self._timeout)) as connection:
                headers = {"Accept": "application/json", "Connection": "close"}
                connection.request("GET", path, headers=headers)
                response = connection.getresponse()
                status, body = response.status, response.read()
        except (OSError, HTTPException) as error:
            raise CouponsUnavailableError from error
        if status == HTTPStatus.NOT_FOUND:
            return None
        found = json.loads(body) if status == HTTPStatus.OK else None
        if not isinstance(found, dict):
            raise CouponsUnavailableError
        return found


def _coupon(value: object) -> Coupon:
    if not isinstance(value, dict):
        raise TypeError(value)
    percent = int(value["percent"])
    if not 0 <= percent <= 100:
        raise ValueError(percent)
    return Coupon(str(value["code"]), percent, str(value.get("text", "")))
