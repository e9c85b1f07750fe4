"""nginx before the shop: with a rate set by hand, or with a number of connections."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.machine import PROXY_CORE
from tests.bench.nginx import run_nginx
from tests.bench.overload.shop import CAPACITY, SLOTS
from tests.bench.server_process import Running, free_port

_RATE = round(0.8 * CAPACITY)


@contextlib.asynccontextmanager
async def limit_req(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """80 % of the capacity, set by hand; bursts as in its documentation."""
    rules = f"limit_req_zone $server_port zone=shop:1m rate={_RATE}r/s;"
    limit = "limit_req zone=shop burst=20 nodelay; limit_req_status 429;"
    async with _nginx(directory, upstream_port, rules, limit) as running:
        yield running


@contextlib.asynccontextmanager
async def limit_conn(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """As many requests in flight as the shop has slots, set by hand; it has no queue."""
    rules = "limit_conn_zone $server_port zone=shop:1m;"
    limit = f"limit_conn shop {SLOTS}; limit_conn_status 503;"
    async with _nginx(directory, upstream_port, rules, limit) as running:
        yield running


@contextlib.asynccontextmanager
async def _nginx(
    directory: Path, upstream_port: int, rules: str, limit: str
) -> AsyncIterator[Running]:
    port = free_port()
    http = f"""
    {rules}
    access_log off;
    upstream shop {{ server 127.0.0.1:{upstream_port} max_fails=0; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            {limit}
            proxy_pass http://shop;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}"""
    async with run_nginx(directory, http, port, PROXY_CORE) as running:
        yield running
