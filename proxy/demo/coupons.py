"""The coupon service that the shop calls: `python -m proxy.demo.coupons --port 8001`."""

import argparse
import re
import time
from collections.abc import Sequence
from datetime import date
from http import HTTPStatus
from typing import NoReturn

from proxy.demo.messages import HttpError, Request, Response
from proxy.demo.process import end_on_signals, serving, wait_for_end

_WELCOME = {"code": "WELCOME5", "percent": 5, "text": "For everybody, every day."}
_OF_THE_DAY = (
    {"code": "MOON10", "percent": 10, "text": "Mondays only."},
    {"code": "TEA10", "percent": 10, "text": "Tuesdays only."},
    {"code": "WHEEL15", "percent": 15, "text": "Wednesdays only."},
    {"code": "THROWN10", "percent": 10, "text": "Thursdays only."},
    {"code": "FIRED20", "percent": 20, "text": "Fridays only."},
    {"code": "SALT10", "percent": 10, "text": "Saturdays only."},
    {"code": "SLIP15", "percent": 15, "text": "Sundays only."},
)


class Coupons:
    """Answers requests for coupons, `service_time` seconds for each."""

    def __init__(self, service_time: float) -> None:
        self._service_time = service_time

    def answer(self, request: Request) -> Response:
        """One request's response; always JSON."""
        try:
            time.sleep(self._service_time)
            return Response.json(self._found(request))
        except HttpError as error:
            return Response.json({"error": error.text}, error.status)

    def _found(self, request: Request) -> object:
        if request.method not in ("GET", "HEAD"):
            raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "Coupons can only be read.")
        if request.path == "/healthz":
            return {"status": "ok"}
        today = (_OF_THE_DAY[date.today().weekday()], _WELCOME)
        if request.path == "/coupons":
            return {"coupons": today}
        asked = re.fullmatch("/coupons/([^/]+)", request.path)
        for coupon in today:
            if asked and coupon["code"] == asked[1].upper():
                return coupon
        raise HttpError(HTTPStatus.NOT_FOUND, "There is no such coupon today.")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Serve until SIGTERM or SIGINT, then raise SystemExit(0)."""
    parser = argparse.ArgumentParser(prog="python -m proxy.demo.coupons", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001, help="0 takes a free one")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--service-time", type=float, default=0.005, help="seconds per request")
    options = parser.parse_args(arguments)
    end_on_signals()
    coupons = Coupons(options.service_time)
    address = (options.host, options.port)
    with serving("coupons", address, coupons.answer, options.threads) as server:
        server.listen()
        print(f"coupons: http://{options.host}:{server.port}", flush=True)
        wait_for_end()


if __name__ == "__main__":
    main()
