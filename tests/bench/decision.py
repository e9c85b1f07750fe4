"""What one decision costs: `Engine.decide` and `Engine.settle`, without a socket. And what it costs
to know of the load: see `sampling`.

python -m tests.bench.decision [--repeats 9]
"""

import argparse
import gc
import random
from collections.abc import Callable, Sequence
from statistics import median
from time import process_time

from proxy.policy.answers import Answer, Form
from proxy.policy.engine import Engine
from proxy.policy.keys import KeyKind, KeySource
from proxy.policy.reasons import Reason
from proxy.policy.request import Request
from proxy.policy.snapshot import (
    ConcurrencySpec,
    LimitSpec,
    ListenerSpec,
    RateSpec,
    RouteSpec,
    Snapshot,
    UpstreamSpec,
)
from proxy.policy.verdict import Completion, State
from tests.bench import sampling
from tests.bench.machine import table

LISTENER = "storefront"
ROUTES = 1000
VISITORS = 2000
BATCH = 50
WIDE, NARROW = 1e6, 1e-3
"""Rates of which one admits and one refuses all that is asked here."""

CLIENT = KeySource(KeyKind.CLIENT_ADDRESS)
ITEM = KeySource(KeyKind.PATH, "item")
COOKIE = KeySource(KeyKind.COOKIE, "sid")

BROWSER = (
    (b"Host", b"shop.test"),
    (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"Accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"Accept-Language", b"en-GB,en;q=0.5"),
    (b"Accept-Encoding", b"gzip, deflate, br"),
    (b"Referer", b"https://shop.test/sale"),
    (b"Connection", b"keep-alive"),
    (b"Upgrade-Insecure-Requests", b"1"),
    (b"Sec-Fetch-Dest", b"document"),
    (b"Sec-Fetch-Mode", b"navigate"),
    (b"Sec-Fetch-Site", b"same-origin"),
)


PATHS = (("one page", 1, 1), ("one route", 1, 10**6), ("all routes", ROUTES, 10**6))
"""Over how many routes, and pages of each, the requests are spread: what is asked for often is
remembered, and what is asked for by everybody is in the processor's cache.
"""

LimitsOf = Callable[[int, float], list[LimitSpec]]


def measure(repeats: int = 9) -> str:
    """The report: microseconds of a decision and of a decision with its settling, each the median
    of `repeats`.
    """
    rows = []
    for name, limits_of in (("two limits", _two), ("five limits", _five)):
        for fate, rate, state in (
            ("admitted", WIDE, State.FORWARD),
            ("refused", NARROW, State.REFUSE),
        ):
            engine = Engine(_rules(limits_of, rate), 0.0, random.random)
            # As the process does when its rules are loaded.
            gc.collect()
            gc.freeze()
            for paths, routes, pages in PATHS:
                visitors = [_Visitor(routes, pages) for _ in range(VISITORS)]
                for visitor in visitors:
                    _ask(engine, visitor.request())
                times = [_time(engine, visitors, state) for _ in range(repeats)]
                decide, both = (median(each) for each in zip(*times, strict=True))
                rows.append([f"{name}, {fate}, {paths}", f"{decide:.2f}", f"{both:.2f}"])
    heads = [f"a route among {ROUTES:,}, us", "decide", "decide and settle"]
    return table(heads, rows)


def _two(route: int, rate: float) -> list[LimitSpec]:
    """For all and by client: what most routes have."""
    return [_rate(f"{route}-all", rate, None), _rate(f"{route}-client", rate, CLIENT)]


def _five(route: int, rate: float) -> list[LimitSpec]:
    """For all, by client, by path parameter, by cookie; and places."""
    sources = (None, CLIENT, ITEM, COOKIE)
    rates = [_rate(f"{route}-{number}", rate, per) for number, per in enumerate(sources)]
    return [*rates, ConcurrencySpec(f"{route}-places", VISITORS)]


def _rate(name: str, rate: float, per: KeySource | None) -> LimitSpec:
    return RateSpec(name, rate, max(1, int(rate)), 1, 1, per)


def _rules(limits_of: LimitsOf, rate: float) -> Snapshot:
    answers = {
        reason: Answer(
            reason, reason.status, (Form("text/html", "", b"", b"", (b"",)),), (2.0, 6.0)
        )
        for reason in Reason
    }
    limits: dict[str, LimitSpec] = {}
    routes = []
    for number in range(ROUTES):
        own = {each.name: each for each in limits_of(number, rate)}
        limits |= own
        path = f"/r{number}/{{item}}/**"
        routes.append(RouteSpec(path, path, frozenset({"GET"}), limits=tuple(own), answers=answers))
    listeners = (ListenerSpec(LISTENER, "::1", 1, "shop"),)
    upstreams = {"shop": UpstreamSpec("shop", "::1", 2)}
    return Snapshot(listeners, upstreams, tuple(routes), limits, answers)


class _Visitor:
    """Comes back: what it is counted by is known by then, but not the whole path, unless there is
    but one page.
    """

    def __init__(self, routes: int, pages: int) -> None:
        self._pages = pages
        self._route = random.randrange(routes)
        self._item = random.randrange(pages)
        self._client = b"192.0.2.%d" % random.randrange(256)
        self._cookie = b"theme=dark; sid=%032x; seen=3" % random.getrandbits(128)

    def request(self) -> Request:
        """A fresh one, as a lane would make it."""
        path = f"/r{self._route}/{self._item}/{random.randrange(self._pages)}"
        fields = (*BROWSER, (b"Cookie", self._cookie))
        return Request("GET", "shop.test", path, b"", fields, b"@%b" % self._client)


def _ask(engine: Engine, about: Request) -> None:
    verdict = engine.decide(LISTENER, about, 0.0, _wake)
    engine.settle(verdict, Completion(200, 0.0, 0.0), 0.0)


def _time(engine: Engine, visitors: Sequence[_Visitor], state: State) -> tuple[float, float]:
    """Microseconds of processor time of each decision, and of each with its settling."""
    decide = both = 0.0
    # A few at a time, for what a lane has just read is in the processor's cache.
    for _ in range(VISITORS // BATCH):
        requests = [visitor.request() for visitor in random.sample(visitors, BATCH)]
        begun = process_time()
        verdicts = [engine.decide(LISTENER, about, 1.0, _wake) for about in requests]
        decide += process_time() - begun
        for verdict in verdicts:
            if verdict.state is not state:
                raise SystemExit(f"{verdict.state} instead of {state}")
            engine.settle(verdict, Completion(200, 0.001, 0.0001), 1.0)

        requests = [visitor.request() for visitor in random.sample(visitors, BATCH)]
        begun = process_time()
        for about in requests:
            verdict = engine.decide(LISTENER, about, 1.0, _wake)
            engine.settle(verdict, Completion(200, 0.001, 0.0001), 1.0)
        both += process_time() - begun
    return decide / VISITORS * 1e6, both / VISITORS * 1e6


def _wake() -> None:
    raise AssertionError("nobody waits here")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="decision")
    parser.add_argument("--repeats", type=int, default=9, help="of 2,000 requests each (9)")
    repeats = parser.parse_args().repeats
    print(f"{measure(repeats)}\n\n{sampling.measure(repeats)}")


if __name__ == "__main__":
    main()
