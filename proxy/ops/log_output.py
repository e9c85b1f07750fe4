"""Where log lines go: a file descriptor that may be slow, full or gone, behind a bounded queue."""

import os
import select
import threading
from collections import deque

MOST_LINES = 10_000
"""Lines that wait to be written: at 200 bytes each, 2 MB."""

MOST_AT_ONCE = 200
"""Lines written with one call."""


class LogOutput:
    """Writes lines to `descriptor` in a thread of its own; `put` never waits.

    A line that finds the queue full, or that can't be written, is dropped and counted: traffic
    must go on when nobody reads the pipe and when the disk is full.
    """

    def __init__(self, descriptor: int, most_lines: int = MOST_LINES) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._most_lines = most_lines
        self._lines: deque[bytes] = deque()
        self._some = threading.Event()
        self._closing = False
        # A daemon, as a write to a full pipe can't be interrupted and must not keep the process.
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks at it."""
        try:
            return os.isatty(self._descriptor)
        except OSError:
            return False

    def put(self, line: str) -> None:
        """Write `line`, without its line end, sooner or later. Callable from any thread."""
        if self._closing or len(self._lines) >= self._most_lines:
            self.dropped += 1
            return
        self._lines.append(line.encode("utf-8", "backslashreplace") + b"\n")
        if not self._some.is_set():
            self._some.set()

    def close(self, timeout: float = 1.0) -> None:
        """Write what is left, for `timeout` seconds at most. Later lines are dropped."""
        self._closing = True
        self._some.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._some.clear()
            while self._lines:
                count = min(len(self._lines), MOST_AT_ONCE)
                lines = [self._lines.popleft() for _ in range(count)]
                try:
                    self._write(b"".join(lines))
                except OSError:
                    self.dropped += count
            if self._closing:
                return

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Another program made the shared pipe or terminal non-blocking.
                select.select([], [self._descriptor], [])
