"""HAProxy with the rule set: stick tables count, `http-request deny` refuses."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.machine import PROXY_CORE, affordable_connections, find_tool
from tests.bench.rule_set import GENEROUS, PAGE, ROUTES, SAMPLED_ONE_IN, TIGHT
from tests.bench.server_process import Running, free_port, serving

# A map finds the route: a prefix tree, HAProxy's own way of having many. It has no token bucket;
# its rates are counted over a second, refused requests too.
_CONFIG = """
global
    nbthread 1
    maxconn {connections}
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    option forwardfor
    http-reuse always
    timeout connect 5s
    timeout client 75s
    timeout server 30s
    timeout http-keep-alive 75s
frontend storefront
    bind 127.0.0.1:{port} backlog 4096
    http-request set-log-level silent unless {{ rand({sampled_one_in}) eq 0 }}
    http-request set-var(txn.route) path,map_beg({directory}/routes.map,other)
    http-request track-sc0 var(txn.route) table routes
    http-request track-sc1 src,concat(/,txn.route) table clients
    http-request deny deny_status 429 if {{ var(txn.route) -m str refused }} {{ sc0_http_req_rate(routes) gt {tight} }}
    http-request return status 429 content-type "text/html; charset=utf-8" file {page} if {{ var(txn.route) -m str refused-page }} {{ sc0_http_req_rate(routes) gt {tight} }}
    http-request deny deny_status 429 if {{ sc0_http_req_rate(routes) gt {generous} }}
    http-request deny deny_status 429 if {{ sc1_http_req_rate(clients) gt {generous} }}
    http-request set-header X-Forwarded-Proto http
    default_backend shop
backend routes
    stick-table type string len 32 size 1k expire 10s store http_req_rate(1s)
backend clients
    stick-table type string len 64 size 100k expire 10s store http_req_rate(1s)
backend shop
    server shop 127.0.0.1:{upstream_port}
frontend metrics
    bind 127.0.0.1:{metrics_port}
    http-request use-service prometheus-exporter
"""  # noqa: E501


@contextlib.asynccontextmanager
async def haproxy(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """HAProxy with one thread."""
    port = free_port()
    routes = [*(f"/r{number}/ r{number}" for number in range(ROUTES)), "/refused/ refused"]
    routes.append("/refused-page/ refused-page")
    (directory / "routes.map").write_text("\n".join([*routes, ""]))
    config = directory / "haproxy.cfg"
    config.write_text(
        _CONFIG.format(
            directory=directory,
            port=port,
            metrics_port=free_port(),
            upstream_port=upstream_port,
            connections=affordable_connections() + 64,
            sampled_one_in=SAMPLED_ONE_IN,
            page=PAGE,
            tight=TIGHT,
            generous=GENEROUS,
        )
    )
    command = [find_tool("haproxy"), "-db", "-f", str(config)]
    async with serving(command, port, PROXY_CORE, directory / "output.log") as running:
        yield running
