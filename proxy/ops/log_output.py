"""Where log lines go: a file descriptor that may be slow, full or gone, behind a bounded queue."""

import os
import select
import threading

MOST_BYTES = 4 * 1024 * 1024
"""What waits to be written, and as much again that is being written: 20,000 usual lines, or 500 of
the longest that a client can cause."""

GATHER_SECONDS = 0.02
"""What comes so soon after a line is written with it: to wake a thread for each of hundreds a
second, which then asks for the interpreter's lock, slows traffic by a twentieth."""


class LogOutput:
    """Writes lines to `descriptor` in a thread of its own; `put` never waits.

    A line that finds the queue full, or that can't be written, is dropped and counted: traffic
    must go on when nobody reads the pipe and when the disk is full.
    """

    def __init__(self, descriptor: int, most_bytes: int = MOST_BYTES) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._room = self._most_bytes = most_bytes
        self._lines: list[bytes] = []
        # Reentrant, as garbage that is collected inside of `put` may have something to log.
        self._lock = threading.RLock()
        self._some = threading.Event()
        self._closing = threading.Event()
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
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            if self._closing.is_set() or len(data) > self._room:
                self.dropped += 1
                return
            self._lines.append(data)
            self._room -= len(data)
        if not self._some.is_set():
            self._some.set()

    def close(self, timeout: float = 1.0) -> None:
        """Write what is left, for `timeout` seconds at most. Later lines are dropped."""
        self._closing.set()
        self._some.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._closing.wait(GATHER_SECONDS)
            self._some.clear()
            with self._lock:
                lines, self._lines, self._room = self._lines, [], self._most_bytes
            try:
                self._write(b"".join(lines))
            except OSError:
                self.dropped += len(lines)
            if self._closing.is_set() and not self._lines:
                return

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Another program made the shared pipe or terminal non-blocking.
                select.select([], [self._descriptor], [])
