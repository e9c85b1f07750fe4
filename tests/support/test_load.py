import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from tests.support.http_origin import HttpOrigin
from tests.support.load import LoadGenerator, get, load
from tests.support.messages import Request
from tests.support.origin import Peer, RawOrigin, answering, ok, response


async def test_every_request_is_sent_once_and_its_answer_counted() -> None:
    def alternate(request: Request) -> bytes:
        number = int(request.target[1:])
        return ok() if number % 4 else response(429, "Too Many Requests", b"later")

    async with RawOrigin(answering(alternate)) as origin:
        requests = [get("127.0.0.1", origin.port, "/{n}")]
        generator = LoadGenerator(
            "127.0.0.1", origin.port, requests, rate=1000, seconds=0.4, connections=8
        )
        result = await generator.run()
    assert result.sent == 400
    assert result.statuses == {200: 300, 429: 100}
    assert not result.failures
    assert sorted(int(request.target[1:]) for request in origin.requests) == list(range(400))
    assert len(origin.peers) <= 8
    assert 0.0 < result.latency(0.5) <= result.latency(0.99) <= result.latency(1.0)


async def test_a_latency_counts_from_the_moment_the_request_was_due() -> None:
    async with HttpOrigin() as origin:
        result = await load(origin.url, "/delay/0.1", rate=50, seconds=0.2, connections=1)
    assert result.statuses == {200: 10}
    # One connection answers every 0.1 s what is due every 0.02 s: the tenth waits 0.8 s.
    assert result.latency(1.0) > 0.75


@pytest.mark.parametrize("target", ["/chunked/100000", "/until-close/1000", "/status/204"])
async def test_each_way_to_end_a_body_is_understood(target: str) -> None:
    async with HttpOrigin() as origin:
        result = await load(origin.url, target, rate=100, seconds=0.1, connections=4)
    assert sum(result.statuses.values()) == 10
    assert not result.failures


async def test_failures_are_counted_by_kind() -> None:
    async def leave(peer: Peer) -> None:
        await peer.read_request()

    async def talk_nonsense(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"SSH-2.0-nonsense\r\n\r\n")

    for script, kind in ((leave, "closed"), (talk_nonsense, "malformed"), (Peer.stall, "timeout")):
        async with RawOrigin(script) as origin:
            requests = [get("127.0.0.1", origin.port, "/")]
            generator = LoadGenerator(
                "127.0.0.1", origin.port, requests, rate=100, seconds=0.05, timeout=0.1
            )
            result = await generator.run()
        assert result.failures == {kind: 5}
    async with RawOrigin(Peer.stall) as origin:
        gone = origin.url
    assert (await load(gone, rate=100, seconds=0.05)).failures == {"connect": 5}


async def test_requests_that_found_no_connection_in_time_were_not_sent() -> None:
    async with RawOrigin(Peer.stall) as origin:
        requests = [get("127.0.0.1", origin.port, "/")]
        generator = LoadGenerator(
            "127.0.0.1", origin.port, requests, rate=200, seconds=0.05, connections=1, timeout=0.2
        )
        result = await generator.run()
    assert result.sent == 10
    assert result.failed == 10
    assert result.failures["not sent"] >= 5


async def test_the_command_prints_a_line_a_second_and_a_summary() -> None:
    async with HttpOrigin() as origin:
        command = (sys.executable, "-m", "tests.support.load", f"{origin.url}/status/503")
        process = await create_subprocess_exec(
            *command,
            *("--rate", "100", "--seconds", "1.2"),
            stdout=PIPE,
            cwd=Path(__file__).parents[2],
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    lines = output.decode().splitlines()
    assert any(line.strip().startswith("1 s  sent") for line in lines)
    assert lines[-1].split()[:3] == ["503", "120", "100.0%"]
