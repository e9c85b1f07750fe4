"""What parts of a document say about each other."""

from pathlib import Path

import pytest

from proxy.rules.load import load
from proxy.rules.problems import RulesError
from tests.rules.documents import SHORTEST, Table, report, write

BAD: Table = {
    "limits that are none": (
        """\
        version: 1
        listeners: [{name: front, bind: "127.0.0.1:8080", upstream: shop, limits: [all, byp]}]
        upstreams: {shop: {url: "http://127.0.0.1:8000"}}
        limits:
          by-path: {rate: 5/s, per: "path:item", name: x}
          all: {rate: 0/s}
        routes:
          - name: item
            match: {path: "/items/{item_id}"}
            limits:
              - {rate: 5/s, concurrency: 3}
              - {burst: 5}
              - 7
              - alll
              - all
              - all
              - by-path
              - {pace: 5/s, max_wait: 1s, max_keys: 5, name: all}
              - {concurrency: 5, queue: 5}
              - {concurrency: 5, order: lifo}
              - {rate: 5/s, per: "cookies:sid", priority: high, mode: shade}
              - {concurrency: 0, per: "path:x"}
        """,
        [
            '2:81: listeners[0].limits[1]: no limit "byp"; did you mean "by-path"?',
            "5:42: limits.by-path.name: its name is the key that it stands under",
            "6:15: limits.all.rate: must be above 0",
            (
                "11:21: routes[0].limits[0].concurrency: a limit has one kind; make two limits of"
                " rate and concurrency"
            ),
            "12:9: routes[0].limits[1]: a limit needs one of rate, pace and concurrency",
            "13:9: routes[0].limits[2]: 7 is not a mapping",
            '14:9: routes[0].limits[3]: no limit "alll"; did you mean "all"?',
            "16:9: routes[0].limits[5]: stands in this list already",
            (
                '17:9: routes[0].limits[6]: counts by the path parameter "item", which '
                "/items/{item_id} does not have"
            ),
            "18:45: routes[0].limits[7].max_keys: has no effect without per",
            "18:54: routes[0].limits[7].name: limits.all has this name already",
            "19:33: routes[0].limits[8].queue: needs a queue_timeout",
            (
                '20:33: routes[0].limits[9].order: "lifo" is not fifo or adaptive_lifo; did you '
                'mean "fifo"?'
            ),
            "20:33: routes[0].limits[9].order: has no effect without a queue",
            (
                '21:26: routes[0].limits[10].per: "cookies:sid" is not one of client_address, '
                'header:NAME, cookie:NAME, query:NAME or path:NAME; did you mean "cookie"?'
            ),
            "21:41: routes[0].limits[10].priority: unknown key",
            (
                '21:63: routes[0].limits[10].mode: "shade" is not enforce or shadow; did you mean'
                ' "shadow"?'
            ),
            "22:23: routes[0].limits[11].concurrency: must be at least 1",
            (
                '22:31: routes[0].limits[11].per: counts by the path parameter "x", which '
                "/items/{item_id} does not have"
            ),
        ],
    ),
    "names that lead nowhere": (
        """\
        version: 1
        listeners:
          - {name: front, bind: 127.0.0.1:8080, upstream: shpo}
          - {name: front, bind: 127.0.0.1:8081, upstream: shop}
        upstreams: {shop: {url: "http://127.0.0.1:8000"}}
        routes:
          - {name: a, match: {path: /a}, fallback: {page: bsy, by_reason: {rat: busy, pace: x}}}
          - {name: a, match: {path: /b}}
          - {name: unmatched, match: {path: /c}, limits: [{rate: 1/s, name: n}]}
          - {name: d, match: {path: /d}, limits: [{rate: 1/s, name: n}, n]}
        fallback: {page: nice}
        """,
        [
            '3:51: listeners[0].upstream: no upstream "shpo"; did you mean "shop"?',
            "4:12: listeners[1].name: listeners[0] has this name already",
            '7:51: routes[0].fallback.page: no page "bsy"; did you mean "busy"?',
            '7:68: routes[0].fallback.by_reason.rat: not a reason; did you mean "rate"?',
            '7:85: routes[0].fallback.by_reason.pace: no page "x"',
            "8:12: routes[1].name: routes[0] has this name already",
            "9:12: routes[2].name: means the requests that no route takes",
            "10:61: routes[3].limits[0].name: routes[2].limits[0] has this name already",
            '10:65: routes[3].limits[1]: no limit "n"',
            '11:18: fallback.page: no page "nice"',
        ],
    ),
    "hosts and listeners of outbound calls": (
        """\
        version: 1
        listeners:
          - {name: Front, bind: 127.0.0.1:8080, upstream: shop}
          - name: calls
            bind: 127.0.0.1:8081
            direction: outbound
            upstream: cupons
            hosts:
              a.example: shop
              A.example.:80: coupons
              b.example: copons
              "*.example": shop
        upstreams: {shop: {url: "http://127.0.0.1:8000"}, coupons: {url: "http://127.0.0.1:8001"}}
        routes:
          - {name: a, match: {path: /a, listeners: [calls, front]}}
          - {name: b, match: {path: /b, listeners: [calls]}}
          - {name: c, match: {path: /b, listeners: [calls, Front]}}
          - {name: d, match: {path: /b, listeners: [Front]}}
        """,
        [
            '7:15: listeners[1].upstream: no upstream "cupons"; did you mean "coupons"?',
            '10:22: listeners[1].hosts["A.example.:80"]: is the same as "a.example"',
            '11:18: listeners[1].hosts["b.example"]: no upstream "copons"; did you mean "coupons"?',
            (
                "12:7: listeners[1].hosts[\"*.example\"]: each host is named here: '*' would let "
                "the app call whatever it is told"
            ),
            '15:52: routes[0].match.listeners[1]: no listener "front"; did you mean "Front"?',
            "18:5: routes[3]: never matches: routes[2] takes everything before it",
        ],
    ),
    "addresses that clash": (
        """\
        version: 1
        listeners:
          - {name: a, bind: "0.0.0.0:8080", upstream: shop}
          - {name: b, bind: "127.0.0.1:8080", upstream: own}
          - {name: c, bind: "[::]:9000", upstream: self}
          - {name: d, bind: "127.0.0.1:0", upstream: shop}
          - {name: e, bind: "127.0.0.1:0", upstream: shop}
        admin: {bind: "0.0.0.0:9000"}
        upstreams:
          shop: {url: "http://127.0.0.1:8000"}
          own: {url: "http://localhost:8080"}
          self: {url: "http://[::1]:9000"}
          other: {url: "http://10.0.0.1:8080"}
        """,
        [
            "4:21: listeners[1].bind: listeners[0] listens there already",
            "8:15: admin.bind: others can reach this address: set a token",
            "11:14: upstreams.own.url: a loop: listeners[0] listens there",
            "11:14: upstreams.own.url: a loop: listeners[1] listens there",
            "12:15: upstreams.self.url: a loop: listeners[2] listens there",
        ],
    ),
    "patterns that match nothing": (
        """\
        version: 1
        listeners: [{name: a, bind: "127.0.0.1:8080", upstream: shop}]
        upstreams: {shop: {url: "http://127.0.0.1:8000"}}
        routes:
          - {name: a, match: {path: a}}
          - {name: b, match: {path: "/a/../b"}}
          - {name: c, match: {path: "/a;b"}}
          - {name: d, match: {path: "/a%2Fb"}}
          - {name: e, match: {path: "/**/b"}}
          - {name: f, match: {path: "/{a}/{a}"}}
          - {name: g, match: {methods: [get, "a b"], hosts: ["shop:80", "é", "a_b.*"]}}
          - {name: h, match: {methods: GET, path: null}}
          - {name: i, match: {path: /i, query: x}}
        """,
        [
            "5:29: routes[0].match.path: a path pattern starts with '/'",
            "6:29: routes[1].match.path: a path pattern holds no '..': paths are resolved before",
            (
                "7:29: routes[2].match.path: matches nothing: paths are normalised first, this "
                'one to "/a"'
            ),
            (
                "8:29: routes[3].match.path: '%2F' is percent-encoded: paths are decoded before "
                "they are matched, so write the character itself"
            ),
            "9:29: routes[4].match.path: '**' can only be the last segment",
            "10:29: routes[5].match.path: the parameter '{a}' stands there twice",
            (
                "11:33: routes[6].match.methods[0]: methods are written in upper case; did you "
                'mean "GET"?'
            ),
            '11:38: routes[6].match.methods[1]: "a b" is not a method such as GET',
            "11:54: routes[6].match.hosts[0]: a host is matched without its port",
            (
                "11:65: routes[6].match.hosts[1]: write the name in its ASCII form (xn--...), as "
                "clients send it"
            ),
            (
                '11:70: routes[6].match.hosts[2]: "a_b.*" is not a host such as shop.example or '
                "*.shop.example"
            ),
            '12:32: routes[7].match.methods: "GET" is not a list',
            "12:43: routes[7].match.path: null is not a path pattern such as /items/{item_id}",
            "13:33: routes[8].match.query: unknown key",
        ],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_parts_that_do_not_fit_are_reported(name: str, tmp_path: Path) -> None:
    text, expected = BAD[name]

    assert report(write(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("first", "later", "dead"),
    [
        ("{path: /a}", "{path: /a}", True),
        ("{path: /a}", "{path: /b}", False),
        ("{}", "{path: /a, methods: [GET], hosts: [x]}", True),
        ("{path: /a, methods: [GET]}", "{path: /a}", False),
        ("{path: /a, methods: [GET]}", "{path: /a, methods: [HEAD]}", True),
        ("{path: /a, methods: [HEAD]}", "{path: /a, methods: [GET]}", False),
        ("{path: /a, methods: [GET, POST]}", "{path: /a, methods: [POST]}", True),
        ("{path: /a, hosts: [x.y]}", "{path: /a}", False),
        ("{path: /a, hosts: [x.y, z]}", "{path: /a, hosts: [X.y]}", True),
        ("{path: /a, hosts: [x.y]}", "{path: /a, hosts: [x.y, z]}", False),
        ('{path: /a, hosts: ["*.y"]}', "{path: /a, hosts: [w.x.y]}", True),
        ('{path: /a, hosts: ["*.y"]}', "{path: /a, hosts: [y]}", False),
        ('{path: /a, hosts: ["*.y"]}', '{path: /a, hosts: ["*.x.y"]}', True),
        ('{path: /a, hosts: ["*.x.y"]}', '{path: /a, hosts: ["*.y"]}', False),
        # What is misspelt does not take everything.
        ("{pth: /a}", "{path: /a}", False),
        ("/a", "{path: /a}", False),
    ],
)
def test_a_route_is_dead_only_where_that_is_sure(
    tmp_path: Path, first: str, later: str, dead: bool
) -> None:
    routes = f"routes: [{{name: a, match: {first}}}, {{name: b, match: {later}}}]\n"
    path = write(tmp_path, SHORTEST + routes)

    try:
        load(path, {})
    except RulesError as error:
        found = [problem.message for problem in error.problems if problem.key == "routes[1]"]
    else:
        found = []
    assert found == (["never matches: routes[0] takes everything before it"] if dead else [])


def test_many_hosts_of_one_path_do_not_hide_a_dead_route(tmp_path: Path) -> None:
    hosts = [*range(300), 7]
    routes = "".join(f"  - {{name: r{n}, match: {{hosts: [h{h}]}}}}\n" for n, h in enumerate(hosts))

    assert report(write(tmp_path, f"{SHORTEST}routes:\n{routes}")) == [
        "305:5: routes[300]: never matches: routes[7] takes everything before it"
    ]
