"""The shop of the bench of a sick service: its one page takes a while, and then asks for coupons.

python -m tests.bench.dependency_shop --port PORT --counts-port PORT --coupons URL [URL...]

On its other port it tells how many pages had coupons and how many had none: in the queue before
its pages that would take minutes.
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

    def counts(self, _: Request) -> Response:
        """How many pages it has made, of each kind."""
        return Response.json(self._counts)

    def page(self, _: Request) -> Response:
        """Its page."""
        time.sleep(WORK)
        coupons = random.choice(self._clients).today()
        with self._lock:
            self._counts["with_coupons" if coupons else "without_coupons"] += 1
        return Response.html("".join(f"<p>{each.code}</p>" for each in coupons) or "<p>Welcome</p>")


def main() -> None:
    """The command: serves until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--counts-port", type=int, required=True)
    parser.add_argument("--coupons", nargs="+", required=True, metavar="URL")
    options = parser.parse_args()
    end_on_signals()
    shop = Shop(options.coupons)
    with (
        serving("counts", ("127.0.0.1", options.counts_port), shop.counts, 1) as counts,
        serving("shop", ("127.0.0.1", options.port), shop.page, THREADS) as pages,
    ):
        counts.listen()
        pages.listen()
        wait_for_end()


if __name__ == "__main__":
    main()
