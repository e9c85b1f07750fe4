"""The flow of a request's body: what is held, when the client is waited for, when it is paused."""

import math
from typing import cast

import pytest

from proxy.lanes import express_upload
from proxy.lanes.byte_queue import HIGH_WATER_BYTES
from proxy.lanes.express_downstream import ExpressConnection
from proxy.lanes.express_upload import Upload
from proxy.lanes.express_upstream import UpstreamLink
from proxy.policy.snapshot import ListenerSpec, ListenerTimeouts
from tests.support.build import interpreted_only

pytestmark = interpreted_only

RULES = ListenerSpec(
    "storefront",
    "127.0.0.1",
    0,
    "shop",
    timeouts=ListenerTimeouts(body=20.0),
    min_body_bytes_per_second=100,
)


class Patience:
    def __init__(self) -> None:
        self.at = math.inf

    def set(self, at: float) -> None:
        self.at = at

    def clear(self) -> None:
        self.at = math.inf


class Downstream:
    def __init__(self) -> None:
        self.patience = Patience()
        self._paused = False

    def is_reading(self) -> bool:
        return not self._paused

    def rules(self) -> ListenerSpec:
        return RULES

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False


class Link:
    def __init__(self) -> None:
        self.sent = b""
        self.writing_paused = False
        self.gone = False

    def send(self, data: bytes) -> bool:
        assert not self.writing_paused, "sent what there is no room for"
        if not self.gone:
            self.sent += data
        return not self.gone


class Body:
    """An upload of `length` bytes, its client and its upstream, at a settable time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.client = Downstream()
        self.link = Link()
        self.upload = Upload(cast("ExpressConnection", self.client), 1000)
        monkeypatch.setattr(express_upload, "monotonic", lambda: self.now)

    def take(self, size: int, *, connected: bool = True) -> None:
        """The client has sent so much, and is waited for if more is to come."""
        self.upload.take(bytes(size), cast("UpstreamLink", self.link) if connected else None)
        if connected and not self.upload.over:
            self.wait_for_more()

    def wait_for_more(self) -> None:
        self.upload.wait_for_more(cast("UpstreamLink", self.link), self.now)


@pytest.fixture
def body(monkeypatch: pytest.MonkeyPatch) -> Body:
    return Body(monkeypatch)


def test_what_comes_before_a_connection_goes_with_the_head(body: Body) -> None:
    body.take(300, connected=False)
    body.take(200, connected=False)
    assert (body.upload.left, body.upload.passed_on) == (500, 0)
    assert len(body.upload.begin()) == 500
    assert (body.upload.left, body.upload.passed_on) == (500, 500)


def test_no_more_is_held_than_one_read_over_the_mark(body: Body) -> None:
    body.upload.left = 1 << 20
    body.take(HIGH_WATER_BYTES, connected=False)
    assert body.client.is_reading()
    body.take(1, connected=False)
    assert not body.client.is_reading()


def test_the_last_bytes_end_it(body: Body) -> None:
    body.wait_for_more()
    body.take(999)
    assert not body.upload.over
    body.take(1)
    assert body.upload.left == 0
    assert body.upload.complete
    assert body.client.patience.at == math.inf


def test_an_upstream_that_takes_no_more_ends_it_incomplete_even_with_the_last(body: Body) -> None:
    body.link.gone = True
    body.take(1000)
    assert body.upload.over
    assert not body.upload.complete


def test_a_client_is_waited_for_for_a_grace_and_what_its_bytes_earn(body: Body) -> None:
    body.wait_for_more()
    assert body.client.patience.at == 1020.0
    body.now += 15.0
    body.take(500)
    # 15 s of 20 + 500/100 have been used.
    assert body.client.patience.at == 1015.0 + 10.0


def test_what_it_has_earned_buys_no_longer_silence(body: Body) -> None:
    body.wait_for_more()
    body.take(900)
    assert body.client.patience.at == 1020.0


def test_an_upstream_without_room_pauses_the_client_at_no_cost_to_it(body: Body) -> None:
    body.link.writing_paused = True
    body.wait_for_more()
    assert not body.client.is_reading()
    assert body.client.patience.at == math.inf
    body.now += 100.0
    body.link.writing_paused = False
    body.wait_for_more()
    assert body.client.is_reading()
    assert body.client.patience.at == 1120.0


def test_what_is_to_be_sent_again_is_held_until_then(body: Body) -> None:
    body.upload.holds = True
    body.take(300, connected=False)
    assert len(body.upload.begin()) == 300
    body.take(200)
    body.link.gone = True
    body.take(100)
    assert body.upload.over
    body.upload.rewind()
    assert (body.upload.left, body.upload.passed_on, body.upload.over) == (400, 0, False)
    assert body.client.patience.at == math.inf
    body.take(400, connected=False)
    assert len(body.upload.begin()) == 1000
    assert body.upload.complete
