from dataclasses import replace

import pytest

from proxy.ops.gate_notice import GateNotice
from proxy.ops.stats import BreakerReading
from tests.ops.fake_stats import FakeStats

CLOSED = BreakerReading("coupons", "", "closed", 1.0)
OPEN = BreakerReading("coupons", "", "open", 0.0, 1, "20 requests in a row failed")
TOLD = "the breaker of coupons is open: 20 requests in a row failed"
OVER = "the breaker of coupons is closed again"
GONE = "the breaker of coupons is gone: the rules have none any more"


def tell(*readings: list[BreakerReading]) -> None:
    stats = FakeStats()
    notice = GateNotice(stats)
    for rows in readings:
        stats.breaker_rows = rows
        notice.tell()


def test_it_is_told_once_that_a_breaker_opens_and_that_it_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    probing = replace(OPEN, state="probing")
    again = replace(OPEN, opened=2)
    well = replace(CLOSED, opened=2)
    tell([CLOSED], [OPEN], [OPEN], [probing], [again], [probing], [well], [well])
    assert caplog.messages == [TOLD, OVER]


def test_what_opened_and_closed_between_two_looks_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tell([CLOSED], [replace(OPEN, state="closed")], [replace(OPEN, state="closed")])
    assert caplog.messages == [TOLD, OVER]


def test_breakers_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    of_route = replace(OPEN, route="orders")
    tell([OPEN, replace(of_route, state="closed", opened=0)], [OPEN, of_route])
    assert caplog.messages == [TOLD, TOLD.replace("coupons", "orders to coupons")]


def test_that_new_rules_take_an_open_one_away_is_told_and_it_is_another_when_it_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tell([OPEN], [], [CLOSED], [], [CLOSED], [OPEN])
    assert caplog.messages == [TOLD, GONE, TOLD]
