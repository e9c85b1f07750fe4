"""The real `planb` command in a process of its own."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.support.messages import Response
from tests.support.raw_client import fetch, request_head

PLANB = (sys.executable, "-m", "proxy")
READY_WITHIN = 10.0
LEAVE_WITHIN = 10.0
_POLL_INTERVAL = 0.01
_CRASH = re.compile(r"^Traceback|Exception ignored in|was never awaited", re.MULTILINE)

LogLine = dict[str, Any]
Metrics = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Samples by name and sorted labels: `{("planb_x_total", (("route", "item"),)): 3.0}`."""


class Finished(NamedTuple):
    """What a command left behind; `output` holds stdout and stderr."""

    code: int
    output: str


class PlanB:
    """`planb run` on rules given as text: `async with PlanB(rules, tmp_path) as planb`.

    Listeners should bind `127.0.0.1:0`. Where `rules` lacks `version`, `admin` or `logs`, it is
    given the version, a free admin port and JSON logs without access lines. Leaving the block
    sends SIGTERM and fails when the process does not leave in time, leaves with a code other
    than 0 (unless the test asked for the code with `wait`), or logged a traceback or, without
    `errors_expected`, a line of level error.

    `prefix` is put before the command (`("taskset", "-c", "0")`), `arguments` after it.
    """

    def __init__(
        self,
        rules: str,
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        prefix: Sequence[str] = (),
        errors_expected: bool = False,
        command: Sequence[str] = PLANB,
    ) -> None:
        self.file = directory / "planb.yaml"
        self.errors_expected = errors_expected
        # Beside the folder, not in it: Plan B watches that for changes of its rules.
        self._log = directory.with_name(f"{directory.name}.log")
        self._environment = environment or {}
        self._command = [*prefix, *command, "run", str(self.file), *arguments]
        self._code_was_asked = False
        directory.mkdir(exist_ok=True)
        self.rewrite(rules)

    async def __aenter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(self._environment),
            )
        try:
            await self.wait_for_log("ready", within=READY_WITHIN)
        except BaseException:
            await self._kill()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        problems = await self._stop()
        if problems and error is None:
            raise AssertionError("\n".join([*problems, self._tail()]))
        if error is not None:
            error.add_note("\n".join([*problems, self._tail()]))

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def port(self, listener: str) -> int:
        """The port of the listener `listener`."""
        for line in self.log_lines():
            if line.get("event") == "listening" and line.get("listener") == listener:
                return _port(line)
        raise AssertionError(f"no listener {listener!r}\n{self._tail()}")

    @property
    def admin_port(self) -> int:
        """The admin address's port."""
        for line in self.log_lines():
            if line.get("event") == "admin":
                return _port(line)
        raise AssertionError(f"no admin address\n{self._tail()}")

    def url(self, listener: str) -> str:
        """The URL of the listener `listener`, without a path."""
        return f"http://127.0.0.1:{self.port(listener)}"

    def log_text(self) -> str:
        """Everything that the process printed."""
        return self._log.read_text(errors="replace")

    def log_lines(self) -> list[LogLine]:
        """The log's JSON lines; others (a traceback's) are left out."""
        return _json_lines(self.log_text())

    async def wait_for_log(
        self, event: str, *, within: float = 5.0, count: int = 1, **fields: object
    ) -> LogLine:
        """Wait for the `count`th line with this `event` and these `fields`, and return it.

        Fails after `within` seconds, or when the process leaves without it.
        """
        ends_at = time.monotonic() + within
        while True:
            gone = self._process.returncode
            matching = [
                line
                for line in self.log_lines()
                if line.get("event") == event and fields.items() <= line.items()
            ]
            if len(matching) >= count:
                return matching[count - 1]
            if gone is not None:
                raise AssertionError(f"planb left with {gone} before {event!r}\n{self._tail()}")
            if time.monotonic() > ends_at:
                raise AssertionError(f"no {event!r} in {within} s\n{self._tail()}")
            await asyncio.sleep(_POLL_INTERVAL)

    async def wait_for_text(self, text: str, *, within: float = 5.0) -> str:
        """Wait for `text` in what the process prints, and return all of that."""
        ends_at = time.monotonic() + within
        while text not in (printed := self.log_text()):
            if time.monotonic() > ends_at:
                raise AssertionError(f"no {text!r} in {within} s\n{self._tail()}")
            await asyncio.sleep(_POLL_INTERVAL)
        return printed

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    async def wait(self, within: float = LEAVE_WITHIN) -> int:
        """Wait until the process leaves by itself; its exit code is the test's to judge."""
        async with asyncio.timeout(within):
            code = await self._process.wait()
        self._code_was_asked = True
        return code

    def rss_bytes(self) -> int:
        """The process's resident memory now."""
        return _memory_bytes(self.pid, "VmRSS")

    def peak_rss_bytes(self) -> int:
        """The most resident memory that the process ever had."""
        return _memory_bytes(self.pid, "VmHWM")

    def rewrite(self, rules: str) -> None:
        """Replace the rules file by rename, as editors do; reloading it is up to Plan B."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(complete(rules))
        fresh.replace(self.file)

    async def admin(self, method: str, target: str, *lines: str, within: float = 5.0) -> Response:
        """Ask the admin address: `await planb.admin("POST", "/-/reload")`."""
        lengths = () if method in ("GET", "HEAD") else ("Content-Length: 0",)
        data = request_head(method, target, *lines, *lengths, host=f"127.0.0.1:{self.admin_port}")
        return await fetch(self.admin_port, data, method=method, within=within)

    async def metrics(self) -> Metrics:
        """All samples of `/metrics`."""
        response = await self.admin("GET", "/metrics")
        assert response.status == 200, response
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(response.body.decode())
            for sample in family.samples
        }

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of `name` that have these labels; 0 when there is none."""
        return sum(
            value
            for (sample, pairs), value in (await self.metrics()).items()
            if sample == name and labels.items() <= dict(pairs).items()
        )

    async def _stop(self) -> list[str]:
        problems: list[str] = []
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(LEAVE_WITHIN):
                code = await self._process.wait()
        except TimeoutError:
            await self._kill()
            problems.append(f"planb had not left {LEAVE_WITHIN} s after SIGTERM")
        else:
            if code != 0 and not self._code_was_asked:
                problems.append(f"planb left with {code}")
        if _CRASH.search(self.log_text()):
            problems.append("planb logged a traceback")
        if not self.errors_expected:
            problems += [
                f"planb logged an error: {line}"
                for line in self.log_lines()
                if line.get("level") in ("error", "critical")
            ]
        return problems

    async def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def _tail(self) -> str:
        lines = self.log_text().splitlines()[-40:]
        return "\n".join(["planb's last lines:", *lines])


async def planb(
    *arguments: str, environment: Mapping[str, str] | None = None, within: float = 15.0
) -> Finished:
    """Run a `planb` command that ends by itself: `check`, `schema`, a start that must fail."""
    process = await asyncio.create_subprocess_exec(
        *PLANB,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_environment(environment or {}),
    )
    try:
        async with asyncio.timeout(within):
            output, _ = await process.communicate()
    except BaseException:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        raise
    assert process.returncode is not None
    return Finished(process.returncode, output.decode(errors="replace"))


_express: bool | None = None


@contextlib.contextmanager
def on_lane(*, express: bool) -> Iterator[None]:
    """Rules that are completed meanwhile get `server.express`, unless they say it themselves."""
    global _express  # noqa: PLW0603 - it stands for an argument of everything that starts Plan B
    before, _express = _express, express
    try:
        yield
    finally:
        _express = before


def complete(rules: str) -> str:
    """`rules` with what every test needs and may leave out: no line moves."""
    if _express is not None:
        rules = _with_lane(rules, f"express: {str(_express).lower()}")
    defaults = {
        "version": "version: 1",
        "admin": "admin: {bind: 127.0.0.1:0}",
        "logs": "logs: {format: json, access: false}",
    }
    missing = [
        line for key, line in defaults.items() if not re.search(rf"^{key}:", rules, re.MULTILINE)
    ]
    return "\n".join([rules.rstrip("\n"), *missing, ""])


def _with_lane(rules: str, lane: str) -> str:
    server = re.search(r"^server:(.*)$", rules, re.MULTILINE)
    if server is None:
        return "\n".join([rules.rstrip("\n"), f"server: {{{lane}}}"])
    if "express:" in server[1]:
        return rules
    if not server[1].startswith(" {"):
        raise AssertionError(f"{server[0]!r}: a test writes it as {{...}}, in one line")
    return rules.replace("server: {", f"server: {{{lane}, ", 1)


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": root, "PYTHONUNBUFFERED": "1", **extra}


def _json_lines(text: str) -> list[LogLine]:
    return [
        json.loads(line)
        for line in text.splitlines()
        if line.startswith("{") and line.endswith("}")
    ]


def _port(line: LogLine) -> int:
    return int(str(line["address"]).rpartition(":")[2])


def _memory_bytes(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == key:
            return int(rest.split()[0]) * 1024
    raise AssertionError(f"process {pid} has no {key}")
