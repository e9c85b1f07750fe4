"""The real command, before the real Plan B."""

import asyncio
import json
import os
import pty
import re
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, create_subprocess_exec
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.demo.run import SHOP_PORT
from proxy.rules.load import load
from proxy.surge import command
from tests.support.http_origin import HttpOrigin
from tests.support.origin import Peer, RawOrigin
from tests.support.planb import PLANB, PlanB, planb

ROOT = Path(__file__).parents[2]
RULES = """
listeners: [{{name: storefront, bind: "127.0.0.1:0", upstream: shop}}]
upstreams: {{shop: {{url: "{url}"}}}}
routes: [{{name: all, match: {{path: "/**"}}, limits: [{{rate: 100/s, burst: 10}}]}}]
"""


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    """Plan B before a shop, admitting 100 requests a second."""
    async with HttpOrigin() as origin, PlanB(RULES.format(url=origin.url), tmp_path) as running:
        yield f"{running.url('storefront')}/bytes/100"


async def test_it_finds_what_is_served_sends_ten_times_that_and_says_what_came_of_it(
    url: str,
) -> None:
    done = await planb("surge", url, "--seconds", "2", within=30)
    assert done.code == 0, done.output
    found = re.search(r"can serve (\d+)/s. You sent ([\d,]+)/s, 10 times that", done.output)
    assert found, done.output
    assert 90 <= int(found[1]) <= 115
    assert 900 <= int(found[2].replace(",", "")) <= 1150
    assert re.search(r"^   1 s  sent .* served .* refused", done.output, re.MULTILINE)
    assert re.search(r"\d+/s were refused: half in \d", done.output)
    assert "A visitor who came after it was served in" in done.output
    assert "The same without Plan B" not in done.output  # that is for the demo


async def test_it_sends_as_many_times_that_as_it_is_told(url: str) -> None:
    done = await planb("surge", url, "--times", "3", "--seconds", "1", "--json", within=30)
    data = json.loads(done.output)
    plan = data["plan"]
    assert plan["rate"] == pytest.approx(3 * plan["capacity"])
    assert data["result"]["begun"] == pytest.approx(plan["rate"], abs=1.0)


async def test_json_is_all_that_a_script_gets(url: str) -> None:
    done = await planb("surge", url, "--rate", "500", "--seconds", "1", "--json")
    assert done.code == 0
    data = json.loads(done.output)
    assert (data["plan"]["rate"], data["plan"]["capacity"]) == (500, None)
    result = data["result"]
    assert result["begun"] == result["sent"] == 500
    assert result["refused"] + result["good"] + result["late"] == 500
    # The burst, and a second at 100.
    assert 100 <= result["good"] + result["late"] <= 130
    assert data["visit"]["outcome"] == 200


async def test_visitors_leave_and_try_again_and_one_comes_to_look_afterwards() -> None:
    async with RawOrigin(Peer.stall, peers_may_leave=True) as origin:
        more = ("--patience", "0.2", "--retries", "1", "--json")
        done = await planb("surge", origin.url, "--rate", "20", "--seconds", "1", *more, within=30)
        data = json.loads(done.output)
    assert data["result"]["begun"] == 20
    assert data["result"]["retried"] > 10
    assert data["result"]["left"] == data["result"]["sent"]
    assert data["visit"]["outcome"] == "timeout"


async def test_ctrl_c_ends_it_with_the_summary_of_what_was_done(url: str) -> None:
    process = await create_subprocess_exec(
        *PLANB, "surge", url, "--rate", "300", "--seconds", "60", stdout=PIPE, stderr=PIPE, cwd=ROOT
    )
    assert process.stdout
    assert process.stderr
    try:
        await process.stdout.readline()
        await process.stdout.readline()  # the first second
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 130
    assert time.monotonic() - asked < 5
    assert re.search(rb"You sent (29|30)\d/s", output)
    assert errors == b""


async def test_ctrl_c_while_it_measures_ends_it_at_once() -> None:
    async with RawOrigin(Peer.stall, peers_may_leave=True) as origin:
        process = await create_subprocess_exec(
            *PLANB, "surge", origin.url, stdout=PIPE, stderr=PIPE, cwd=ROOT
        )
        assert process.stdout
        assert b"gently" in await process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 5)
    assert (process.returncode, errors) == (143, b"")


async def test_it_ends_when_nobody_reads_what_it_says(url: str) -> None:
    process = await create_subprocess_exec(
        *PLANB, "surge", url, "--rate", "50", "--seconds", "60",
        stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout
    await process.stdout.readline()
    # What `head` does. There is no public way to close a pipe's reading end alone.
    transport = process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
    transport.close()
    assert await asyncio.wait_for(process.wait(), 10) == 1
    assert process.stderr
    assert await process.stderr.read() == b""


async def test_on_a_terminal_it_draws_a_bar(url: str) -> None:
    ours, theirs = pty.openpty()
    seen = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, lambda: seen.extend(os.read(ours, 65536)))
    try:
        process = await create_subprocess_exec(
            *PLANB, "surge", url, "--rate", "300", "--seconds", "1",
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT,
            env={**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", "NO_COLOR": ""},
        )  # fmt: skip
        assert await asyncio.wait_for(process.wait(), 20) == 0
        await asyncio.sleep(0.05)
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        os.close(theirs)
    text = seen.decode()
    assert "█" * 30 + "   1 of 1 s" in text
    assert "\x1b[32m  served" in text
    assert re.search(r"You sent (29|30)\d/s", text)
    # Four frames of the same height, one over the other.
    assert len(re.findall(r"\x1b\[8A", text)) == 3


@pytest.mark.parametrize(
    ("address", "code", "why"),
    [
        ("http://127.0.0.1:1", 1, "nothing listens there"),
        ("https://127.0.0.1", 2, "no TLS"),
        ("http://8.8.8.8", 2, "--allow-public"),
    ],
)
async def test_what_can_t_be_done_is_one_line(address: str, code: int, why: str) -> None:
    done = await planb("surge", address)
    assert done.code == code
    (line,) = done.output.splitlines()
    assert line.startswith("planb surge: ")
    assert why in line


async def test_numbers_out_of_bounds_are_errors_of_usage() -> None:
    for arguments in (("--times", "0"), ("--rate", "nan"), ("--seconds", "1e9"), ("--rate", "x")):
        done = await planb("surge", *arguments)
        assert done.code == 2
        assert "Traceback" not in done.output


def test_it_knows_where_the_demo_is() -> None:
    rules = load(ROOT / "config" / "planb.yaml", {})
    listener = rules.listeners[0]
    assert f"http://{listener.host}:{listener.port}" == command.DEMO
    assert command.DEMO_SHOP.endswith(f":{SHOP_PORT}")
