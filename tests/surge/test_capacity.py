import asyncio
import time

import pytest

from proxy.surge import capacity
from proxy.surge.capacity import measure_capacity
from proxy.surge.target import TargetError
from tests.support.origin import Peer, RawOrigin, answering, ok, response
from tests.surge.targets import near


class _Slots:
    """Serves so many at a time, each in 20 ms; what waits, waits."""

    def __init__(self, count: int) -> None:
        self._slots = asyncio.Semaphore(count)
        self.most_at_once = 0
        self._at_once = 0

    async def __call__(self, peer: Peer) -> None:
        while await peer.read_request():
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            async with self._slots:
                await asyncio.sleep(0.02)
            self._at_once -= 1
            await peer.send(ok())


class _Limited:
    """Serves 100 a second after a burst of 40, and refuses the others."""

    def __init__(self) -> None:
        self._full_at = time.monotonic()

    async def __call__(self, peer: Peer) -> None:
        while await peer.read_request():
            now = time.monotonic()
            self._full_at = max(self._full_at, now)
            if self._full_at - now < 0.4:
                self._full_at += 0.01
                await peer.send(ok())
            else:
                await peer.send(response(429, "Too Many Requests", b""))


async def test_the_knee_is_found_with_few_visitors() -> None:
    slots = _Slots(5)
    async with RawOrigin(slots, peers_may_leave=True) as origin:
        found = await measure_capacity(near(origin.port))
    # 5 slots of 20 ms are 250 a second; timers are late, never early.
    assert 150 < found < 255
    assert slots.most_at_once <= 16


async def test_of_a_server_with_a_limit_the_burst_is_not_counted() -> None:
    async with RawOrigin(_Limited(), peers_may_leave=True) as origin:
        found = await measure_capacity(near(origin.port))
    assert 90 < found < 110


async def test_a_server_that_takes_longer_than_a_round_is_measured_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(peer: Peer) -> None:
        while await peer.read_request():
            await asyncio.sleep(0.5)
            await peer.send(ok())

    monkeypatch.setattr(capacity, "SETTLE", 0.1)
    monkeypatch.setattr(capacity, "MEASURE", 0.2)
    monkeypatch.setattr(capacity, "ROUNDS", (4,))
    async with RawOrigin(slow, peers_may_leave=True) as origin:
        assert 6 < await measure_capacity(near(origin.port)) <= 8


async def test_why_nothing_can_be_measured_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "PATIENCE", 0.2)
    monkeypatch.setattr(capacity, "SETTLE_LIMITED", 0.2)

    async def leave(peer: Peer) -> None:
        await peer.read_request()

    for script, why in (
        (answering(response(404, "Not Found", b"")), "answers 404, .* Name a URL"),
        (answering(response(503, "Unavailable", b"")), "refuses everything .503."),
        (Peer.stall, "no answer within 0.2 s"),
        (leave, "closes connections"),
    ):
        async with RawOrigin(script, peers_may_leave=True) as origin:
            with pytest.raises(TargetError, match=why):
                await measure_capacity(near(origin.port))
