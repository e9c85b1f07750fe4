"""The upstream, and the proxies that are measured before it, with like rules."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.machine import LOAD_CORE, PROXY_CORE, find_tool, pinned
from tests.support.planb import PlanB

ROUTES = 20
GENEROUS, TIGHT = 1_000_000, 1
"""Limits in requests per second: one that never refuses, one that refuses all but the first."""

_START_WITHIN = 5.0

_NGINX = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
error_log {directory}/error.log crit;
pid {directory}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{http}
}}
"""

_PLANB = """
version: 1
listeners:
  - name: storefront
    bind: 127.0.0.1:0
    upstream: shop
upstreams:
  shop:
    url: http://127.0.0.1:{upstream}
routes:
{routes}
  - name: refused
    match: {{path: "/refused/**"}}
    limits: [{{rate: {tight}/s, burst: 1}}]
  - name: everything-else
    match: {{path: "/**"}}
    limits: {limits}
"""


@contextlib.asynccontextmanager
async def upstream(directory: Path) -> AsyncIterator[int]:
    """An nginx that answers `/100` and `/10240` with so many bytes; yields its port."""
    port = _free_port()
    # nginx takes no string over 4 KiB in its rules, so the larger body is a file.
    http = f"""
    sendfile on;
    open_file_cache max=10;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ /100$ {{ return 200 "{"x" * 100}"; }}
        location ~ /10240$ {{ alias {directory}/10240; }}
    }}"""
    async with _nginx(directory, http, port, LOAD_CORE):
        yield port


@contextlib.asynccontextmanager
async def nginx(directory: Path, upstream_port: int) -> AsyncIterator[int]:
    """nginx as a reverse proxy, one worker, limits as Plan B's; yields its port."""
    port = _free_port()
    zones = [
        f"    limit_req_zone $server_port zone=all{number}:1m rate={GENEROUS}r/s;\n"
        f"    limit_req_zone $binary_remote_addr zone=client{number}:1m rate={GENEROUS}r/s;\n"
        for number in range(ROUTES)
    ]
    to_upstream = (
        "proxy_pass http://shop; proxy_http_version 1.1; "
        'proxy_set_header Connection ""; proxy_set_header Host $http_host; '
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; "
        "proxy_set_header X-Forwarded-Proto $scheme;"
    )
    locations = [
        f"        location /r{number}/ {{ limit_req zone=all{number} burst={GENEROUS} nodelay; "
        f"limit_req zone=client{number} burst={GENEROUS} nodelay; {to_upstream} }}\n"
        for number in range(ROUTES)
    ]
    http = f"""
{"".join(zones)}
    limit_req_zone $server_port zone=tight:1m rate={TIGHT}r/s;
    limit_req_status 429;
    limit_req_log_level info;
    upstream shop {{
        server 127.0.0.1:{upstream_port};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
{"".join(locations)}
        location /refused/ {{ limit_req zone=tight; {to_upstream} }}
        location / {{ {to_upstream} }}
    }}"""
    async with _nginx(directory, http, port, PROXY_CORE):
        yield port


@contextlib.asynccontextmanager
async def plan_b(directory: Path, upstream_port: int) -> AsyncIterator[int]:
    """Plan B with `ROUTES` routes, two limits on each, metrics on; yields its port."""
    planb = PlanB(rules(upstream_port), directory, prefix=pinned(PROXY_CORE))
    async with planb:
        yield planb.port("storefront")


def rules(upstream_port: int, routes: int = ROUTES, generous: int = GENEROUS) -> str:
    """Plan B's rules with `routes` routes `/r0/...`, `/r1/...`, two limits on each."""
    limits = (
        f"[{{rate: {generous}/s, burst: {generous}}}, "
        f"{{rate: {generous}/s, burst: {generous}, per: client_address}}]"
    )
    lines = [
        f'  - {{name: r{number}, match: {{path: "/r{number}/**"}}, limits: {limits}}}'
        for number in range(routes)
    ]
    return _PLANB.format(
        upstream=upstream_port, routes="\n".join(lines), limits=limits, tight=TIGHT
    )


@contextlib.asynccontextmanager
async def _nginx(directory: Path, http: str, port: int, core: int) -> AsyncIterator[None]:
    config = _write_config(directory, http)
    command = [find_tool("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(config)]
    process = await asyncio.create_subprocess_exec(
        *pinned(core), *command, stderr=asyncio.subprocess.PIPE
    )
    try:
        await _listening(process, port)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


def _write_config(directory: Path, http: str) -> Path:
    directory.mkdir(exist_ok=True)
    for folder in (directory, directory.parent):
        folder.chmod(0o755)  # the worker may run as nobody
    (directory / "10240").write_text("x" * 10240)
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(directory=directory, http=http))
    return config


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(_START_WITHIN):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return
    _, errors = await process.communicate()
    raise SystemExit(f"nginx did not start: {errors.decode()}")


def _free_port() -> int:
    """A port that was free a moment ago: nginx can't be asked which one it took."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
