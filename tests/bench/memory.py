"""What a proxy holds in memory: with no client, and with many that keep idle connections open."""

import asyncio
import resource
import select
import socket
from pathlib import Path

from tests.bench.contenders import CONTENDERS
from tests.bench.machine import affordable_connections
from tests.bench.process_tree import rss_bytes
from tests.bench.results import Memory, Results
from tests.bench.rule_set import FREE
from tests.bench.upstream import SIZES, Upstream
from tests.support.raw_client import fetch, request_head

_ANSWERED_WITHIN = 10.0
_REST = 0.5


async def measure_memory(results: Results, upstream: Upstream, directory: Path) -> None:
    """Once for each contender, started anew; each connection has one request answered first."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = affordable_connections()
    request = request_head("GET", f"{FREE}/{SIZES[0]}")
    for who in results.contenders:
        async with CONTENDERS[who](directory, upstream.port) as proxy:
            await fetch(proxy.port, request)
            await asyncio.sleep(_REST)
            idle = rss_bytes(proxy.pid)
            clients = await asyncio.to_thread(_connect, proxy.port, count, request)
            try:
                await asyncio.sleep(_REST)
                connected = rss_bytes(proxy.pid)
                _check_open(clients, who)
            finally:
                for client in clients:
                    client.close()
        results.memory[who] = Memory(idle, connected, count)
        print(f"memory  {who:<16} {idle / 1e6:.1f} MB, {connected / 1e6:.1f} MB", flush=True)


def _connect(port: int, count: int, request: bytes) -> list[socket.socket]:
    clients = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port), timeout=_ANSWERED_WITHIN)
        clients.append(client)
        client.sendall(request)
        answer = b""
        while not answer.endswith(b"x" * SIZES[0]):
            data = client.recv(4096)
            if not data:
                raise SystemExit(f"connection {len(clients)} of {count} was closed: {answer!r}")
            answer += data
    return clients


def _check_open(clients: list[socket.socket], who: str) -> None:
    """A closed connection can be read from: it says so."""
    poll = select.poll()
    for client in clients:
        poll.register(client, select.POLLIN)
    if closed := poll.poll(0):
        raise SystemExit(f"{who} closed {len(closed)} of {len(clients)} idle connections")
