"""The compiling process, as its parent sees it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.rules.load import load
from proxy.rules.problems import RulesError
from proxy.rules.stream import read_snapshot
from tests.rules.documents import SHORTEST, write

ROOT = Path(__file__).parents[2]


def compiled(path: Path, before: str = "", **environ: str) -> bytes:
    """What the process writes; `before` is Python that runs in it first."""
    program = f"{before}\nimport sys\nfrom proxy.rules.worker import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == b""
    return done.stdout


def test_it_writes_what_load_returns(tmp_path: Path) -> None:
    path = write(tmp_path, SHORTEST + "logs:\n  level: ${LEVEL}\n")

    *_, snapshot = read_snapshot(compiled(path, LEVEL="error"))

    assert snapshot == load(path, {"LEVEL": "error"})
    assert snapshot is not None
    assert snapshot.logs.level == "error"


def test_it_writes_problems_and_ends_well(tmp_path: Path) -> None:
    content = compiled(write(tmp_path, "version: 2\n"))

    with pytest.raises(RulesError, match="version: 2 is not 1"):
        list(read_snapshot(content))


def test_its_memory_is_bounded(tmp_path: Path) -> None:
    # Many large pages: each is within its bound, and together they are not.
    pages = [f"p{n}" for n in range(100)]
    for name in pages:
        (tmp_path / name).write_bytes(name.encode() + b"x" * (2**20 - 10))
    listed = "".join(f"  {name}: {{text: {name}}}\n" for name in pages)
    smaller = "import proxy.rules.worker as w; w.LARGEST_MEMORY_BYTES = 100 * 2**20"

    content = compiled(write(tmp_path, f"{SHORTEST}pages:\n{listed}"), smaller)

    with pytest.raises(RulesError, match="more than 100 MiB of memory"):
        list(read_snapshot(content))


def test_it_gives_way_to_requests(tmp_path: Path) -> None:
    shown = "import os; os.nice = lambda by: print(by, flush=True)"

    assert compiled(write(tmp_path, SHORTEST), shown).startswith(b"5\n")
