"""Loads rules without holding up the event loop: in a process of its own."""

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError

from proxy.policy.snapshot import Snapshot
from proxy.rules.problems import Problem, RulesError
from proxy.rules.stream import read_snapshot

_ROOT = Path(__file__).parents[2]
"""Where the child finds our package, installed or not."""


async def load_apart(path: Path, environ: Mapping[str, str], timeout: float = 30.0) -> Snapshot:  # noqa: ASYNC109
    """The snapshot of the rules in `path`, compiled by a child process.

    Raises `RulesError` as `proxy.rules.load.load` does, and also when the child does not end
    within `timeout` seconds or breaks. The child is killed when this is cancelled.
    """
    try:
        async with asyncio.timeout(timeout):
            content = await _compiled(path, environ)
    except TimeoutError:
        raise _broken(path, f"not compiled within {timeout:g} s") from None
    except OSError as error:
        raise _broken(path, f"can't start a process to compile it: {error}") from None
    return await _taken_over(content, path)


async def _compiled(path: Path, environ: Mapping[str, str]) -> bytes:
    """What the child writes."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy.rules.worker",
        _whole(path),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd=_ROOT,
        env=dict(environ),
    )
    try:
        content, complaint = await child.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        raise
    if child.returncode:
        raise _broken(path, _why(child.returncode, complaint))
    return content


def _whole(path: Path) -> str:
    return str(path.absolute())


def _as_named(problem: Problem, path: Path) -> Problem:
    """The child knows the absolute path only."""
    return replace(problem, file=str(path)) if problem.file == _whole(path) else problem


async def _taken_over(content: bytes, path: Path) -> Snapshot:
    """What the child has written, read in small steps."""
    try:
        for snapshot in read_snapshot(content):
            if snapshot is not None:
                return snapshot
            await asyncio.sleep(0)
    except RulesError as error:
        problems = (_as_named(each, path) for each in error.problems)
        raise RulesError(problems, error.files) from None
    except (EOFError, UnpicklingError):
        pass
    raise _broken(path, "the process that compiles it wrote no rules")


def _why(code: int, complaint: bytes) -> str:
    if code == -signal.SIGXCPU:
        return "needs too much time to compile"
    last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
    return f"the process that compiles it ended with {code}: {last}"


def _broken(path: Path, message: str) -> RulesError:
    return RulesError([Problem(str(path), 1, 1, "", message)])
