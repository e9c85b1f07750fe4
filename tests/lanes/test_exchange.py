"""What a lane does when it is at fault itself. All else is shown by the scenarios."""

import asyncio
import logging
from pathlib import Path

import pytest

from proxy.lanes.exchange import Exchange
from proxy.lanes.full_upstream import UpstreamConnection
from proxy.lanes.relay import Relay
from proxy.policy.engine import UNMATCHED
from proxy.policy.reasons import Reason
from proxy.policy.verdict import Kind
from tests.lanes.listening import Listening, NoLog, listening
from tests.support.http_origin import block
from tests.support.origin import Peer, RawOrigin, answering, ok
from tests.support.raw_client import RawClient, request_head


async def _broken(*_: object) -> bool:
    raise RuntimeError("broken")


def _errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_the_log_is_told_what_became_of_a_request(tmp_path: Path) -> None:
    kinds: list[Kind] = []

    class Kinds(NoLog):
        def wants(self, kind: Kind, now: float) -> bool:
            kinds.append(kind)
            return False

    async def script(peer: Peer) -> None:
        if await peer.read_request():
            await peer.send(ok())
        if await peer.read_request():
            peer.reset()

    async with (
        RawOrigin(script) as origin,
        listening(origin.url, tmp_path, log=Kinds()) as lane,
        RawClient(lane.port) as client,
    ):
        assert (await client.get("/")).status == 200
        assert (await client.get("/")).status == 502
        await client.send(b"nonsense\r\n\r\n")
        assert (await client.read_response()).status == 400
    assert kinds == ["admitted", "failed", "refused"]


async def test_a_fault_of_its_own_is_a_500_that_is_logged_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        RawOrigin(answering(ok())) as origin,
        listening(origin.url, tmp_path) as lane,
    ):
        async with RawClient(lane.port) as client:
            monkeypatch.setattr(Relay, "run", _broken)
            answer = await client.get("/")
            assert answer.status == 500
            assert answer.header("proxy-status") == (
                'planb; error=proxy_internal_error; details="internal"'
            )
            monkeypatch.undo()
            assert (await client.get("/")).status == 200
        counters = lane.services.engine.rules.routes[UNMATCHED]
        assert counters.failed[Reason.INTERNAL] == 1
        assert counters.in_flight == 0
    (record,) = _errors(caplog)
    assert record.name == "proxy.lanes.exchange"
    assert record.exc_info is not None


async def test_a_fault_within_an_answer_cuts_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(relay: Relay) -> bool:
        relay._exchange.status = 200
        await relay._exchange.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        raise RuntimeError("broken")

    monkeypatch.setattr(Relay, "run", broken)
    async with (
        RawOrigin(answering(ok())) as origin,
        listening(origin.url, tmp_path) as lane,
        RawClient(lane.port) as client,
    ):
        await client.send(request_head("GET", "/"))
        with pytest.raises(ConnectionError):
            await client.read_to_end()


@pytest.mark.parametrize("faults", [("_decide",), ("_forward", "_answer"), ("_settle",)])
async def test_a_fault_that_leaves_no_answer_cuts_the_connection_and_is_logged_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    faults: tuple[str, ...],
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    async with (
        RawOrigin(answering(ok())) as origin,
        listening(origin.url, tmp_path) as lane,
        RawClient(lane.port) as client,
    ):
        for name in faults:
            monkeypatch.setattr(Exchange, name, broken)
        await client.send(request_head("GET", "/"))
        with pytest.raises(ConnectionError):
            await client.read_to_end()
        monkeypatch.undo()
    (record,) = _errors(caplog)
    assert record.name.startswith("proxy.lanes.")


async def test_a_fault_within_an_upload_is_a_500_that_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Relay, "_copy_body", _broken)
    async with (
        RawOrigin(answering(ok()), peers_may_leave=True) as origin,
        listening(origin.url, tmp_path) as lane,
        RawClient(lane.port) as client,
    ):
        await client.send(request_head("POST", "/", "Content-Length: 5"))
        assert (await client.read_response()).status == 500
    (record,) = _errors(caplog)
    assert record.exc_info is not None


async def test_an_upstream_that_closes_with_a_part_of_an_upload_unsent_has_left(
    tmp_path: Path,
) -> None:
    close = asyncio.Event()

    async def deaf(peer: Peer) -> None:
        await peer.read_request_head()
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await close.wait()
        peer.half_close()
        await asyncio.sleep(60)

    async with (
        RawOrigin(deaf, records=False) as origin,
        listening(origin.url, tmp_path) as lane,
        RawClient(lane.port) as client,
    ):
        await client.send(request_head("POST", "/", "Content-Length: 1000000000"))
        transport = await _transport_of_the_upstream(lane)
        while not transport.get_write_buffer_size():
            await client.send(block(8192))
            await asyncio.sleep(0.001)
        close.set()
        async with asyncio.timeout(5):
            while not transport.is_closing():
                await asyncio.sleep(0.01)
        await client.send(block(8192))
        assert (await client.read_response()).status == 502


async def _transport_of_the_upstream(lane: Listening) -> asyncio.Transport:
    upstream = lane.services.upstreams["shop"].endpoint(0.0)
    async with asyncio.timeout(5):
        while not upstream.in_use:
            await asyncio.sleep(0.01)
    (protocol,) = upstream._known
    assert protocol.transport is not None
    return protocol.transport


async def test_an_upload_that_can_t_be_sent_leaves_a_deadline_for_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_connection: UpstreamConnection, _data: bytes) -> None:
        raise ConnectionResetError("the upstream has gone")

    monkeypatch.setattr(UpstreamConnection, "write", gone)
    async with (
        RawOrigin(answering(ok()), peers_may_leave=True) as origin,
        listening(origin.url, tmp_path, upstream="timeouts: {response: 100ms}") as lane,
        RawClient(lane.port) as client,
    ):
        await client.send(request_head("POST", "/", "Content-Length: 10") + b"12345")
        assert (await client.read_response()).status == 504
