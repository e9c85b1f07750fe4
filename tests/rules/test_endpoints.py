"""Upstreams with several endpoints: what they become, and what is said of mistakes."""

from pathlib import Path

import pytest

from proxy.policy.endpoint_spec import BalanceSpec, EjectionSpec, Place, ResolveSpec
from proxy.rules.load import load
from tests.rules.documents import report, write

SHAPE = """\
version: 1
listeners: [{{name: front, bind: 127.0.0.1:8080, upstream: shop}}]
upstreams: {{shop: {{{}}}}}
"""


@pytest.mark.parametrize(
    ("keys", "balance"),
    [
        ("url: http://shop.example", None),
        (
            "endpoints: ['http://10.0.0.1:8001', 'http://ten:8002']",
            BalanceSpec((Place("10.0.0.1", 8001), Place("ten", 8002))),
        ),
        (
            "endpoints: ['unix:/run/a', 'unix:/run/b']",
            BalanceSpec((Place("localhost", 80, "/run/a"), Place("localhost", 80, "/run/b"))),
        ),
        ("url: http://shop.example, resolve: {}", BalanceSpec(resolve=ResolveSpec())),
        # What failures are is for the ejection to know, too.
        (
            "endpoints: [http://a], failures: {timeouts: false}",
            BalanceSpec((Place("a", 80),)),
        ),
        (
            "url: http://shop.example, resolve: {nameserver: '[::1]:53', every: 5s}",
            BalanceSpec(resolve=ResolveSpec(("::1", 53), 5.0)),
        ),
        (
            (
                "endpoints: [http://a], ejection: {consecutive_failures: 3, error_ratio: 10%, "
                "min_requests: 7, window: 8s, time: 9s, max_time: 10s, max_ejected: 11%}"
            ),
            BalanceSpec((Place("a", 80),), ejection=EjectionSpec(3, 0.1, 7, 8.0, 9.0, 10.0, 0.11)),
        ),
    ],
)
def test_what_is_written_is_what_is_meant(
    keys: str, balance: BalanceSpec | None, tmp_path: Path
) -> None:
    snapshot = load(write(tmp_path, SHAPE.format(keys)), {})
    assert snapshot.upstreams["shop"].balance == balance


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("timeouts: {}", ["upstreams.shop.url: is missing; or else endpoints, which are several"]),
        ("url: ", ["upstreams.shop.url: is missing; or else endpoints, which are several"]),
        ("endpoints: []", ["upstreams.shop.endpoints: must not be empty"]),
        (
            "url: http://a, endpoints: [http://b]",
            ["upstreams.shop.endpoints: there is a url already: either that or these"],
        ),
        (
            "endpoints: [http://a, http://b, 'http://a:80/']",
            ["upstreams.shop.endpoints[2]: is endpoints[0] again"],
        ),
        (
            "endpoints: [http://a, https://b]",
            ["upstreams.shop.endpoints[1]: is not of the first one's scheme"],
        ),
        (
            "endpoints: [http://a, 'http://127.0.0.1:8080']",
            ["upstreams.shop.endpoints[1]: a loop: listeners[0] listens there"],
        ),
        (
            "endpoints: [http://a], tls: {}",
            ["upstreams.shop.tls: has no effect: the url is not https"],
        ),
        (
            "endpoints: [http://a], resolve: {}",
            ["upstreams.shop.resolve: has no effect without a url, whose name it looks up"],
        ),
        *(
            (
                f"url: '{url}', resolve: {{}}",
                ["upstreams.shop.resolve: has no effect: the url holds no name"],
            )
            for url in ("http://10.0.0.1", "http://[::1]:80", "unix:/run/shop")
        ),
        (
            "url: http://a, resolve: ",
            [
                (
                    "upstreams.shop.resolve: holds nothing, so it is off: "
                    "write {} for what holds by default"
                )
            ],
        ),
        (
            "url: http://a, ejection: {}",
            ["upstreams.shop.ejection: has no effect without endpoints or resolve"],
        ),
        (
            "endpoints: [http://a, http://b], ejection: {max_ejected: 49%}",
            [
                (
                    "upstreams.shop.ejection.max_ejected: of 2 endpoints that is none; "
                    "write 0% if it is meant"
                )
            ],
        ),
        (
            "endpoints: [http://a], ejection: {time: 6m}",
            ["upstreams.shop.ejection.time: is longer than max_time, which is 5m by default"],
        ),
        (
            "endpoints: [http://a], ejection: {max_time: 9s}",
            ["upstreams.shop.ejection.max_time: is shorter than time, which is 10s by default"],
        ),
        (
            "endpoints: [http://a], ejection: {time: 9s, max_time: 8s}",
            ["upstreams.shop.ejection.time: is longer than max_time"],
        ),
        (
            "endpoints: [http://a], ejection: {error_ratio: 0%}",
            ["upstreams.shop.ejection.error_ratio: must be above 0%"],
        ),
        (
            "url: http://a, resolve: {nameserver: 'dns:53'}",
            [
                (
                    'upstreams.shop.resolve.nameserver: "dns:53" is a name: '
                    "write the nameserver's IP address"
                )
            ],
        ),
        (
            "url: http://a, resolve: {nameserver: '10.0.0.1:0'}",
            ["upstreams.shop.resolve.nameserver: port 0 can't be asked"],
        ),
        (
            "url: http://a, resolve: {nameserver: 10.0.0.1}",
            [
                (
                    'upstreams.shop.resolve.nameserver: "10.0.0.1" is not an address such as '
                    "127.0.0.1:8080 or [::1]:8080"
                )
            ],
        ),
        (
            f"endpoints: [{', '.join(f'http://h{number}' for number in range(257))}]",
            ["upstreams.shop.endpoints: must not have more than 256 entries"],
        ),
    ],
)
def test_mistakes_are_explained(keys: str, said: list[str], tmp_path: Path) -> None:
    found = report(write(tmp_path, SHAPE.format(keys)))

    assert [each.split(": ", 1)[1] for each in found] == said
    assert all(each.startswith("3:") for each in found)
