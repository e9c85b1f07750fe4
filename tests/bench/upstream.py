"""The upstream of all contenders: an nginx on the load's core that answers with so many bytes."""

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import LOAD_CORE
from tests.bench.nginx import run_nginx
from tests.bench.server_process import free_port
from tests.support.raw_client import fetch, request_head

SIZES = (100, 10 * 1024, 1024 * 1024)
_STATUS = "/upstream-status"


@dataclass(slots=True)
class Upstream:
    """Answers `.../100`, `.../10240` and `.../1048576` with so many bytes, whatever the method."""

    port: int
    _asked: int = 0

    async def accepted(self) -> int:
        """The connections that it has accepted, but for those that asked for this number."""
        answer = await fetch(self.port, request_head("GET", _STATUS, "Connection: close"))
        self._asked += 1
        return accepted(answer.body.decode()) - self._asked


@contextlib.asynccontextmanager
async def upstream(directory: Path) -> AsyncIterator[Upstream]:
    """Start one in a folder of its own."""
    port = free_port()
    small, *large = SIZES
    # nginx takes no string over 4 KiB in its rules, so larger bodies are files.
    for size in large:
        (directory / str(size)).write_text("x" * size)
    files = "".join(f"location ~ /{size}$ {{ alias {directory}/{size}; }}\n" for size in large)
    http = f"""
    access_log off;
    sendfile on;
    open_file_cache max=10;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ /{small}$ {{ return 200 "{"x" * small}"; }}
        {files}
        location = {_STATUS} {{ stub_status; }}
    }}"""
    async with run_nginx(directory, http, port, LOAD_CORE):
        yield Upstream(port)


def accepted(stub_status: str) -> int:
    """How many connections nginx has accepted, as its stub_status page tells."""
    match = re.search(r"server accepts handled requests\n (\d+) ", stub_status)
    if match is None:
        raise SystemExit(f"not a stub_status page:\n{stub_status}")
    return int(match[1])
