"""From the start to the end of the process, and what may go wrong with either."""

import asyncio
import os
import signal
import socket
import statistics
import subprocess
import time
from pathlib import Path

import pytest

from tests.scenarios.arrivals import Arrivals
from tests.scenarios.storefront import rules
from tests.support.http_origin import HttpOrigin
from tests.support.planb import PLANB, PlanB, complete, planb
from tests.support.raw_client import RawClient, fetch, request_head

# ----------------------------------------------------------------------- start


async def test_it_is_ready_in_under_a_second(tmp_path: Path) -> None:
    took = []
    async with Arrivals() as origin:
        for number in range(5):
            started = time.perf_counter()
            async with PlanB(rules(origin.url), tmp_path / str(number)) as planb:
                took.append(time.perf_counter() - started)
                assert (await planb.admin("GET", "/-/ready")).status == 200
    print(f"start to ready: median {statistics.median(took):.2f} s of {len(took)}")
    # A second is promised where the machine has nothing else to do.
    assert min(took) < 2.0


async def _fails_to_start(text: str, folder: Path) -> str:
    """The one line that `planb run` says before it leaves with 1."""
    file = folder / "planb.yaml"
    file.write_text(complete(text))
    finished = await planb("run", str(file))
    lines = [line for line in finished.output.splitlines() if not line.startswith("{")]
    assert finished.code == 1, finished.output
    assert len(lines) == 1, finished.output
    assert lines[0].startswith("planb: ")
    return lines[0]


async def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = rules("http://127.0.0.1:1").replace("127.0.0.1:0", f"127.0.0.1:{port}")
        line = await _fails_to_start(text, tmp_path)
        assert line == (
            f"planb: listener storefront: can't bind 127.0.0.1:{port}: Address already in use"
        )
        text = rules("http://127.0.0.1:1", more=f"admin: {{bind: '127.0.0.1:{port}'}}")
        line = await _fails_to_start(text, tmp_path)
        assert line == f"planb: admin: can't bind 127.0.0.1:{port}: Address already in use"


async def test_an_address_of_another_machine_is_one_clear_line(tmp_path: Path) -> None:
    text = rules("http://127.0.0.1:1").replace("127.0.0.1:0", "192.0.2.1:0")
    line = await _fails_to_start(text, tmp_path)
    assert line.startswith("planb: listener storefront: can't bind 192.0.2.1:0: ")


async def test_an_unknown_host_to_listen_on_is_one_clear_line(tmp_path: Path) -> None:
    text = rules("http://127.0.0.1:1").replace("127.0.0.1:0", "shop.invalid:0")
    line = await _fails_to_start(text, tmp_path)
    assert line.startswith("planb: listener storefront: can't bind shop.invalid:0: ")
    assert "unknown error" not in line.lower()


async def test_an_unknown_upstream_host_is_one_clear_line(tmp_path: Path) -> None:
    line = await _fails_to_start(rules("http://shop.invalid"), tmp_path)
    assert line.startswith("planb: upstream shop: unknown host 'shop.invalid': ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_during_the_start_ends_it_in_silence(
    tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "planb.yaml"
    file.write_text(complete(rules("http://127.0.0.1:1")))
    for delay in (0.15, 0.3, 0.5):
        process = await asyncio.create_subprocess_exec(
            *PLANB, "run", str(file), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        await _catches(process.pid, signal.SIGTERM)
        await asyncio.sleep(delay)
        process.send_signal(number)
        async with asyncio.timeout(10):
            output, _ = await process.communicate()
        # Once it serves, it drains instead: that is the end of every other test.
        assert process.returncode in {128 + number, 0}
        assert b"Traceback" not in output, output.decode()


async def _catches(pid: int, number: signal.Signals) -> None:
    """Wait until the process has a handler (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status")
    async with asyncio.timeout(10):
        while True:
            text = await asyncio.to_thread(status.read_text)
            caught = int(text.partition("SigCgt:")[2].split()[0], 16)
            if caught >> (number - 1) & 1:
                return
            await asyncio.sleep(0.005)


# ------------------------------------------------------------------------- end


async def _has(origin: HttpOrigin, requests: int) -> None:
    async with asyncio.timeout(5):
        while len(origin.requests) < requests:
            await asyncio.sleep(0.01)


async def _refuses_connections(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                async with RawClient(port):
                    await asyncio.sleep(0.01)
            except ConnectionError:
                return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_what_is_in_flight_is_finished(tmp_path: Path, number: signal.Signals) -> None:
    async with HttpOrigin() as origin, PlanB(rules(origin.url), tmp_path) as planb:
        port = planb.port("storefront")
        async with RawClient(port) as slow, RawClient(port) as upload, RawClient(port) as idle:
            await slow.send(request_head("GET", "/delay/0.6"))
            await upload.send(request_head("POST", "/upload", "Content-Length: 10") + b"12345")
            assert (await idle.get("/")).status == 200
            await _has(origin, 3)
            planb.signal(number)
            await idle.is_closed_by_peer()
            await _refuses_connections(port)
            ready = await planb.admin("GET", "/-/ready")
            assert (ready.status, b'"draining"' in ready.body) == (503, True)
            await upload.send(b"67890")
            assert b'"length": 10' in (await upload.read_response()).body
            answer = await slow.read_response()
            assert (answer.status, answer.header("connection")) == (200, "close")
            assert await slow.is_closed_by_peer()
            assert await upload.is_closed_by_peer()
        assert await planb.wait() == 0


DRAINING = """
server: {drain_timeout: 300ms}
limits:
  one: {concurrency: 1, queue: 1, queue_timeout: 60s}
routes: [{name: one, match: {path: /stall}, limits: [one]}]
logs: {access: true, format: json, sample_refused: 100%}
"""


async def test_what_takes_too_long_is_answered_or_cut(tmp_path: Path) -> None:
    async with HttpOrigin() as origin, PlanB(rules(origin.url, more=DRAINING), tmp_path) as planb:
        port = planb.port("storefront")
        async with (
            RawClient(port) as sent,
            RawClient(port) as waits,
            RawClient(port) as uploads,
            RawClient(port) as reads,
        ):
            await sent.send(request_head("GET", "/stall"))
            await _has(origin, 1)
            await waits.send(request_head("GET", "/stall"))
            await uploads.send(request_head("POST", "/", "Content-Length: 10") + b"12345")
            await reads.send(request_head("GET", "/events"))
            await reads.read_head()
            started = time.monotonic()
            planb.signal(signal.SIGTERM)
            with pytest.raises(ConnectionError):
                await reads.read_to_end()
            assert time.monotonic() - started < 2
            for client, status, reason in (
                (sent, 504, "upstream_timeout"),
                (uploads, 504, "upstream_timeout"),
                (waits, 503, "draining"),
            ):
                answer = await client.read_response()
                assert (answer.status, answer.header("connection")) == (status, "close")
                assert f'details="{reason}"' in str(answer.header("proxy-status"))
                assert await client.is_closed_by_peer()
            assert 0.25 < time.monotonic() - started < 3
        assert await planb.wait() == 0
        assert "4 connections cut after 0.3 s" in planb.log_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    async with (
        HttpOrigin() as origin,
        PlanB(rules(origin.url), tmp_path) as planb,
        RawClient(planb.port("storefront")) as client,
    ):
        await client.send(request_head("GET", "/stall"))
        await _has(origin, 1)
        planb.signal(number)
        await planb.wait_for_log("draining")
        planb.signal(number)
        assert await planb.wait(within=3) == 128 + number


# -------------------------------------------------------------- standard output


@pytest.mark.parametrize("redirection", ["", ">/dev/full 2>&1", ">&- 2>&-", "<&- >&- 2>&-"])
async def test_traffic_goes_on_when_the_log_can_t_be_written(
    tmp_path: Path, redirection: str
) -> None:
    """To a reader that has left, a full disk, or nowhere."""
    async with Arrivals() as origin:
        front, admin = _free_ports(2)
        file = tmp_path / "planb.yaml"
        more = f"admin: {{bind: '127.0.0.1:{admin}'}}\nlogs: {{access: true}}"
        text = rules(origin.url, more=more).replace("127.0.0.1:0", f"127.0.0.1:{front}", 1)
        file.write_text(complete(text))
        reader, writer = os.pipe()
        os.close(reader)
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", f'exec "$@" {redirection}', "sh", *PLANB, "run", str(file), stdout=writer
        )
        os.close(writer)
        try:
            await _listens(front)
            async with RawClient(front) as client:
                for _ in range(300):
                    assert (await client.get("/")).status == 200
            metrics = await fetch(admin, request_head("GET", "/metrics", host="127.0.0.1"))
            if "&-" not in redirection:
                assert b"planb_log_lines_dropped_total 0.0" not in metrics.body
        finally:
            process.terminate()
            async with asyncio.timeout(10):
                assert await process.wait() == 0


async def _listens(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                async with RawClient(port):
                    return
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
