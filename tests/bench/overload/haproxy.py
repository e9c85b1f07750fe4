"""HAProxy before the shop: so many in flight, set by hand, and a queue that knows priorities."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.bench.machine import PROXY_CORE, affordable_connections, find_tool
from tests.bench.overload.customers import KINDS
from tests.bench.overload.shop import SLOTS
from tests.bench.server_process import Running, free_port, serving

_CONFIG = """
global
    nbthread 1
    maxconn {connections}
defaults
    mode http
    option forwardfor
    option abortonclose
    http-reuse always
    timeout connect 5s
    timeout client 75s
    timeout server 30s
    timeout queue 100ms
    timeout http-keep-alive 75s
frontend storefront
    bind 127.0.0.1:{port} backlog 4096
{priorities}
    default_backend shop
backend shop
    server shop 127.0.0.1:{upstream_port} maxconn {slots}
"""


@contextlib.asynccontextmanager
async def haproxy(directory: Path, upstream_port: int) -> AsyncIterator[Running]:
    """`maxconn` is the shop's slots; who waits is served by priority, for 100 ms at most."""
    port = free_port()
    # A lower class goes first.
    priorities = "\n".join(
        f"    http-request set-priority-class int({number}) if {{ path_beg {kind.path} }}"
        for number, kind in enumerate(KINDS)
    )
    config = directory / "haproxy.cfg"
    config.write_text(
        _CONFIG.format(
            connections=affordable_connections(),
            port=port,
            upstream_port=upstream_port,
            priorities=priorities,
            slots=SLOTS,
        )
    )
    command = [find_tool("haproxy"), "-db", "-f", str(config)]
    async with serving(command, port, PROXY_CORE, directory / "output.log") as running:
        yield running
