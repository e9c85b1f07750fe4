"""Collecting what is relayed, in bounded memory."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from proxy.lanes.tap import COLLECTED_SHARE, Tap, Taps, tap_on
from proxy.policy.keeping import Lookup
from proxy.policy.request import Request
from proxy.policy.snapshot import KeepSpec
from proxy.wire.response_head import Framing, ResponseHead, ResponseHeadReader
from tests.policy.guarded import Guarded
from tests.policy.kept import lookup, shop

KEEP = KeepSpec(last_good_for=60.0, ttl=1.0, coalesce=True)
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Stage:
    """An engine whose one route keeps answers, and the taps on them."""

    def __init__(self) -> None:
        self.engine: Guarded = shop(keep=KEEP)
        self.dropped: list[bytes] = []
        self.soon: list[Callable[[], object]] = []
        self.services: Any = SimpleNamespace(
            upstreams=SimpleNamespace(loop=SimpleNamespace(call_soon=self.soon.append)),
            engine=self.engine.engine,
            taps=Taps(),
            shelf=SimpleNamespace(put=lambda *_: None, drop=self.dropped.append),
            wall=lambda: 0.0,
            date=lambda: b"(now)",
        )

    def lookup(self, path: str) -> Lookup:
        return lookup(self.engine.ask(0.0, path))

    def tap(self, path: str, data: bytes = b"", head: bytes = HEAD) -> Tap | None:
        return tap_on(
            *(self.services, self.lookup(path), _head(head), Framing.CHUNKED, data, 0.0),
            delay=0.0,
            complete=False,
        )

    @property
    def most(self) -> int:
        """What all of them may hold."""
        return self.engine.rules.stored.spec.memory_bytes // COLLECTED_SHARE


def _head(data: bytes) -> ResponseHead:
    head = ResponseHeadReader(65536).feed(data)
    assert head is not None
    return head


def test_a_response_is_kept_when_it_is_complete() -> None:
    it = Stage()
    tap = it.tap("/a", b"one ")
    assert tap is not None
    assert it.services.taps.bytes == 4
    assert tap.take(b"two ", 0.0, complete=False) is tap
    assert tap.take(b"", 0.0, complete=True) is None
    kept = it.lookup("/a").served
    assert kept is not None
    assert kept.body == b"one two "
    assert (it.services.taps.bytes, len(it.services.taps)) == (0, 0)


def test_a_response_came_when_its_head_did() -> None:
    it = Stage()
    tap = it.tap("/a", b"one ")
    assert tap is not None
    tap.take(b"two ", 0.9, complete=True)
    kept = it.lookup("/a").served
    assert kept is not None
    assert kept.arrived_at == 0.0
    late = it.engine.ask(1.0, "/a")
    assert lookup(late).served is None


def test_what_becomes_too_large_is_let_go() -> None:
    it = Stage()
    tap = it.tap("/a")
    assert tap is not None
    largest = it.engine.rules.stored.spec.largest_bytes
    assert tap.take(bytes(largest), 0.0, complete=False) is tap
    assert tap.take(b"x", 0.0, complete=True) is None
    assert len(it.engine.rules.stored.table) == 0
    assert (it.services.taps.bytes, len(it.services.taps)) == (0, 0)


def test_what_is_given_up_is_let_go_once_and_the_next_leads() -> None:
    it = Stage()
    tap = it.tap("/a", b"x")
    follower = it.engine.ask(0.0, "/a")
    assert tap is not None
    tap.give_up()
    tap.end()
    tap.end()
    assert follower.woken == 1
    assert tap.take(b"x", 0.0, complete=True) is None
    assert (it.services.taps.bytes, len(it.services.taps)) == (0, 0)
    assert len(it.engine.rules.stored.table) == 0


def test_together_they_hold_so_much_and_the_first_gives_up() -> None:
    it = Stage()
    size = it.engine.rules.stored.spec.largest_bytes
    taps = [it.tap(f"/{number}", bytes(size)) for number in range(40)]
    assert it.services.taps.bytes <= it.most
    first, last = taps[0], taps[-1]
    assert first is not None
    assert last is not None
    assert first.take(b"", 0.0, complete=True) is None
    assert it.lookup("/0").served is None
    assert last.take(b"", 0.0, complete=True) is None
    assert it.lookup("/39").served is not None


class Client:
    """One that takes nothing of what is written to it: a transport's `unsent` bytes."""

    def __init__(self, unsent: int) -> None:
        self.unsent = unsent
        self.woken = 0

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def wake(self) -> None:
        self.woken += 1

    def is_left_behind(self, tap: Tap) -> bool:
        return tap.runs_ahead(cast("asyncio.WriteTransport", self), self.wake)


def test_a_client_is_left_behind_while_others_wait_only() -> None:
    it = Stage()
    tap, client = it.tap("/a", b"one "), Client(4)
    assert tap is not None
    assert not client.is_left_behind(tap)
    follower = it.engine.ask(0.0, "/a")
    (wake,) = it.soon
    wake()
    assert client.woken == 1
    assert client.is_left_behind(tap)
    follower.settle(0.0, status=0)
    assert not client.is_left_behind(tap)
    it.engine.ask(0.0, "/a")
    assert len(it.soon) == 2
    assert tap.take(b"two", 0.0, complete=True) is tap
    assert not client.is_left_behind(tap)
    it.engine.ask(9.0, "/a")
    assert len(it.soon) == 2


def test_what_is_unsent_counts_until_the_exchange_ends() -> None:
    it = Stage()
    ended: list[Tap] = []
    for number in range(2):
        tap, client = it.tap(f"/{number}", b"x"), Client(it.most // 2)
        follower = it.engine.ask(0.0, f"/{number}")
        assert tap is not None
        assert client.is_left_behind(tap)
        client.unsent -= 1
        assert client.is_left_behind(tap)
        assert it.services.taps.ahead_bytes == (number + 1) * (it.most // 2 - 1)
        assert tap.take(b"y", 0.0, complete=True) is tap
        assert follower.woken == 1
        ended.append(tap)
    # There is no room for a third: who waits for it waits for another.
    third, client = it.tap("/third", b"x"), Client(it.most // 2)
    follower = it.engine.ask(0.0, "/third")
    assert third is not None
    assert not client.is_left_behind(third)
    assert follower.woken == 1
    assert third.take(b"y", 0.0, complete=True) is None
    for tap in ended:
        tap.end()
    assert it.services.taps.ahead_bytes == 0


@pytest.mark.parametrize("status", [b"404 Not Found", b"410 Gone"])
def test_what_is_gone_is_forgotten_everywhere(status: bytes) -> None:
    it = Stage()
    tap = it.tap("/a")
    assert tap is not None
    tap.take(b"", 0.0, complete=True)
    assert it.lookup("/a").served is not None
    asking = Request("GET", "shop.test", "/a", b"", (), b"@", target=b"/a")
    again = it.engine.rules.guards["front"][0].keeping
    assert again is not None
    found = again.lookup(asking)
    assert found is not None
    gone = _head(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)
    tap_on(it.services, found, gone, Framing.LENGTH, b"", 2.0, delay=0.0, complete=True)
    assert it.dropped == [found.key]
    assert found.last_good(2.0) is None
