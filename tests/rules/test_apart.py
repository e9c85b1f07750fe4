"""Loading in a process of its own."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from proxy.rules import apart
from proxy.rules.apart import load_apart
from proxy.rules.load import load
from proxy.rules.problems import RulesError
from tests.rules.documents import SHORTEST, write

ENVIRON = {key: value for key, value in os.environ.items() if key != "LEVEL"}


async def test_it_returns_what_load_returns(tmp_path: Path) -> None:
    path = write(tmp_path, SHORTEST + "logs:\n  level: ${LEVEL}\n")
    environ = {**ENVIRON, "LEVEL": "error"}

    assert await load_apart(path, environ) == load(path, environ)


async def test_it_finds_its_code_whatever_the_current_folder_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proxy").mkdir()
    (tmp_path / "proxy" / "__init__.py").write_text("raise SystemExit(9)")
    write(tmp_path, SHORTEST)
    monkeypatch.chdir(tmp_path)

    snapshot = await load_apart(Path("planb.yaml"), ENVIRON)

    assert snapshot.files == (str(tmp_path / "planb.yaml"),)


async def test_it_raises_what_load_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("{{x}}")
    write(tmp_path, SHORTEST + "pages: {a: {text: a.txt}}\nlogs: {level: ${LEVEL}}\nroute: []\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RulesError) as here:
        load(Path("planb.yaml"), ENVIRON)

    with pytest.raises(RulesError) as there:
        await load_apart(Path("planb.yaml"), ENVIRON)

    assert there.value.problems == here.value.problems


async def test_its_error_names_the_files_that_were_looked_for(tmp_path: Path) -> None:
    path = write(tmp_path, SHORTEST + "pages: {a: {text: a.txt}}\n")

    with pytest.raises(RulesError) as caught:
        await load_apart(path, ENVIRON)

    assert caught.value.files == (str(tmp_path / "a.txt"),)


def _instead(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> None:
    """Run `program` where the compiling process would run."""
    (folder / "proxy" / "rules").mkdir(parents=True)
    (folder / "proxy" / "__init__.py").touch()
    (folder / "proxy" / "rules" / "__init__.py").touch()
    (folder / "proxy" / "rules" / "worker.py").write_text(program)
    monkeypatch.setattr(apart, "_ROOT", folder)


def _gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


HANGS = """\
import os, pathlib, time
pathlib.Path("started.part").write_text(str(os.getpid()))
os.rename("started.part", "started")
time.sleep(60)
"""


async def test_a_child_that_does_not_end_is_killed_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _instead(monkeypatch, tmp_path, HANGS)

    with pytest.raises(RulesError, match=r"planb\.yaml:1:1: not compiled within 0\.5 s"):
        await load_apart(tmp_path / "planb.yaml", ENVIRON, timeout=0.5)

    assert _gone(int((tmp_path / "started").read_text()))


async def test_a_child_whose_parent_gives_up_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _instead(monkeypatch, tmp_path, HANGS)
    loading = asyncio.create_task(load_apart(tmp_path / "planb.yaml", ENVIRON))
    started = tmp_path / "started"
    deadline = time.monotonic() + 20
    while not started.exists() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)

    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading

    assert _gone(int(started.read_text()))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("raise RuntimeError('broken inside')", "ended with 1: RuntimeError: broken inside"),
        ("import os; os.kill(os.getpid(), 9)", "ended with -9: "),
        ("import os, signal; os.kill(os.getpid(), signal.SIGXCPU)", "needs too much time"),
        ("", "wrote no rules"),
        ("print('hello')", "wrote no rules"),
    ],
)
async def test_a_child_that_breaks_is_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    _instead(monkeypatch, tmp_path, program)

    with pytest.raises(RulesError, match=message):
        await load_apart(tmp_path / "planb.yaml", ENVIRON)


async def test_a_machine_without_room_for_a_process_is_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))

    with pytest.raises(RulesError, match="can't start a process"):
        await load_apart(tmp_path / "planb.yaml", ENVIRON)


async def test_a_large_file_is_taken_over_in_small_steps(tmp_path: Path) -> None:
    routes = "".join(f"  - {{name: r{n}, match: {{path: /r{n}}}}}\n" for n in range(500))
    path = write(tmp_path, f"{SHORTEST}routes:\n{routes}")
    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    content = await apart._compiled(path, ENVIRON)
    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    before = steps
    snapshot = await apart._taken_over(content, path)
    counting.cancel()

    assert len(snapshot.routes) == 500
    assert steps - before >= 500 // 50
