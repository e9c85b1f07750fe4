"""What a set of files looks like at one moment, and whether that has changed."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

MOST_LINKS = 40
"""Symbolic links followed for one path; the kernel's own limit (path_resolution(7))."""

LARGEST_BYTES = 8 * 1024 * 1024
"""So much of a file is looked at; rules, pages and authorities are not larger."""

CLOCK_STEP = 0.02
"""Seconds by which a file's time may lag behind the wall clock: it is that of the last tick."""


@dataclass(frozen=True, slots=True)
class File:
    """One file's state. `stat` is empty for one that is not there; its last part is when the file
    changed, in nanoseconds. `digest` is empty for one that can't be read.
    """

    stat: tuple[int, ...]
    digest: bytes


@dataclass(frozen=True, slots=True)
class Sight:
    """What `look` saw.

    `folders` are those where a change of the files shows: of each file and of each symbolic link
    on the way to it.
    """

    files: dict[str, File] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()

    def differs(self, before: "Sight", since: float, *, all_expected: bool) -> bool:
        """Whether any file holds something else than `before`.

        A file that was not looked at before differs if it has changed after `since` (Unix
        seconds), or is not there although all are expected to be.
        """
        for path, file in self.files.items():
            known = before.files.get(path)
            if known is not None:
                if known.digest != file.digest:
                    return True
            elif file.stat[-1] / 1e9 > since - CLOCK_STEP if file.stat else all_expected:
                return True
        return False


def look(paths: Iterable[str], before: Sight | None) -> Sight:
    """What the files at the absolute `paths` are like.

    `before` is returned, for next to nothing, if none of them has another size, time or identity
    than in it; None looks closely. Blocks on the file system.
    """
    stats = {path: _stat(path) for path in paths}
    if before is not None and stats == {path: file.stat for path, file in before.files.items()}:
        return before
    files = {path: File(state, _digest(path)) for path, state in stats.items()}
    return Sight(files, frozenset(folder for path in files for folder in folders_of(path)))


def folders_of(path: str) -> set[str]:
    """The folders in which a change can make the absolute `path` lead to another file.

    That is the folder of the file, of every symbolic link passed on the way (a ConfigMap volume
    swaps the link `..data`), and, if the way ends early, the folder in which it does.
    """
    folders = set()
    current, links = "/", 0
    ahead = _steps(path)
    while ahead:
        step = ahead.pop()
        if step == "..":
            current = os.path.dirname(current)  # noqa: PTH120 - plain text work on many paths
            continue
        place = os.path.join(current, step)  # noqa: PTH118
        try:
            target = os.readlink(place)  # noqa: PTH115
        except OSError:
            if not ahead or not os.path.isdir(place):  # noqa: PTH112
                folders.add(current)
                break
            current = place
            continue
        folders.add(current)
        links += 1
        if links > MOST_LINKS:
            break
        if target.startswith("/"):
            current = "/"
        ahead.extend(_steps(target))
    return folders


def _steps(path: str) -> list[str]:
    """The components of `path`, the first one last."""
    return [step for step in reversed(path.split("/")) if step not in {"", "."}]


def _stat(path: str) -> tuple[int, ...]:
    try:
        state = os.stat(path)  # noqa: PTH116
    except OSError:
        return ()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def _digest(path: str) -> bytes:
    try:
        # Opening a pipe would wait for its writer.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            return b""
        with open(path, "rb") as file:  # noqa: PTH123
            return blake2b(file.read(LARGEST_BYTES + 1), digest_size=16).digest()
    except OSError:
        return b""
