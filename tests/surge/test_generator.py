import asyncio
import errno
import time

import pytest

from proxy.surge.generator import LoadGenerator, get, load
from tests.support.http_origin import HttpOrigin
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


async def test_the_wait_for_a_connection_is_part_of_the_latency() -> None:
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


async def test_who_gets_no_answer_leaves_and_tries_again_on_a_new_connection() -> None:
    async with RawOrigin(Peer.stall, peers_may_leave=True) as origin:
        generator = LoadGenerator(
            "127.0.0.1",
            origin.port,
            [get("127.0.0.1", origin.port, "/")],
            rate=2,
            seconds=1.0,
            timeout=0.1,
            retries=2,
        )
        result = await generator.run()
        left = [peer.left.is_set() for peer in origin.peers]
    assert (result.sent, result.retried) == (6, 4)
    assert result.failures == {"timeout": 6}
    assert left == [True] * 6


async def test_who_is_refused_has_an_answer_and_goes() -> None:
    async with RawOrigin(answering(response(503, "Unavailable", b""))) as origin:
        generator = LoadGenerator(
            "127.0.0.1",
            origin.port,
            [get("127.0.0.1", origin.port, "/")],
            rate=100,
            seconds=0.1,
            retries=2,
        )
        result = await generator.run()
    assert (result.sent, result.retried, result.statuses) == (10, 0, {503: 10})


async def test_who_finds_a_closed_door_tries_again() -> None:
    async with RawOrigin(Peer.stall) as origin:
        port = origin.port
    generator = LoadGenerator(
        "127.0.0.1", port, [get("127.0.0.1", port, "/")], rate=20, seconds=0.5, retries=1
    )
    result = await generator.run()
    assert (result.sent, result.retried) == (20, 10)
    assert result.failures == {"connect": 20}


async def test_a_connection_that_this_process_cannot_open_is_not_the_server_s_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def out_of_descriptors(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", out_of_descriptors)
    result = await load("http://127.0.0.1:9", rate=100, seconds=0.05)
    assert result.failures == {"not sent": 5}


async def test_connections_come_from_the_sources_in_turn() -> None:
    seen: set[str] = set()

    async def look(peer: Peer) -> None:
        seen.add(peer.writer.get_extra_info("peername")[0])
        await peer.read_request()

    sources = ["127.0.0.1", "127.0.0.3"]
    async with RawOrigin(look) as origin:
        generator = LoadGenerator(
            "127.0.0.1",
            origin.port,
            [get("127.0.0.1", origin.port, "/")],
            rate=100,
            seconds=0.1,
            sources=sources,
        )
        await generator.run()
    assert seen == set(sources)


async def test_a_stopped_generator_waits_for_answers_and_a_second_stop_does_not() -> None:
    async with HttpOrigin() as origin:
        for stops, outcome in ((1, {200: 1}), (2, {})):
            generator = LoadGenerator(
                "127.0.0.1",
                origin.port,
                [get("127.0.0.1", origin.port, "/delay/0.3")],
                rate=1,
                seconds=60,
            )
            running = asyncio.create_task(generator.run())
            await asyncio.sleep(0.1)
            for _ in range(stops):
                generator.stop()
            result = await running
            assert result.statuses == outcome
            assert result.sent == result.statuses.total() + result.failed == 1


async def test_what_the_generator_is_late_itself_is_kept_beside() -> None:
    async with HttpOrigin() as origin:
        generator = LoadGenerator(
            "127.0.0.1",
            origin.port,
            [get("127.0.0.1", origin.port, "/bytes/1")],
            rate=100,
            seconds=0.4,
        )
        running = asyncio.create_task(generator.run())
        await asyncio.sleep(0.1)
        time.sleep(0.2)  # noqa: ASYNC251 - the loop is to stand still
        result = await running
    assert len(result.lateness) == result.sent == 40
    assert max(result.lateness) >= 0.18
