"""What the numbers were measured on, and where they are kept."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
PROXY_CORE, LOAD_CORE = 0, 1
"""The proxy has a core to itself; who asks and who answers share the other."""


def find_tool(name: str) -> str:
    """The path of a command, which may be in /usr/sbin; exits with a sentence when missing."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is missing: make bench-tools")
    return found


def pinned(core: int) -> list[str]:
    """What to put before a command so that it stays on `core`; nothing where that can't be."""
    return [find_tool("taskset"), "-c", str(core)] if _can_pin() else []


def describe() -> str:
    """The machine and the versions, as a Markdown list."""
    nginx = _first_line([find_tool("nginx"), "-v"]).partition("/")[2]
    wrk = _first_line([find_tool("wrk"), "-v"]).partition(" ")[2].partition(" ")[0]
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
        f"- nginx {nginx}, wrk {wrk}"
    )


def keep(section: str, text: str) -> None:
    """Print `text`, and make it the section `section` of RESULTS.md, leaving the others."""
    print(f"\n{text}")
    day = datetime.now(UTC).date().isoformat()
    fresh = f"## {section}\n\nMeasured {day}.\n\n{describe()}\n\n{text.strip()}\n"
    old = RESULTS.read_text() if RESULTS.exists() else "# Results\n\nWritten by `make bench`.\n"
    head, *sections = re.split(r"(?m)^(?=## )", old)
    others = [each for each in sections if not each.startswith(f"## {section}\n")]
    ordered = sorted([*others, fresh])
    RESULTS.write_text("\n\n".join(part.strip() for part in [head, *ordered]) + "\n")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column is text, the others are numbers."""
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, rule, *rows])


def _can_pin() -> bool:
    return (os.cpu_count() or 1) > max(PROXY_CORE, LOAD_CORE) and hasattr(os, "sched_setaffinity")


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()[0]


def _cpu_model() -> str:
    match = re.search(r"(?m)^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text())
    return match[1] if match else platform.machine()
