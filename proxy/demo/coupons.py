"""The coupon service that the shop calls: `python -m proxy.demo.coupons --port 8001`.

It can be told to be in trouble, to see what becomes of those who call it: `POST /be/slow`,
`/be/failing`, `/be/refusing`, and `/be/well` again. `GET /healthz` answers whatever it was told,
and says how often the service was asked for coupons.
"""

import argparse
import re
import threading
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
MOODS = ("well", "slow", "failing", "refusing")
RETRY_AFTER = 1
"""Seconds after which it says that it may be asked again when it refuses."""


class Coupons:
    """Answers requests for coupons, in `service_time` seconds if it is well, or in `slow_time`."""

    def __init__(self, service_time: float, slow_time: float) -> None:
        self._service_time = service_time
        self._slow_time = slow_time
        self._mood = "well"
        self._asked = 0
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        """One request's response; always JSON."""
        try:
            return self._answered(request)
        except HttpError as error:
            return Response.json({"error": error.text}, error.status)

    def _answered(self, request: Request) -> Response:
        if request.method == "POST" and (told := re.fullmatch("/be/([a-z]+)", request.path)):
            if told[1] not in MOODS:
                raise HttpError(HTTPStatus.NOT_FOUND, f"It can be {', '.join(MOODS)}.")
            self._mood = told[1]
            return Response.json({"status": told[1]})
        if request.method not in ("GET", "HEAD"):
            raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, "Coupons can only be read.")
        if request.path == "/healthz":
            return Response.json({"status": self._mood, "asked": self._asked})
        with self._lock:
            self._asked += 1
        match self._mood:
            case "failing":
                raise HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, "Something is broken.")
            case "refusing":
                error = {"error": "Too many ask for coupons."}
                later = ("Retry-After", str(RETRY_AFTER))
                return Response.json(error, HTTPStatus.TOO_MANY_REQUESTS).adding(later)
            case mood:
                time.sleep(self._slow_time if mood == "slow" else self._service_time)
        return Response.json(self._found(request))

    def _found(self, request: Request) -> object:
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
    parser = argparse.ArgumentParser(
        prog="python -m proxy.demo.coupons",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001, help="0 takes a free one")
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--service-time", type=float, default=0.005, help="seconds per request")
    parser.add_argument("--slow-time", type=float, default=2.0, help="the same, when it is slow")
    options = parser.parse_args(arguments)
    end_on_signals()
    coupons = Coupons(options.service_time, options.slow_time)
    address = (options.host, options.port)
    with serving("coupons", address, coupons.answer, options.threads) as server:
        server.listen()
        print(f"coupons: http://{options.host}:{server.port}", flush=True)
        wait_for_end()


if __name__ == "__main__":
    main()
