import json
import random
from typing import Any

import pytest

from proxy.ops.access_log import MOST_FAILURES, AccessLog, AccessRecord
from proxy.policy.log_spec import LogSpec
from proxy.policy.reasons import Reason


def access_log(spec: LogSpec, chance: float = 0.5) -> tuple[AccessLog, list[str]]:
    lines: list[str] = []
    return AccessLog(spec, lines.append, chance=lambda: chance, wall=lambda: 1772366400.0), lines


def record(**changes: Any) -> AccessRecord:
    fields: dict[str, Any] = {
        "listener": "storefront",
        "route": "item",
        "client": "192.0.2.1",
        "method": "GET",
        "target": "/items/1?colour=red",
        "host": "shop.example",
        "user_agent": "curl/8.5",
        "status": 429,
        "verdict": "refused",
        "reason": Reason.RATE,
        "limit": "item.rate",
        "duration": 0.00012345,
        "own": 0.00012345,
        "waited": 0.0,
        "upstream": 0.0,
        "bytes_in": 120,
        "bytes_out": 900,
        "detail": "",
    }
    return AccessRecord(**{**fields, **changes})


def test_a_json_line_tells_all() -> None:
    log, lines = access_log(LogSpec(format="json"))
    log.write(record())
    assert json.loads(lines[0]) == {
        "time": "2026-03-01T12:00:00.000Z",
        "level": "info",
        "logger": "access",
        "listener": "storefront",
        "route": "item",
        "client": "192.0.2.1",
        "method": "GET",
        "target": "/items/1?colour=red",
        "host": "shop.example",
        "status": 429,
        "verdict": "refused",
        "reason": "rate",
        "served_from": "",
        "limit": "item.rate",
        "duration_seconds": 0.000123,
        "own_seconds": 0.000123,
        "waited_seconds": 0.0,
        "upstream_seconds": 0.0,
        "bytes_in": 120,
        "bytes_out": 900,
        "detail": "",
        "user_agent": "curl/8.5",
    }


def test_a_console_line_is_short() -> None:
    log, lines = access_log(LogSpec())
    log.write(record())
    assert lines[0].endswith(
        "429 GET /items/1?colour=red refused rate by item.rate 0.1 ms (item, 192.0.2.1)"
    )


def test_who_was_sent_again_shows_how_often() -> None:
    for format_, expected in (("json", '"attempts": 2'), ("console", ", attempt 2 ")):
        log, lines = access_log(LogSpec(format=format_))
        log.write(record(attempts=2))
        log.write(record(attempts=1))
        assert expected in lines[0]
        assert "attempt" not in lines[1]


def test_a_console_line_ends_with_what_went_wrong() -> None:
    log, lines = access_log(LogSpec())
    log.write(record(status=502, verdict="failed", detail="connection refused"))
    assert lines[0].endswith(": connection refused")


@pytest.mark.parametrize("format_", ["json", "console"])
def test_what_a_client_sends_neither_breaks_nor_floods_a_line(format_: str) -> None:
    log, lines = access_log(LogSpec(format=format_))
    log.write(
        record(
            target="/\r\n\x1b\x85" + "a" * 100_000,
            host="h" * 100_000,
            user_agent="\n" * 100_000,
            method="GET\x00",
            detail="\n" * 100_000,
        )
    )
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert len(lines[0]) < 8000


def test_admitted_and_refused_requests_are_sampled_by_their_own_ratios() -> None:
    log, _ = access_log(LogSpec(sample_admitted_ratio=0.6, sample_refused_ratio=0.4), chance=0.5)
    assert log.wants("admitted", 0.0)
    assert not log.wants("refused", 0.0)


def test_a_ratio_of_one_writes_all_and_of_nought_none() -> None:
    always, _ = access_log(LogSpec(sample_refused_ratio=1.0), chance=0.9999999)
    assert always.wants("refused", 0.0)
    never, _ = access_log(LogSpec(sample_refused_ratio=0.0), chance=0.0)
    assert not never.wants("refused", 0.0)


def test_the_share_that_is_written_is_the_ratio() -> None:
    log = AccessLog(LogSpec(), print, chance=random.Random(7).random)
    wanted = sum(log.wants("refused", 0.0) for _ in range(100_000))
    assert 900 < wanted < 1100


def test_no_access_lines_when_switched_off() -> None:
    log, _ = access_log(LogSpec(access=False), chance=0.0)
    assert not log.wants("admitted", 0.0)
    assert not log.wants("refused", 0.0)
    assert not log.wants("failed", 0.0)


def test_failures_are_written_whatever_is_sampled_but_no_flood_of_them() -> None:
    log, _ = access_log(LogSpec(sample_admitted_ratio=0.0), chance=0.5)
    outage = [log.wants("failed", 7.0 + n / 2000) for n in range(20_000)]
    assert sum(outage) == MOST_FAILURES * 11 - 1  # ten at once, ten seconds of ten but the last
    assert outage[:10] == [True] * 10
    assert not any(outage[10:100])
    assert [log.wants("failed", 100.0) for _ in range(11)] == [True] * 10 + [False]


def test_a_reload_changes_format_and_ratios() -> None:
    log, lines = access_log(LogSpec(sample_admitted_ratio=0.0))
    log.configure(LogSpec(format="json"))
    assert log.wants("admitted", 0.0)
    log.write(record())
    assert json.loads(lines[0])["status"] == 429
