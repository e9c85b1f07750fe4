"""Keys that make no sense together."""

from pathlib import Path

import pytest

from tests.rules.documents import SHORTEST, Table, loaded, report, write

BAD: Table = {
    "combinations that can't be": (
        """\
        version: 1
        listeners: [{name: a, bind: "127.0.0.1:8080", upstream: shop}]
        admin: {token: "with space"}
        upstreams:
          shop: {url: "http://127.0.0.1:8000", tls: {verify: false}}
          own: {url: "https://127.0.0.1:8000", tls: {verify: false, ca_file: none.pem}}
          few: {url: "http://127.0.0.1:8000", adaptive_concurrency: {min: 9, max: 8}}
        pages:
          empty: {status: 200}
          moved: {status: 301, text: none.txt}
          zh: {html: {zh-CN: none.html, "": none.html}, retry_after: 6s..2s}
        """,
        [
            "3:16: admin.token: must be printable ASCII without spaces",
            "5:45: upstreams.shop.tls: has no effect: the url is not https",
            "6:70: upstreams.own.tls.ca_file: has no effect while verify is false",
            "6:70: upstreams.own.tls.ca_file: none.pem can't be read: No such file or directory",
            "7:67: upstreams.few.adaptive_concurrency.min: is more than max",
            "9:19: pages.empty.status: a page with a status needs a form: html, json or text",
            "10:19: pages.moved.status: 301 can't be a page's status: 200 to 203, or 400 to 599",
            "10:30: pages.moved.text: none.txt can't be read: No such file or directory",
            '11:15: pages.zh.html.zh-CN: "zh-CN" is not a primary language tag such as en or zh',
            "11:22: pages.zh.html.zh-CN: none.html can't be read: No such file or directory",
            '11:37: pages.zh.html[""]: none.html can\'t be read: No such file or directory',
            '11:62: pages.zh.retry_after: "6s..2s" starts above its end',
        ],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_keys_that_do_not_fit_are_reported(name: str, tmp_path: Path) -> None:
    text, expected = BAD[name]

    assert report(write(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("admin", "expected"),
    [
        (
            "{bind: '0.0.0.0:9901'}",
            ["4:15: admin.bind: others can reach this address: set a token"],
        ),
        (
            "{bind: '[::]:9901', token: ''}",
            ["4:15: admin.bind: others can reach this address: set a token"],
        ),
        (
            "{bind: 'x.example:9', token: a b}",
            ["4:37: admin.token: must be printable ASCII without spaces"],
        ),
    ],
)
def test_an_admin_address_that_others_reach_needs_a_token(
    tmp_path: Path, admin: str, expected: list[str]
) -> None:
    assert report(write(tmp_path, f"{SHORTEST}admin: {admin}\n")) == expected
    assert (
        loaded(tmp_path, "admin: {bind: '0.0.0.0:9901', token: secret}\n").admin.token == "secret"
    )


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("{concurrency: 5, queue: 5}", "queue: needs a queue_timeout"),
        ("{concurrency: 5, queue_timeout: 1s}", "queue_timeout: has no effect without a queue"),
        ("{concurrency: 5, queue: 0, order: fifo}", "order: has no effect without a queue"),
        ("{rate: 5/s, max_keys: 5}", "max_keys: has no effect without per"),
    ],
)
def test_a_limit_s_keys_need_each_other_wherever_it_stands(
    tmp_path: Path, limit: str, message: str
) -> None:
    text = f"limits: {{a: {limit}}}\nroutes: [{{name: r, limits: [{limit}]}}]\n"

    lines = [line.partition(" ")[2] for line in report(write(tmp_path, SHORTEST + text))]

    assert lines == [f"limits.a.{message}", f"routes[0].limits[0].{message}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "routes: [{name: a, snapshot_key: {query: [b]}}]",
            "routes[0].snapshot_key: has no effect without cache or fallback.snapshot",
        ),
        (
            "routes: [{name: a, match: {methods: [POST]}, cache: {ttl: 1s}}]",
            "routes[0].cache: has no effect: the route takes no GET",
        ),
        (
            "routes: [{name: a, match: {methods: [POST]}, fallback: {snapshot: 1s}}]",
            "routes[0].fallback.snapshot: has no effect: the route takes no GET",
        ),
        (
            "snapshots: {memory: 20MiB, largest: 3MiB}",
            "snapshots.largest: the largest (1MiB by default) is over a tenth of the memory",
        ),
        (
            "snapshots: {memory: 1MiB}",
            "snapshots.memory: the largest (1MiB by default) is over a tenth of the memory",
        ),
        (
            "routes: [{name: a, cache: {ttl: 0s}}]",
            "routes[0].cache.ttl: must be longer than 0s",
        ),
        (
            "routes: [{name: a, cache: {coalesce: true}}]",
            "routes[0].cache.ttl: is missing",
        ),
        (
            'routes: [{name: a, cache: {ttl: 1s}, snapshot_key: {query: ["a[]"]}}]',
            (
                'routes[0].snapshot_key.query[0]: "a[]" is not a name of ASCII letters, digits,'
                " '_' and '-'"
            ),
        ),
        (
            'routes: [{name: a, cache: {ttl: 1s}, snapshot_key: {cookies: ["*"]}}]',
            'routes[0].snapshot_key.cookies[0]: "*" can\'t be the name of a field or cookie',
        ),
    ],
)
def test_what_is_kept_in_vain_is_reported(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = report(write(tmp_path, f"{SHORTEST}{text}\n"))
    assert line.partition(": ")[2] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shedding:\n", "2:10: shedding"),
        ("shedding: {signals: {cpu: , load: {}}}\n", "2:27: shedding.signals.cpu"),
        (
            'upstreams: {shop: {url: "http://127.0.0.1:8000", adaptive_concurrency: }}\n',
            "2:72: upstreams.shop.adaptive_concurrency",
        ),
    ],
)
def test_what_is_on_by_being_there_must_not_be_empty(
    tmp_path: Path, text: str, expected: str
) -> None:
    problems = report(write(tmp_path, f"version: 1\n{text}"))
    why = "holds nothing, so it is off: write {} for what holds by default"
    assert f"{expected}: {why}" in problems
