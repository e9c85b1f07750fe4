"""A sound document to a snapshot."""

from hashlib import blake2b
from ipaddress import ip_network
from pathlib import Path

import pytest

from proxy.policy.keys import KeyKind, KeySource
from proxy.policy.log_spec import LogSpec
from proxy.policy.priority import Priority
from proxy.policy.snapshot import (
    AdaptiveSpec,
    AdminSpec,
    AdviceSpec,
    ConcurrencySpec,
    KeepSpec,
    ListenerSpec,
    ListenerTimeouts,
    PaceSpec,
    QueueOrder,
    RateSpec,
    RetrySpec,
    ServerSpec,
    SharedRateSpec,
    SheddingSpec,
    StoreSpec,
    Threshold,
    TlsSpec,
    UpstreamSpec,
    UpstreamTimeouts,
)
from proxy.rules.load import load
from tests.rules.documents import SHORTEST, loaded, write


def test_every_key_reaches_the_snapshot(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----")
    path = write(
        tmp_path,
        """\
        version: 1
        server: {max_connections: 5, drain_timeout: 1m, express: false}
        listeners:
          - name: front
            bind: "[::1]:8443"
            upstream: tls
            trusted_proxies: [10.0.0.0/8, "::1"]
            limits: [all]
            advise: {rate: 1000/s, burst: 300, callers: [192.0.2.0/24, "2001:db8::1"]}
            timeouts: {head: 1s, body: 2s, idle: 3s, send: 4s}
            max_head_size: 8KiB
            max_body_size: 1MB
            min_body_rate: 1KiB/s
            deadline_header: Grpc-Timeout
          - name: calls
            bind: "127.0.0.1:8090"
            direction: outbound
            hosts: {Coupons.example: plain-tls, "pay.example:8443": tls}
        admin: {bind: "0.0.0.0:9000", token: secret}
        upstreams:
          tls:
            url: https://shop.example
            timeouts: {connect: 1s, response: 2s, body: 3s, idle: 4s, tunnel: 5s}
            tls: {verify: true, ca_file: ca.pem, server_name: inner}
            adaptive_concurrency: {min: 8, max: 256}
            pool: {connections: 64, pending: 128, pending_timeout: 100ms}
            retry: {attempts: 3, budget: 10%, min_per_second: 0.5, backoff: 10ms..1s,
                    statuses: [429, 503], timeouts: true}
            obey_advice: {max_age: 20s, tell_demand: false}
          plain-tls: {url: "https://shop.example:444"}
          socket: {url: "unix:/run/shop.sock"}
        limits:
          all: {rate: 30/m, burst: 3, per: "header:X-Key", warm_up: 5s, max_keys: 7, mode: shadow}
          even: {pace: 2.5/s, max_wait: 1s, per: client_address, warm_up: 2s, max_keys: 8}
          few: {concurrency: 3, queue: 4, queue_timeout: 200ms, order: adaptive_lifo,
                per: "query:q"}
        routes:
          - name: items
            match: {methods: [GET], hosts: ["*.Shop.example"], path: "/items/{id}",
                    listeners: [front]}
            limits: [few, even, all]
            max_body_size: 64KiB
            priority: critical
            cache: {ttl: 1s, coalesce: true}
            fallback: {snapshot: 10m}
            snapshot_key: {query: [page, sort], cookies: [lang], ignore_cookies: [_ga, "*"],
                           headers: [X-Shop]}
        shedding:
          per: "cookie:sid"
          cgroup: system.slice/shop.service
          signals: {cpu: {start: 50%}, loop_lag: {}}
        snapshots: {memory: 32MiB, largest: 2MiB, folder: kept}
        logs:
          {format: json, level: error, access: false, sample_admitted: 5%, sample_refused: 0.5%}
        """,
    )

    snapshot = load(path, {})

    assert snapshot.server == ServerSpec(5, 60.0, express=False)
    assert snapshot.listeners == (
        ListenerSpec(
            name="front",
            host="::1",
            port=8443,
            upstream="tls",
            trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("::1/128")),
            limits=("listener/front/shared", "all"),
            timeouts=ListenerTimeouts(head=1.0, body=2.0, idle=3.0, send=4.0),
            max_head_bytes=8192,
            max_body_bytes=1_000_000,
            min_body_bytes_per_second=1024,
            deadline_header=b"grpc-timeout",
            callers=(ip_network("192.0.2.0/24"), ip_network("2001:db8::1/128")),
        ),
        ListenerSpec(
            *("calls", "127.0.0.1", 8090, ""),
            outbound=True,
            hosts={"coupons.example:80": "plain-tls", "pay.example:8443": "tls"},
        ),
    )
    assert snapshot.shedding == SheddingSpec(
        {"cpu": Threshold(0.5, 0.85, 0.9), "loop_lag": Threshold(0.02, 0.1, 0.5)},
        KeySource(KeyKind.COOKIE, "sid"),
        "system.slice/shop.service",
    )
    assert snapshot.admin == AdminSpec("0.0.0.0", 9000, "secret")
    assert snapshot.upstreams == {
        "tls": UpstreamSpec(
            name="tls",
            host="shop.example",
            port=443,
            tls=TlsSpec(
                verify=True,
                ca_file=str(tmp_path / "ca.pem"),
                server_name="inner",
                ca_digest=blake2b(b"-----BEGIN CERTIFICATE-----").hexdigest(),
            ),
            timeouts=UpstreamTimeouts(connect=1.0, response=2.0, body=3.0, idle=4.0, tunnel=5.0),
            adaptive_concurrency=AdaptiveSpec("tls/adaptive", 8, 256),
            pool=ConcurrencySpec("tls/pool", 64, 128, 0.1),
            retry=RetrySpec(3, 0.1, 0.5, 0.01, 1.0, frozenset({429, 503}), timeouts=True),
            advice=AdviceSpec("tls/advice", max_age=20.0, tell_demand=False),
        ),
        "plain-tls": UpstreamSpec("plain-tls", "shop.example", 444, tls=TlsSpec()),
        "socket": UpstreamSpec("socket", "localhost", 80, unix_path="/run/shop.sock"),
    }
    assert snapshot.limits == {
        "listener/front/shared": SharedRateSpec(
            "listener/front/shared", 1000.0, 300, 1000, 1, KeySource(KeyKind.CALLER)
        ),
        "all": RateSpec(
            name="all",
            rate=0.5,
            burst=3,
            quota=30,
            window=60,
            per=KeySource(KeyKind.HEADER, "x-key"),
            warm_up=5.0,
            max_keys=7,
            shadow=True,
        ),
        "even": PaceSpec(
            name="even",
            rate=2.5,
            quota=5,
            window=2,
            max_wait=1.0,
            per=KeySource(KeyKind.CLIENT_ADDRESS),
            warm_up=2.0,
            max_keys=8,
        ),
        "few": ConcurrencySpec(
            name="few",
            concurrency=3,
            queue=4,
            queue_timeout=0.2,
            order=QueueOrder.ADAPTIVE_LIFO,
            per=KeySource(KeyKind.QUERY, "q"),
        ),
        "tls/pool": ConcurrencySpec("tls/pool", 64, 128, 0.1),
    }
    (route,) = snapshot.routes
    assert (route.name, route.path, route.methods) == ("items", "/items/{id}", frozenset({"GET"}))
    assert (route.hosts, route.max_body_bytes) == (("*.shop.example",), 65536)
    assert route.limits == ("few", "even", "all")
    assert route.listeners == ("front",)
    assert route.priority is Priority.CRITICAL
    assert route.keep == KeepSpec(
        last_good_for=600.0,
        ttl=1.0,
        coalesce=True,
        query=("page", "sort"),
        cookies=("lang",),
        headers=("x-shop",),
        ignored_cookies=("_ga", "*"),
    )
    assert snapshot.stored == StoreSpec(32 << 20, 2 << 20, str(tmp_path / "kept"))
    assert snapshot.logs == LogSpec("json", "error", False, 0.05, 0.005)
    assert snapshot.files == (str(path), str(tmp_path / "ca.pem"))


def test_a_burst_is_a_tenth_of_a_second_s_worth_and_at_least_one(tmp_path: Path) -> None:
    snapshot = loaded(
        tmp_path,
        "limits: {a: {rate: 800/s}, b: {rate: 5/s}, c: {rate: 19/s}, d: {rate: 36000/h}}\n",
    )

    bursts = [each.burst for each in snapshot.limits.values() if isinstance(each, RateSpec)]
    assert bursts == [80, 1, 1, 1]


ROUTE = """\
routes:
  - name: a
    match: {path: /a}
    limits: [{rate: 1/s}]
  - name: b
    match: {path: "/b/{id}"}
    limits:
      - {rate: 800/s}
      - {rate: 2/s, per: "cookie:sid"}
      - {rate: 9/m}
      - {rate: 2/s, per: client_address, name: mine}
      - {concurrency: 5}
      - {pace: 5/s, max_wait: 1s, per: "path:id"}
"""


def test_an_unnamed_limit_is_named_by_its_owner_kind_and_key(tmp_path: Path) -> None:
    snapshot = loaded(tmp_path, ROUTE)

    assert snapshot.routes[1].limits == (
        "b/rate",
        "b/rate:cookie:sid",
        "b/rate-2",
        "mine",
        "b/concurrency",
        "b/pace:path:id",
    )
    assert all(name == limit.name for name, limit in snapshot.limits.items())


def test_names_do_not_depend_on_unrelated_edits(tmp_path: Path) -> None:
    before = loaded(tmp_path, ROUTE).routes[1].limits

    edited = ROUTE.replace("limits: [{rate: 1/s}]", "limits: [{rate: 1/s}, {rate: 2/s}]").replace(
        "      - {rate: 800/s}\n",
        "      - {concurrency: 9, per: client_address}\n      - {rate: 700/s, burst: 3}\n",
    )
    after = loaded(tmp_path, edited).routes[1].limits

    assert after == ("b/concurrency:client_address", *before)


def test_a_made_name_is_never_one_that_is_taken(tmp_path: Path) -> None:
    snapshot = loaded(
        tmp_path,
        """\
        routes:
          - name: a
            limits:
              - {rate: 1/s, per: "header:x-2"}
              - {rate: 2/s, per: "header:x"}
              - {rate: 3/s, per: "header:x"}
        """,
    )

    assert snapshot.routes[0].limits == (
        "a/rate:header:x-2",
        "a/rate:header:x",
        "a/rate:header:x-3",
    )


def test_limits_of_listeners_and_routes_of_one_name_are_apart(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        version: 1
        listeners: [{name: a, bind: "127.0.0.1:0", upstream: shop, limits: [{rate: 1/s}]}]
        upstreams: {shop: {url: "http://127.0.0.1:8000"}}
        routes: [{name: a, limits: [{rate: 2/s}]}]
        """,
    )

    snapshot = load(path, {})

    assert snapshot.listeners[0].limits == ("listener/a/rate",)
    assert snapshot.routes[0].limits == ("a/rate",)


def test_an_empty_token_is_none(tmp_path: Path) -> None:
    assert loaded(tmp_path, "admin: {token: '${TOKEN:-}'}\n").admin.token is None
    assert loaded(tmp_path, "admin: {token: '${TOKEN:-}'}\n", {"TOKEN": "12"}).admin.token == "12"


def test_a_route_keeps_what_it_is_told_to_and_nothing_else(tmp_path: Path) -> None:
    snapshot = loaded(
        tmp_path,
        """\
        routes:
          - {name: a, match: {path: /a}, cache: {ttl: 500ms}}
          - {name: b, match: {path: /b}, fallback: {snapshot: 1h, page: busy}}
          - {name: c, match: {path: /c}, fallback: {page: busy}}
        """,
    )

    assert [route.keep for route in snapshot.routes] == [
        KeepSpec(ttl=0.5),
        KeepSpec(last_good_for=3600.0),
        None,
    ]
    assert snapshot.stored == StoreSpec(64 << 20, 1 << 20, None)


@pytest.mark.parametrize(("rate", "burst"), [("1000/s", 100), ("30/m", 20)])
def test_a_shared_rate_lets_callers_come_at_the_same_moment(
    rate: str, burst: int, tmp_path: Path
) -> None:
    advise = f"advise: {{rate: {rate}, callers: [10.0.0.0/8]}}"
    text = SHORTEST.replace("upstream: shop}", f"upstream: shop, {advise}}}")
    shared = load(write(tmp_path, text), {}).limits["listener/front/shared"]
    assert isinstance(shared, SharedRateSpec)
    assert shared.burst == burst
