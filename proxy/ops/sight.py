"""What a set of files looks like at one moment, and whether that has changed."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

MOST_LINKS = 40
"""Symbolic links followed for one path; the kernel's own limit (path_resolution(7))."""

CLOCK_STEP = 0.02
"""Seconds by which a file's time may lag behind the wall clock: it is that of the last tick."""


@dataclass(frozen=True, slots=True)
class File:
    """One file's state. `stat` is empty and `changed` is infinite for one that can't be read."""

    stat: tuple[int, ...]
    changed: float
    digest: bytes


@dataclass(frozen=True, slots=True)
class Sight:
    """What `look` saw.

    `folders` are those where a change of the files shows: of each file and of each symbolic link
    on the way to it. `names` are the paths of all that lies in them.
    """

    files: dict[str, File] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def differs(self, before: "Sight", since: float) -> bool:
        """Whether any file holds something else than `before`.

        A file that was not looked at before differs if it has changed after `since` (Unix
        seconds).
        """
        for path, file in self.files.items():
            known = before.files.get(path)
            if known is None:
                if file.changed > since - CLOCK_STEP:
                    return True
            elif known.digest != file.digest:
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
    files = {path: File(stat, _changed(stat), _digest(path)) for path, stat in stats.items()}
    folders = frozenset(folder for path in files for folder in folders_of(path))
    return Sight(files, folders, frozenset(name for folder in folders for name in _names(folder)))


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
        stat = os.stat(path)  # noqa: PTH116
    except OSError:
        return ()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _changed(stat: tuple[int, ...]) -> float:
    return stat[-1] / 1e9 if stat else float("inf")


def _digest(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return blake2b(file.read(), digest_size=16).digest()
    except OSError:
        return b""


def _names(folder: str) -> list[str]:
    try:
        return [f"{folder}/{name}" for name in os.listdir(folder)]  # noqa: PTH208
    except OSError:
        return []
