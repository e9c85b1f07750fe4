import json
import logging
import os
import pty
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.ops.log_output import LogOutput
from proxy.ops.logs import clock_time, configure, escaped, rfc3339
from proxy.policy.log_spec import LogSpec


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    level = root.level
    yield tmp_path / "log"
    root.setLevel(level)
    for handler in root.handlers[:]:
        if type(handler).__module__ == "proxy.ops.logs":
            root.removeHandler(handler)


def lines_of(log_file: Path, spec: LogSpec, write: Callable[[logging.Logger], None]) -> list[str]:
    with log_file.open("wb") as file:
        output = LogOutput(file.fileno())
        configure(spec, output)
        write(logging.getLogger("planb.test"))
        output.close()
    return log_file.read_text().split("\n")[:-1]


def test_a_person_reads_the_local_time_to_the_millisecond(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "EAT-3")  # POSIX: three hours east, without a database of zones
    time.tzset()
    try:
        assert clock_time(1.0625) == "03:00:01.062"
        assert clock_time(86399.9999) == "02:59:59.999"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_json_is_one_object_a_line(log_file: Path) -> None:
    lines = lines_of(
        log_file,
        LogSpec(format="json"),
        lambda log: log.warning("shop %s", "gone\n{}\u2028\x1b[31m\udcff"),
    )
    assert len(lines) == 1
    record = json.loads(lines[0])
    assert record["message"] == "shop gone\n{}\u2028\x1b[31m\udcff"
    assert record["level"] == "warning"
    assert record["logger"] == "planb.test"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"])


def fail(log: logging.Logger, message: str) -> None:
    try:
        int(message)
    except ValueError as error:
        error.args = (message,)
        log.exception("failed")


def test_a_json_traceback_stays_in_its_object(log_file: Path) -> None:
    lines = lines_of(log_file, LogSpec(format="json"), lambda log: fail(log, "first\nsecond"))
    assert len(lines) == 1
    assert json.loads(lines[0])["exception"].endswith("ValueError: first\nsecond")


def test_a_client_cannot_forge_a_console_line(log_file: Path) -> None:
    lines = lines_of(
        log_file,
        LogSpec(),
        lambda log: log.info("target %s", "/\r\n12:00:00.000 error    all lost\x1b[2J\x85\u2028"),
    )
    assert len(lines) == 1
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028]", lines[0])
    assert r"/\x0d\x0a12:00:00.000 error    all lost\x1b[2J\x85\x2028" in lines[0]


def test_a_console_traceback_is_indented_whatever_the_exception_says(log_file: Path) -> None:
    first, *rest = lines_of(
        log_file, LogSpec(), lambda log: fail(log, "first\n12:00:00.000 forged\rover")
    )
    assert first.endswith("failed")
    assert len(rest) > 2
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1] == r"    12:00:00.000 forged\x0dover"


def test_the_level_holds_and_can_be_changed(log_file: Path) -> None:
    with log_file.open("wb") as file:
        output = LogOutput(file.fileno())
        log = logging.getLogger("planb.test")
        configure(LogSpec(level="warning"), output)
        log.info("one")
        configure(LogSpec(level="debug", format="json"), output)
        log.debug("two")
        output.close()
    lines = log_file.read_text().splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["two"]


def test_a_message_that_does_not_fit_its_arguments_does_not_raise(
    log_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger().handlers.clear()  # the test runner's own handler does raise
    assert lines_of(log_file, LogSpec(), lambda log: log.info("%d", "text")) == []
    assert "Logging error" in capsys.readouterr().err


def test_only_a_terminal_gets_colours(log_file: Path) -> None:
    plain = lines_of(log_file, LogSpec(), lambda log: log.error("bad"))
    assert "\x1b" not in plain[0]
    screen, terminal = pty.openpty()
    output = LogOutput(terminal)
    configure(LogSpec(), output)
    logging.getLogger("planb.test").error("bad")
    output.close()
    assert b"\x1b[31merror" in os.read(screen, 1000)
    os.close(screen)
    os.close(terminal)


def test_a_time_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert rfc3339(1772366400.0629) == "2026-03-01T12:00:00.062Z"


def test_letters_are_not_escaped() -> None:
    assert escaped("/café/茶?x=1") == "/café/茶?x=1"
