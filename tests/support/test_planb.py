import signal
import sys
from pathlib import Path

import pytest

from tests.support.planb import PlanB, complete, on_lane

STAND_IN = """
import json, signal, socket, sys, time
failure = sys.argv[3] if len(sys.argv) > 3 else ""
def log(event, level="info", **fields):
    print(json.dumps({"level": level, "event": event, **fields}), flush=True)
if failure == "no start":
    print("Traceback (most recent call last):", flush=True)
    sys.exit(2)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3 if failure == "code" else 0))
log("listening", listener="storefront", address="127.0.0.1:41234")
log("admin", address="127.0.0.1:41235")
log("ready")
if failure == "traceback":
    print("Traceback (most recent call last):", flush=True)
if failure == "error":
    log("broken", level="error")
log("went on")
while True:
    time.sleep(1)
"""


def _planb(directory: Path, *arguments: str, errors_expected: bool = False) -> PlanB:
    return PlanB(
        "listeners: []",
        directory,
        arguments=arguments,
        errors_expected=errors_expected,
        command=(sys.executable, "-c", STAND_IN),
    )


async def test_addresses_are_read_from_the_log(tmp_path: Path) -> None:
    async with _planb(tmp_path) as planb:
        assert planb.port("storefront") == 41234
        assert planb.url("storefront") == "http://127.0.0.1:41234"
        assert planb.admin_port == 41235
        assert planb.peak_rss_bytes() >= planb.rss_bytes() > 1_000_000
        with pytest.raises(AssertionError, match="no listener 'other'"):
            planb.port("other")


@pytest.mark.parametrize(
    ("failure", "message"),
    [("traceback", "logged a traceback"), ("error", "logged an error"), ("code", "left with 3")],
)
async def test_a_misbehaved_process_fails_the_test(
    tmp_path: Path, failure: str, message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        async with _planb(tmp_path, failure) as planb:
            await planb.wait_for_log("went on")


async def test_an_error_that_the_test_expects_is_none(tmp_path: Path) -> None:
    async with _planb(tmp_path, "error", errors_expected=True) as planb:
        assert (await planb.wait_for_log("broken"))["level"] == "error"


async def test_an_exit_code_that_the_test_asked_for_is_the_test_s_to_judge(tmp_path: Path) -> None:
    async with _planb(tmp_path, "code") as planb:
        planb.signal(signal.SIGTERM)
        assert await planb.wait() == 3


async def test_a_start_that_fails_shows_the_log(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="left with 2 before 'ready'"):
        async with _planb(tmp_path, "no start"):
            pytest.fail("it started")


def test_what_rules_lack_is_added_at_their_end() -> None:
    assert complete("admin: {bind: 127.0.0.1:9}\nlisteners: []") == (
        "admin: {bind: 127.0.0.1:9}\nlisteners: []\nversion: 1\n"
        "logs: {format: json, access: false}\n"
    )


@pytest.mark.parametrize(
    ("rules", "completed"),
    [
        ("listeners: []\n", "listeners: []\nserver: {express: false}\n"),
        ("server: {drain_timeout: 1s}\n", "server: {express: false, drain_timeout: 1s}\n"),
        ("server: {express: true}\n", "server: {express: true}\n"),
    ],
)
def test_rules_get_the_lane_that_they_do_not_name(rules: str, completed: str) -> None:
    with on_lane(express=False):
        assert complete(rules).startswith(completed)
    assert complete(rules).startswith(rules)


def test_a_lane_that_can_not_be_put_into_rules_is_told() -> None:
    with on_lane(express=True), pytest.raises(AssertionError, match="in one line"):
        complete("server:\n  drain_timeout: 1s\n")
