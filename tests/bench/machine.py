"""What the numbers were measured on, and where they are kept."""

import os
import platform
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
PROXY_CORE, LOAD_CORE = 0, 1
"""The proxy has a core to itself; who asks and who answers share the other."""


_TOOLS = {"nginx": "-v", "haproxy": "-v", "envoy": "--version", "wrk": "-v"}
"""What is measured and measures, and how each is asked for its version."""


def find_tool(name: str) -> str:
    """The path of a command, which may be beside this Python's or in /usr/sbin.

    Exits with a sentence when it is missing.
    """
    own = Path(sys.executable).parent
    found = shutil.which(name, path=f"{own}:{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is missing: make bench-tools")
    return found


def pinned(core: int) -> list[str]:
    """What to put before a command so that it stays on `core`; nothing where that can't be."""
    return [find_tool("taskset"), "-c", str(core)] if _can_pin() else []


def affordable_connections() -> int:
    """How many clients a proxy can have here, 10,000 at most, with another connection for each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 10_000 if hard == resource.RLIM_INFINITY else min(10_000, (hard - 512) // 2)


def describe() -> str:
    """The machine and the versions, as a Markdown list."""
    tools = ", ".join(f"{name} {_version(name, flag)}" for name, flag in _TOOLS.items())
    pinning = (
        f"proxy on core {PROXY_CORE}; load and upstream on core {LOAD_CORE}"
        if _can_pin()
        else "NOT pinned: fewer than two cores, so proxy, load and upstream hinder each other"
    )
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop"))
    system = f"{platform.system()} {platform.release()}"
    return (
        f"- {_cpu_model()}, {os.cpu_count()} cores; {pinning}\n"
        f"- {system}, Python {platform.python_version()}, {packages}\n"
        f"- {tools}"
    )


def keep(section: str, text: str, file: Path = RESULTS) -> None:
    """Make `text` the section `section` of the Markdown `file`, leaving the others."""
    day = datetime.now(UTC).date().isoformat()
    fresh = f"## {section}\n\nMeasured {day}.\n\n{describe()}\n\n{text.strip()}\n"
    old = file.read_text() if file.exists() else "# Results\n\nWritten by `make bench`.\n"
    head, *sections = re.split(r"(?m)^(?=## )", old)
    others = [each for each in sections if not each.startswith(f"## {section}\n")]
    ordered = sorted([*others, fresh])
    file.write_text("\n\n".join(part.strip() for part in [head, *ordered]) + "\n")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column is text, the others are numbers."""
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows])


def _can_pin() -> bool:
    return (os.cpu_count() or 1) > max(PROXY_CORE, LOAD_CORE) and hasattr(os, "sched_setaffinity")


def _version(tool: str, flag: str) -> str:
    """Its version's number; they all tell it, each in a line of its own kind."""
    done = subprocess.run([find_tool(tool), flag], capture_output=True, text=True, check=False)
    return first_version(done.stdout + done.stderr)


def first_version(text: str) -> str:
    """What first looks like a version in `text`."""
    match = re.search(r"\b\d+\.\d+\.\d+\S*?(?=[/\s]|$)", text)
    return match[0] if match else "of an unknown version"


def _cpu_model() -> str:
    match = re.search(r"(?m)^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text())
    return match[1] if match else platform.machine()
