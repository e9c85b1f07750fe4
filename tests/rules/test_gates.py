"""Breakers and throttles, as the rules write them."""

from pathlib import Path

import pytest

from proxy.policy.outcome import USUAL_FAILURES
from proxy.policy.snapshot import BreakerSpec, FailureSpec, ThrottleSpec
from proxy.rules.load import load
from tests.rules.documents import Table, loaded, report, write


def test_every_key_reaches_the_snapshot(tmp_path: Path) -> None:
    snapshot = loaded(
        tmp_path,
        """\
        routes:
          - name: orders
            match: {path: /orders}
            breaker:
              window: 20s
              min_requests: 30
              error_ratio: 40%
              slow: 300ms
              slow_ratio: 70%
              consecutive_failures: 8
              consecutive_slow: 9
              open: 2s
              longest_open: 20s
              probes: 3
              recovery: 0s
            throttle: {ratio: 1.5, window: 2m, min_requests: 40}
            failures: {statuses: [429, 500, "502-504"], timeouts: false}
          - {name: rest, match: {path: /rest}}
        """,
    )
    orders, rest = snapshot.routes
    assert orders.breaker == BreakerSpec(
        "orders/breaker", 20.0, 30, 0.4, 0.3, 0.7, 8, 9, 2.0, 20.0, 3, 0.0
    )
    assert orders.throttle == ThrottleSpec("orders/throttle", 1.5, 120.0, 40)
    assert orders.failures == FailureSpec(frozenset({429, 500, 502, 503, 504}), timeouts=False)
    assert (rest.breaker, rest.throttle, rest.failures) == (None, None, None)


def test_what_is_left_out_is_as_policy_has_it(tmp_path: Path) -> None:
    text = """\
        version: 1
        listeners: [{name: front, bind: "127.0.0.1:8080", upstream: shop}]
        upstreams:
          shop: {url: "http://127.0.0.1:8000", breaker: {}, throttle: {}, failures: {}}
          plain: {url: "http://127.0.0.1:8001"}
        """
    snapshot = loaded(tmp_path, "")
    assert snapshot.upstreams["shop"].breaker is None
    path = write(tmp_path, text)
    shop, plain = load(path, {}).upstreams.values()
    assert shop.breaker == BreakerSpec("shop/breaker")
    assert shop.throttle == ThrottleSpec("shop/throttle")
    assert shop.failures == plain.failures == USUAL_FAILURES


BAD: Table = {
    "keys that have no effect, or contradict each other": (
        """\
        version: 1
        listeners: [{name: a, bind: "127.0.0.1:8080", upstream: shop}]
        upstreams:
          shop: {url: "http://127.0.0.1:8000", breaker: {slow_ratio: 50%, open: 2m}}
          two: {url: "http://127.0.0.1:8000", breaker: {open: 3s, longest_open: 2s}, throttle: }
          three: {url: "http://127.0.0.1:8000", breaker: {consecutive_slow: 3}}
        routes: [{name: a, match: {path: /a}, breaker: }, {name: b, breaker: {longest_open: 2s}}]
        """,
        [
            "4:62: upstreams.shop.breaker.slow_ratio: has no effect without slow",
            (
                "4:73: upstreams.shop.breaker.open: is longer than longest_open, which is 1m by "
                "default"
            ),
            "5:73: upstreams.two.breaker.longest_open: is shorter than open",
            (
                "5:88: upstreams.two.throttle: holds nothing, so it is off: write {} for what "
                "holds by default"
            ),
            "6:69: upstreams.three.breaker.consecutive_slow: has no effect without slow",
            (
                "7:48: routes[0].breaker: holds nothing, so it is off: write {} for what holds by "
                "default"
            ),
            "7:85: routes[1].breaker.longest_open: is shorter than open, which is 5s by default",
        ],
    ),
    "failures that nobody counts": (
        """\
        version: 1
        listeners: [{name: a, bind: "127.0.0.1:8080", upstream: shop}]
        upstreams:
          shop: {url: "http://127.0.0.1:8000", failures: {timeouts: false}}
        routes: [{name: a, failures: {}}]
        """,
        [
            "4:50: upstreams.shop.failures: has no effect: there is no breaker and no throttle",
            "5:30: routes[0].failures: has no effect: there is no breaker and no throttle",
        ],
    ),
    "values out of range": (
        """\
        version: 1
        listeners: [{name: a, bind: "127.0.0.1:8080", upstream: shop}]
        upstreams: {shop: {url: "http://127.0.0.1:8000"}}
        routes:
          - name: a
            breaker: {error_ratio: 0%, probes: 0, open: 0s, min_requests: 0}
            throttle: {ratio: 0.5}
            failures: {statuses: [404, 500-404, 408-429, "5xx", 200, 503-600]}
        """,
        [
            "6:28: routes[0].breaker.error_ratio: must be above 0%",
            "6:40: routes[0].breaker.probes: must be at least 1",
            "6:49: routes[0].breaker.open: must be longer than 0s",
            "6:67: routes[0].breaker.min_requests: must be at least 1",
            "7:23: routes[0].throttle.ratio: must be at least 1.0",
            (
                "8:27: routes[0].failures.statuses[0]: 404: a failure is 408, 429 or one of 500 "
                "to 599"
            ),
            '8:32: routes[0].failures.statuses[1]: "500-404" starts above its end',
            (
                '8:41: routes[0].failures.statuses[2]: "408-429" spans statuses that are the '
                "request's own fault"
            ),
            (
                '8:50: routes[0].failures.statuses[3]: "5xx" is not a status such as 500 or a '
                "range such as 500-599"
            ),
            (
                "8:57: routes[0].failures.statuses[4]: 200: a failure is 408, 429 or one of 500 "
                "to 599"
            ),
            (
                '8:62: routes[0].failures.statuses[5]: "503-600": a failure is 408, 429 or one of '
                "500 to 599"
            ),
        ],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_keys_that_do_not_fit_are_reported(name: str, tmp_path: Path) -> None:
    text, expected = BAD[name]
    assert report(write(tmp_path, text)) == expected
