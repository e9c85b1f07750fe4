"""Where the files are that tell of the load, and how they are read.

All of them are the kernel's own memory: reading one takes microseconds and waits for no disk.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LARGEST_BYTES = 1 << 20
"""More than the kernel writes into any of them."""


@dataclass(frozen=True, slots=True)
class System:
    """`proc` and `cgroups` are the folders /proc and /sys/fs/cgroup; `cpus` are the numbers of
    those CPUs that the process may run on, `cgroup` the control group that is looked at, from
    the root of its file system, None for the process's own. `machine_cpus` are all CPUs that
    there are, 0 if nobody knows: a group has no more, whatever its quota.
    """

    proc: Path = Path("/proc")
    cgroups: Path = Path("/sys/fs/cgroup")
    cpus: frozenset[int] = frozenset()
    cgroup: str | None = None
    machine_cpus: int = 0

    def cores(self, quota: float) -> float:
        """How many CPUs a group can use at once that `quota` allows so many."""
        return min(quota, self.machine_cpus or quota)


class Unreadable(Exception):  # noqa: N818 - a finding, and no fault
    """Why a signal can't be read on this system."""


def read(path: Path) -> bytes:
    """What `path` holds. Raises Unreadable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, LARGEST_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None


def exists(path: Path) -> bool:
    """Whether `path` is there, for this process. Raises nothing, as `Path.exists` does."""
    return _mode(path) != 0


def _mode(path: Path) -> int:
    try:
        return os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):  # forbidden, too long a name, a zero byte in it
        return 0


def read_number(path: Path) -> int:
    """The whole number that `path` holds. Raises Unreadable."""
    return number(read(path).strip(), path)


def read_numbers(path: Path) -> Mapping[bytes, int]:
    """The numbers by their names: `name number` a line. Raises Unreadable."""
    found: dict[bytes, int] = {}
    for line in read(path).splitlines():
        name, _, rest = line.partition(b" ")
        found[name] = number(rest.strip(), path)
    return found


def one(numbers: Mapping[bytes, int], name: bytes, path: Path) -> int:
    """The one called `name`. Raises Unreadable."""
    try:
        return numbers[name]
    except KeyError:
        raise Unreadable(f"{path}: no {name.decode()}") from None


def number(text: bytes, path: Path) -> int:
    """The whole number `text`, which `path` holds. Raises Unreadable."""
    if not text.removeprefix(b"-").isdigit() or len(text) > 20:
        raise Unreadable(f"{path}: {text[:20]!r} is no number")
    return int(text)


def control_groups(system: System, controller: str = "") -> list[Path]:
    """The folders of the control group that is looked at and of all above it, innermost first.

    In the hierarchy of version 1's `controller`, or of version 2 where that is empty. Raises
    Unreadable.

    A container sees its own group as the root of what is mounted; the path by which the host knows
    it leads nowhere then, and the root is it (cgroup_namespaces(7)).
    """
    root = system.cgroups / controller
    group = system.cgroup
    parts = _parts(_own_group(system, controller) if group is None else group)
    if ".." in parts or not stat.S_ISDIR(_mode(root.joinpath(*parts))):
        if group is not None:
            raise Unreadable(f"{root}: no control group {group!r}")
        parts = []
    return [root.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _own_group(system: System, controller: str) -> str:
    path = system.proc / "self/cgroup"
    for line in read(path).decode("utf-8", "surrogateescape").splitlines():
        # ID:controllers:path, with no controllers for version 2 (cgroups(7)).
        _, _, rest = line.partition(":")
        controllers, _, place = rest.partition(":")
        if controller in controllers.split(","):
            return place
    raise Unreadable(f"{path}: no control group")


def _parts(group: str) -> list[str]:
    return [part for part in group.split("/") if part]
