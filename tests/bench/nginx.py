"""nginx: as a reverse proxy that is measured, and with rules of one's own (the upstream)."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.machine import PROXY_CORE, affordable_connections, find_tool
from tests.bench.rule_set import GENEROUS, PAGE, ROUTES, SAMPLED_ONE_IN, TIGHT
from tests.bench.server_process import Running, free_port, serving

_CONFIG = """
daemon off;
worker_processes 1;
worker_rlimit_nofile {descriptors};
error_log {directory}/error.log crit;
pid {directory}/nginx.pid;
events {{ worker_connections {descriptors}; }}
http {{
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{http}
}}
"""


@contextlib.asynccontextmanager
async def nginx(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """nginx as a reverse proxy with the rule set: `limit_req`, `stub_status`, `split_clients`."""
    port = free_port()
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
    limit_req_zone $server_port zone=page:1m rate={TIGHT}r/s;
    limit_req_status 429;
    limit_req_log_level info;
    split_clients "$connection $connection_requests" $sampled {{ {100 / SAMPLED_ONE_IN}% 1; * ""; }}
    access_log {directory}/access.log combined buffer=64k if=$sampled;
    proxy_buffer_size 16k;
    proxy_buffers 16 32k;
    proxy_busy_buffers_size 64k;
    proxy_max_temp_file_size 0;
    open_file_cache max=10;
    sendfile on;
    upstream shop {{
        server 127.0.0.1:{upstream_port};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
{"".join(locations)}
        location /refused/ {{ limit_req zone=tight; {to_upstream} }}
        location /refused-page/ {{ limit_req zone=page; error_page 429 /busy.html; {to_upstream} }}
        location = /busy.html {{ internal; root {directory}; types {{ text/html html; }} }}
        location = /nginx-status {{ stub_status; }}
        location / {{ {to_upstream} }}
    }}"""
    shutil.copy(PAGE, directory / "busy.html")  # where a worker that runs as nobody can read it
    async with run_nginx(directory, http, port, PROXY_CORE) as running:
        yield running


@contextlib.asynccontextmanager
async def run_nginx(directory: Path, http: str, port: int, core: int) -> AsyncIterator[Running]:
    """nginx with one worker and the rules `http`, which listen on `port`."""
    config = _write_config(directory, http)
    command = [find_tool("nginx"), "-p", str(directory), "-e", "stderr", "-c", str(config)]
    async with serving(command, port, core, directory / "output.log") as running:
        yield running


def _write_config(directory: Path, http: str) -> Path:
    for folder in (directory, directory.parent):
        folder.chmod(0o755)  # the worker may run as nobody
    config = directory / "nginx.conf"
    descriptors = 2 * affordable_connections() + 128
    config.write_text(_CONFIG.format(directory=directory, http=http, descriptors=descriptors))
    return config
