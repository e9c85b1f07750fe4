"""The shop of the bench of a sick service: its one page takes a while, and then asks for coupons.

python -m tests.bench.dependency_shop --port PORT --coupons URL [URL...]

`GET /counts` tells how many pages had coupons and how many had none.
"""

import argparse
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence

from proxy.demo.coupon_client import CouponClient
from proxy.demo.messages import Request, Response
from proxy.demo.process import end_on_signals, serving, wait_for_end

WORK = 0.05
"""Seconds that a page takes without coupons, in its database say."""
PATIENCE = 1.0
"""Seconds for which it waits for coupons: shorter than the default of any HTTP library."""
THREADS = 64
"""So it serves 1,000 pages a second while coupons take no time, and 60 while they take PATIENCE."""


class Shop:
    """Answers its requests; it asks one of the `urls` for coupons, any of them."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._clients = [CouponClient(url, PATIENCE) for url in urls]
        self._counts = Counter[str](with_coupons=0, without_coupons=0)
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Response:
        """One request's response."""
        if request.path == "/counts":
            return Response.json(self._counts)
        time.sleep(WORK)
        coupons = random.choice(self._clients).today()
        with self._lock:
            self._counts["with_coupons" if coupons else "without_coupons"] += 1
        return Response.html("".join(f"<p>{each.code}</p>" for each in coupons) or "<p>Welcome</p>")


def main() -> None:
    """The command: serves until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--coupons", nargs="+", required=True, metavar="URL")
    options = parser.parse_args()
    end_on_signals()
    shop = Shop(options.coupons)
    with serving("shop", ("127.0.0.1", options.port), shop.answer, THREADS) as server:
        server.listen()
        wait_for_end()


if __name__ == "__main__":
    main()
