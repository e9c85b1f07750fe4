"""LingeringClose: the last answer is read, and nobody stays for ever."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from proxy.lanes import lingering
from proxy.lanes.deadlines import DeadlineWheel
from proxy.lanes.lingering import LingeringClose
from proxy.lanes.request_feed import LONGEST_DISCARD, MOST_DISCARDED_BYTES
from tests.lanes.fake_loop import Loop
from tests.lanes.fake_transport import FakeTransport


class Lingering:
    """A connection about to end, and how often it did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = Loop()
        self.ended = 0
        self.transport = FakeTransport()
        self.transport.set_protocol(asyncio.Protocol())
        self.transport.unsent = 0
        clock: Callable[[], float] = self.loop.clock
        monkeypatch.setattr(lingering, "monotonic", clock)
        self.wheel = DeadlineWheel(cast("asyncio.AbstractEventLoop", self.loop), clock)
        self.close = LingeringClose(self.wheel, self.transport, 5.0, self._ended)

    def _ended(self) -> None:
        self.ended += 1

    def is_aborted(self) -> bool:
        return self.transport.aborted

    def wait(self, seconds: float) -> None:
        self.loop.run_until(self.loop.now + seconds)

    def has_ended(self) -> bool:
        """After its connection was lost."""
        self.transport.lose()
        assert self.ended == 1
        assert not any(self.wheel._slots.values())
        self.wait(100.0)
        return True


@pytest.fixture
def it(monkeypatch: pytest.MonkeyPatch) -> Lingering:
    return Lingering(monkeypatch)


def test_a_client_that_closes_has_read_the_answer(it: Lingering) -> None:
    it.close.begin()
    assert it.transport.half_closed
    it.transport.receive(b"more of the upload")
    it.transport.end()
    assert it.transport.is_closing()
    assert not it.is_aborted()
    assert it.has_ended()


def test_what_was_not_read_before_is_read_and_dropped(it: Lingering) -> None:
    it.transport.reading = False
    it.close.begin()
    it.transport.receive(b"x")
    assert not it.transport.is_closing()


def test_a_client_that_stays_is_closed_after_a_while(it: Lingering) -> None:
    it.close.begin()
    it.wait(LONGEST_DISCARD - 0.01)
    assert not it.transport.is_closing()
    it.wait(0.1)
    assert it.transport.is_closing()
    assert not it.is_aborted()
    assert it.has_ended()


def test_a_client_that_stays_and_takes_nothing_is_cut(it: Lingering) -> None:
    it.transport.unsent = 10
    it.close.begin()
    it.wait(LONGEST_DISCARD + 0.1)
    assert it.transport.is_closing()
    it.wait(4.8)
    assert not it.is_aborted()
    it.wait(0.2)
    assert it.is_aborted()
    assert it.has_ended()


def test_a_client_that_sends_without_end_is_closed(it: Lingering) -> None:
    it.close.begin()
    for _ in range(MOST_DISCARDED_BYTES >> 20):
        it.transport.receive(bytes(1 << 20))
    assert not it.transport.is_closing()
    it.transport.receive(b"x")
    assert it.transport.is_closing()
    assert it.has_ended()


def test_closing_at_once_is_orderly(it: Lingering) -> None:
    it.close.close()
    assert it.transport.is_closing()
    assert not it.is_aborted()
    assert not it.transport.half_closed
    assert it.has_ended()


def test_closing_at_once_a_client_that_takes_nothing_ends_with_a_cut(it: Lingering) -> None:
    it.transport.unsent = 10
    it.close.close()
    it.wait(5.1)
    assert it.is_aborted()
    assert it.has_ended()


def test_on_a_connection_that_closes_already_nothing_is_sent(it: Lingering) -> None:
    it.transport.close()
    it.close.begin()
    assert not it.transport.half_closed
    assert it.has_ended()
