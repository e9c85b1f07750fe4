"""Keys that make no sense together."""

from pathlib import Path

import pytest

from tests.rules.documents import SHORTEST, Table, loaded, report, write

SPEAKS = "has no effect: a trusted proxy speaks for others"
EMPTY = "holds nothing, so it is off: write {} for what holds by default"
FORMS = "client_address, header:NAME, cookie:NAME, query:NAME or path:NAME"

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
    "advice that can't be": (
        """\
        version: 1
        listeners:
          - name: a
            bind: "127.0.0.1:8080"
            upstream: shop
            trusted_proxies: [10.0.0.0/8, "2001:db8::/32"]
            advise: {rate: 5/s, callers: [192.0.2.1, 10.1.0.0/16, 10.0.0.0/7, "2001:db8::1"]}
          - {name: b, bind: "127.0.0.1:8081", upstream: shop, advise: {rate: 5/s, callers: []}}
          - {name: c, bind: "127.0.0.1:8082", upstream: shop, advise: {rate: 5/s}}
          - {name: d, bind: "127.0.0.1:8083", upstream: shop, advise: }
        upstreams:
          shop: {url: "http://127.0.0.1:8000", obey_advice: }
          other: {url: "http://127.0.0.1:8000", obey_advice: {age: 5s}}
        limits:
          one: {rate: 5/s, per: caller}
        """,
        [
            f"7:46: listeners[0].advise.callers[1]: {SPEAKS}",
            f"7:71: listeners[0].advise.callers[3]: {SPEAKS}",
            "8:84: listeners[1].advise.callers: must not be empty",
            "9:63: listeners[2].advise.callers: is missing",
            "10:63: listeners[3].advise: holds nothing: it needs rate and callers",
            f"12:53: upstreams.shop.obey_advice: {EMPTY}",
            '13:55: upstreams.other.obey_advice.age: unknown key; did you mean "max_age"?',
            f'15:25: limits.one.per: "caller" is not one of {FORMS}',
        ],
    ),
}


BAD["listeners and pools"] = (
    """\
    version: 1
    listeners:
      - {name: a, bind: "127.0.0.1:8080"}
      - {name: b, bind: "127.0.0.1:8081", upstream: null}
      - {name: c, bind: "127.0.0.1:8082", direction: outbound, hosts: {}}
      - {name: d, bind: "127.0.0.1:8083", hosts: {a.example: a}}
      - {name: e, bind: "127.0.0.1:8084", direction: outbond, upstream: a}
      - {name: f, bind: "127.0.0.1:8085", upstraem: a}
      - {name: g, bind: "127.0.0.1:8086", direction: outbound, hosts: {a.example: a}}
    upstreams:
      a: {url: "http://127.0.0.1:8000", pool: {connections: 0}}
      b: {url: "http://127.0.0.1:8000", pool: {connections: 4, pending: 4}}
      c: {url: "http://127.0.0.1:8000", pool: {connections: 4, pending_timeout: 1s}}
      d: {url: "http://127.0.0.1:8000", pool: null}
      e: {url: "http://127.0.0.1:8000", pool: {pending: 4, pending_timeout: 1s}}
    """,
    [
        "3:5: listeners[0].upstream: is missing",
        "4:49: listeners[1].upstream: is missing",
        "5:5: listeners[2].upstream: is missing",
        "6:5: listeners[3].upstream: is missing",
        "6:46: listeners[3].hosts: has no effect: only an outbound listener is a proxy for hosts",
        (
            '7:50: listeners[4].direction: "outbond" is not inbound or outbound; did you mean'
            ' "outbound"?'
        ),
        '8:39: listeners[5].upstraem: unknown key; did you mean "upstream"?',
        "11:57: upstreams.a.pool.connections: must be at least 1",
        "12:69: upstreams.b.pool.pending: needs a pending_timeout",
        "13:77: upstreams.c.pool.pending_timeout: has no effect without pending",
        "14:43: upstreams.d.pool: holds nothing, so it is off: say how many connections",
        "15:43: upstreams.e.pool.connections: is missing",
    ],
)


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
        (
            'upstreams: {shop: {url: "http://127.0.0.1:8000", retry: }}\n',
            "2:57: upstreams.shop.retry",
        ),
    ],
)
def test_what_is_on_by_being_there_must_not_be_empty(
    tmp_path: Path, text: str, expected: str
) -> None:
    problems = report(write(tmp_path, f"version: 1\n{text}"))
    why = "holds nothing, so it is off: write {} for what holds by default"
    assert f"{expected}: {why}" in problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "retry: {budget: 0%, min_per_second: 0}",
            "budget: leaves no retries at all, with min_per_second: 0",
        ),
        ("retry: {attempts: 1}", "attempts: must be at least 2"),
        ("retry: {backoff: 0s..1s}", "backoff: must begin above 0s: it is doubled from there"),
        (
            "retry: {statuses: [404]}",
            "statuses[0]: 404 is no failure that may pass: 429, or 500 to 599",
        ),
        ("retry: {statuses: [true]}", "statuses[0]: true is not a status such as 503"),
    ],
)
def test_what_can_t_be_retried_is_reported(tmp_path: Path, text: str, expected: str) -> None:
    shop = 'shop: {url: "http://127.0.0.1:8000"'
    (line,) = report(write(tmp_path, SHORTEST.replace(shop, f"{shop}, {text}")))
    assert line.partition(": upstreams.shop.retry.")[2] == expected


@pytest.mark.parametrize(
    "name", ["Host", "content-length", "X-Forwarded-For", "connection", "planb-attempt"]
)
def test_a_deadline_is_in_a_field_that_means_nothing_else(tmp_path: Path, name: str) -> None:
    listener = "upstream: shop}]"
    rules = SHORTEST.replace(listener, f"upstream: shop, deadline_header: {name}}}]")
    (line,) = report(write(tmp_path, rules))
    assert line.endswith(f'listeners[0].deadline_header: "{name}" has a meaning of its own')
