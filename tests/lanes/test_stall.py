"""StallWatch: a slow peer is not one that takes nothing."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from proxy.lanes import stall
from proxy.lanes.deadlines import DeadlineWheel
from proxy.lanes.stall import StallWatch
from tests.lanes.fake_loop import Loop
from tests.lanes.fake_transport import FakeTransport


class Watched:
    """A watch, its transport, and how often it called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = Loop()
        self.calls = 0
        self.transport = FakeTransport()
        self.transport.unsent = 100_000
        clock: Callable[[], float] = self.loop.clock
        monkeypatch.setattr(stall, "monotonic", clock)
        self.wheel = DeadlineWheel(cast("asyncio.AbstractEventLoop", self.loop), clock)
        self.watch = StallWatch(self.wheel, self._stalled)

    def _stalled(self) -> None:
        self.calls += 1

    def begin(self, patience: float) -> None:
        self.watch.begin(self.transport, patience)

    def take(self, size: int) -> None:
        assert self.transport.unsent is not None
        self.transport.unsent -= size

    def wait(self, seconds: float) -> None:
        self.loop.run_until(self.loop.now + seconds)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def test_who_takes_nothing_has_stalled_once(watched: Watched) -> None:
    watched.watch.begin(watched.transport, 5.0)
    watched.wait(4.99)
    assert watched.calls == 0
    watched.wait(0.1)
    assert watched.calls == 1
    watched.wait(100.0)
    assert watched.calls == 1


def test_one_byte_in_time_is_enough_each_time(watched: Watched) -> None:
    watched.watch.begin(watched.transport, 5.0)
    for _ in range(10):
        watched.wait(4.9)
        watched.take(1)
    assert watched.calls == 0
    watched.wait(10.1)
    assert watched.calls == 1


def test_who_takes_enough_is_watched_no_longer(watched: Watched) -> None:
    watched.watch.begin(watched.transport, 5.0)
    watched.wait(4.0)
    watched.watch.end()
    watched.wait(100.0)
    assert watched.calls == 0
    watched.watch.begin(watched.transport, 5.0)
    watched.wait(4.0)
    assert watched.calls == 0
    watched.wait(2.0)
    assert watched.calls == 1


def test_a_buffer_that_was_filled_anew_meanwhile_is_no_standstill(watched: Watched) -> None:
    watched.watch.begin(watched.transport, 5.0)
    watched.wait(3.0)
    watched.watch.end()
    watched.transport.unsent = 200_000
    watched.watch.begin(watched.transport, 5.0)
    watched.wait(4.0)
    assert watched.calls == 0


def test_without_a_full_buffer_nothing_is_watched(watched: Watched) -> None:
    watched.watch.end()
    watched.wait(100.0)
    watched.watch.close()
    assert watched.calls == 0
    assert watched.loop.calls == 0


def test_once_closed_it_is_forgotten(watched: Watched) -> None:
    watched.watch.begin(watched.transport, 5.0)
    watched.watch.close()
    assert not any(watched.wheel._slots.values())
    watched.wait(100.0)
    assert watched.calls == 0
