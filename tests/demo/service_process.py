"""A shop or coupon service in a process of its own, for tests."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


@dataclass(frozen=True)
class Service:
    process: subprocess.Popen[str]
    port: int
    first_line: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        target: str,
        form: Mapping[str, object] | None = None,
        **headers: str,
    ) -> Answer:
        """One exchange; `Accept="application/json"` and the like are header fields."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            body = None if form is None else urlencode(form)
            if body is not None:
                headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def json(
        self, method: str, target: str, form: Mapping[str, object] | None = None, **headers: str
    ) -> Answer:
        return self.ask(method, target, form, Accept="application/json", **headers)


@contextmanager
def started(module: str, *arguments: str) -> Iterator[Service]:
    """The service, once it has said where it listens. It must end cleanly, unless it was killed."""
    command = [sys.executable, "-W", "error", "-m", module, "--port=0", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            assert process.stderr
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            assert found, line + process.stderr.read()
            yield Service(process, int(found[1]), line)
            if process.poll() != -signal.SIGKILL:
                process.terminate()
                assert process.wait(5) == 0
                assert process.stderr.read() == ""
        finally:
            process.kill()
