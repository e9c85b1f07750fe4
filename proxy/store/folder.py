"""Stored responses in a folder, where they outlive the process."""

import contextlib
import logging
import os
import queue
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from proxy.policy.stored_response import StoredResponse
from proxy.store.record import BadRecordError, decode, encode

log = logging.getLogger("planb")

SUBFOLDER = "planb-snapshots"
"""Ours alone, whoever may write to the folder that the rules name: volumes are often anybody's."""

WRITE_AGAIN_AFTER = 10.0
"""Seconds for which a response that was written is not written again: a hot page is kept once a
second, and after a restart nobody minds ten seconds."""

MOST_WAITING = 256
"""Responses that wait to be written; what comes on top is left out. Of the largest a quarter of a
GiB by default, if the disk stands still: they are those in memory, or were a moment ago."""

MOST_REMEMBERED = 4096
"""Keys whose last writing is remembered, in each of two generations."""

WARN_EVERY = 60.0
"""Seconds between two lines about a folder that makes trouble."""

LONGEST_FLUSH = 1.0
"""Seconds that the last may take to be written when the process ends."""

BLOCK_BYTES = 4096
"""What a file takes is counted in these, as most file systems do."""

_SUFFIX = ".snapshot"
_UNFINISHED = ".unfinished"

Restore = Callable[[bytes, bytes, StoredResponse], None]
_Job = tuple[bytes, StoredResponse | None, bytes]


class Folder:
    """Writes and reads in a thread of its own: no file system is sure to answer in time.

    One file for each response, named for its key's digest, put in its place by a rename; not
    synced, since `decode` finds what a power cut has torn. At most `most_bytes`, the oldest goes
    first. Nothing that goes wrong here reaches the traffic: it is counted in `errors`, and told
    once a minute.

    `restore` is called in that thread, soon after `start`, for each response that was found and
    is not older than `longest` seconds, the newest first.
    """

    def __init__(
        self,
        path: Path,
        most_bytes: int,
        longest: float,
        restore: Restore,
        *,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.most_bytes = most_bytes
        self.errors = 0
        self._longest = longest
        self._restore = restore
        self._wall = wall
        self._clock = clock
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MOST_WAITING)
        self._written: dict[bytes, float] = {}
        self._written_before: dict[bytes, float] = {}
        self._warned_at = -WARN_EVERY
        self._left = False
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        # Of the thread: whether the folder was read, the folder, what is in it (others may only
        # look whether a name is there), and what that takes.
        self._is_read = False
        self._folder = -1
        self._files: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0

    def start(self) -> None:
        """Begins to read and write."""
        self._thread.start()

    def put(self, key: bytes, full_key: bytes, response: StoredResponse) -> None:
        """Keeps a response: see `StoredResponses.put`. Never waits."""
        now = self._clock()
        last = self._written.get(full_key) or self._written_before.get(full_key)
        if last is not None and now - last < WRITE_AGAIN_AFTER:
            return
        if len(self._written) >= MOST_REMEMBERED:
            self._written_before, self._written = self._written, {}
        self._written[full_key] = now
        self._enter((full_key, response, key))

    def drop(self, full_key: bytes) -> None:
        """Forgets it. Never waits."""
        last = self._written.pop(full_key, None) or self._written_before.pop(full_key, None)
        # Most answers that say that there is nothing are to people who guess: of what never was
        # kept nothing is there to forget, and the queue is for others.
        if last is not None or not self._is_read or full_key.hex() + _SUFFIX in self._files:
            self._enter((full_key, None, b""))

    def leave(self) -> None:
        """Ends the thread, once what waits is written, if it ever is."""
        self._left = True
        with contextlib.suppress(queue.Full):
            self._jobs.put_nowait(None)

    def wait(self) -> None:
        """Waits a moment for that, and no longer: the thread does not keep the process."""
        self._thread.join(LONGEST_FLUSH)

    def _enter(self, job: _Job) -> None:
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self._failed(OSError(0, "it is too slow"))

    # ------------------------------------------------------------ in the thread

    def _run(self) -> None:
        try:
            self._folder = _opened(self.path)
            self._read_all()
        except OSError as error:
            self._failed(error)
        self._is_read = True
        while (job := self._jobs.get()) is not None:
            if self._folder < 0:
                self.errors += 1
            else:
                self._do(job)
            if self._left and self._jobs.empty():
                break
        if self._folder >= 0:
            os.close(self._folder)

    def _do(self, job: _Job) -> None:
        full_key, response, key = job
        name = full_key.hex() + _SUFFIX
        try:
            if response is None:
                self._remove(name)
            else:
                arrived = self._wall() - (self._clock() - response.arrived_at)
                self._write(name, encode(key, full_key, response, arrived))
        except OSError as error:
            self._failed(error)

    def _write(self, name: str, data: bytes) -> None:
        size = _blocks(len(data))
        before = self._files.pop(name, 0)
        self._bytes -= before
        try:
            while self._files and self._bytes + size > self.most_bytes:
                self._remove(next(iter(self._files)))
            if self._bytes + size <= self.most_bytes:
                self._put_in_place(name, data)
                before = size
        finally:
            # What was there is still there when nothing came in its place.
            if before:
                self._files[name] = before
                self._bytes += before

    def _put_in_place(self, name: str, data: bytes) -> None:
        unfinished = name + _UNFINISHED
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(unfinished, flags, 0o600, dir_fd=self._folder)
        try:
            with os.fdopen(file, "wb") as writing:
                writing.write(data)
            os.rename(unfinished, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(unfinished, dir_fd=self._folder)
            raise

    def _remove(self, name: str) -> None:
        self._bytes -= self._files.pop(name, 0)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folder)

    def _read_all(self) -> None:
        """Restores what there is, the newest first, and removes what is of no use."""
        found: list[tuple[float, str, int]] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith((_SUFFIX, _SUFFIX + _UNFINISHED)):
                    with contextlib.suppress(OSError):
                        state = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(state.st_mode):
                            found.append((state.st_mtime, entry.name, state.st_size))
        found.sort(reverse=True)
        kept: list[tuple[str, int]] = []
        for _, name, size in found:
            try:
                if self._bytes + _blocks(size) <= self.most_bytes and self._read(name):
                    kept.append((name, _blocks(size)))
                    self._bytes += _blocks(size)
                else:
                    os.unlink(name, dir_fd=self._folder)
            except OSError as error:
                self._failed(error)
        self._files.update(reversed(kept))

    def _read(self, name: str) -> bool:
        """Whether there is a response in the file, which is restored."""
        if name.endswith(_UNFINISHED):
            return False
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=self._folder), "rb") as file:
            data = file.read(self.most_bytes + 1)
        now = self._clock()
        try:
            key, full_key, response = decode(data, self._wall(), now)
        except BadRecordError:
            return False
        if full_key.hex() + _SUFFIX != name or now - response.arrived_at > self._longest:
            return False
        self._restore(key, full_key, response)
        return True

    def _failed(self, error: OSError) -> None:
        self.errors += 1
        now = self._clock()
        if now - self._warned_at >= WARN_EVERY:
            self._warned_at = now
            why = error.strerror or error
            log.warning("snapshots can't be kept in %s: %s", self.path, why)


def _opened(path: Path) -> int:
    """A descriptor of our folder in `path`; made if it is not there. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    ours = path / SUBFOLDER
    with contextlib.suppress(FileExistsError):
        ours.mkdir(mode=0o700)
    folder = os.open(ours, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    state = os.fstat(folder)
    if state.st_uid != os.geteuid() or state.st_mode & 0o022:
        os.close(folder)
        raise PermissionError(0, f"{SUBFOLDER} is not ours alone")
    return folder


def _blocks(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
