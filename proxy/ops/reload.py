"""New rules while running: on a change of a file that they name, and on request."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from watchfiles import awatch

from proxy.ops.sight import Sight, look
from proxy.policy.snapshot import Snapshot
from proxy.rules.problems import Problem, RulesError

Load = Callable[[Path, Mapping[str, str]], Awaitable[Snapshot]]
Apply = Callable[[Snapshot], Awaitable[None]]

QUIET_MS = 50
"""A change counts when nothing else has changed for so long: editors write in several steps."""

LONGEST_UNQUIET_MS = 200
"""A folder that never gets quiet must not keep a change away."""

TICK_MS = 500
"""The files' state is looked at so often even without a notice. Notices are fast, but not sure:
there are none from some network and overlay file systems, none for a file that is mounted by
itself, and a watch dies with its folder."""

_log = logging.getLogger(__name__)


class ApplyError(Exception):
    """Rules that are sound but can't be put into force, in one sentence."""


@dataclass(slots=True)
class ReloadState:
    """What there is to tell about the rules; kept by a `Reloader`, read by everybody.

    `version` and `loaded_at` (Unix seconds) are those of the rules in force. `successful`,
    `problems`, `cause`, `at` (Unix seconds) and `duration` (seconds) are those of the last load.
    """

    version: str
    loaded_at: float
    successful: bool = True
    problems: tuple[Problem, ...] = ()
    cause: str = "start"
    at: float = 0.0
    duration: float = 0.0
    successes: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """How one reload ended. `version` is that of the rules now in force."""

    version: str
    problems: tuple[Problem, ...]

    @property
    def successful(self) -> bool:
        """Whether the files' rules are in force."""
        return not self.problems


class Reloader:
    """Keeps the rules in force those of the files, as long as these hold sound ones.

    `snapshot` are the rules that the process started with, and `started` is the wall clock's time
    when their reading began: what has changed since is loaded as soon as `watch` runs. `load`
    raises RulesError; `apply` puts a snapshot into force as a whole, or raises ApplyError and
    changes nothing.
    """

    def __init__(
        self,
        path: Path,
        environ: Mapping[str, str],
        snapshot: Snapshot,
        started: float,
        *,
        load: Load,
        apply: Apply,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.state = ReloadState(snapshot.version, started, at=started)
        self._path = path
        self._environ = environ
        self._load = load
        self._apply = apply
        self._clock = clock
        self._wall = wall
        # Those of the rules in force, and those that the last load looked for.
        self._files = self._files_of(snapshot)
        self._tried: tuple[str, ...] = ()
        self._seen = Sight()
        self._loaded_from = started
        self._one_at_a_time = asyncio.Lock()
        self._wanted = 0
        self._done = 0

    async def reload(self, cause: str) -> ReloadResult:
        """Load the rules and put them into force; `cause` is for the log.

        One at a time. Of calls during a reload, the first reloads once more after it, and the
        others share its result. Raises nothing: a failure is a result.
        """
        self._wanted += 1
        mine = self._wanted
        async with self._one_at_a_time:
            if self._done < mine:
                covered = self._wanted
                await self._reload(cause)
                self._done = covered
        return ReloadResult(self.state.version, self.state.problems)

    async def watch(self) -> None:
        """Reload whenever the files change, until cancelled."""
        while True:
            folders = (await self._follow(noticed=True)).folders
            async with aclosing(_notices(sorted(folders))) as notices:
                async for noticed in notices:
                    sight = await self._follow(noticed)
                    if sight.folders != folders:
                        break

    async def _follow(self, noticed: bool) -> Sight:
        """Reload if the files have changed. What they are like then."""
        sight = await self._look(noticed)
        if self._changed(sight):
            await self.reload("a file changed")
            sight = await self._look(noticed=True)
        return sight

    async def _look(self, noticed: bool) -> Sight:
        files = (*self._files, *self._tried)
        return await asyncio.to_thread(look, files, None if noticed else self._seen)

    def _changed(self, sight: Sight) -> bool:
        """Whether `sight` shows something that the last load can't have seen."""
        # A failed load may have missed a file: that it is not there is no news.
        changed = sight.differs(self._seen, self._loaded_from, all_expected=self.state.successful)
        if not changed:
            self._seen = sight
        return changed

    async def _reload(self, cause: str) -> None:
        state, begin, wall = self.state, self._clock(), self._wall()
        # Looked at before the load: what changes during it is then seen as a change after it.
        self._seen = await self._look(noticed=True)
        self._loaded_from = wall
        problems: tuple[Problem, ...] = ()
        try:
            snapshot = await self._load(self._path, self._environ)
            self._tried = snapshot.files
            if snapshot.version != state.version:
                await self._apply(snapshot)
        except RulesError as error:
            problems, self._tried = tuple(error.problems), error.files
        except ApplyError as error:
            problems = (self._problem(str(error)),)
        except Exception as error:
            _log.exception("a reload failed for a reason of Plan B's own")
            problems = (self._problem(f"internal error: {type(error).__name__}: {error}"),)
        else:
            self._files = self._files_of(snapshot)
            state.version, state.loaded_at = snapshot.version, wall
        state.successful, state.problems = not problems, problems
        state.cause, state.at, state.duration = cause, wall, self._clock() - begin
        if problems:
            state.failures += 1
            _log.error("rules not reloaded (%s): the last good ones stay in force", cause)
            for problem in problems:
                _log.error("%s", problem)
        else:
            state.successes += 1
            _log.info("rules reloaded (%s): version %s", cause, state.version)

    def _problem(self, message: str) -> Problem:
        return Problem(str(self._path), 1, 1, "", message)

    def _files_of(self, snapshot: Snapshot) -> tuple[str, ...]:
        return tuple(dict.fromkeys((str(self._path.absolute()), *snapshot.files)))


async def _notices(folders: list[str]) -> AsyncGenerator[bool, None]:
    """True when something in `folders` has changed, and False at every tick."""
    try:
        async for changes in awatch(
            *folders,
            watch_filter=None,
            debounce=LONGEST_UNQUIET_MS,
            step=QUIET_MS,
            rust_timeout=TICK_MS,
            yield_on_timeout=True,
            recursive=False,
        ):
            yield bool(changes)
    except (OSError, RuntimeError) as error:
        # No inotify instance or watch to be had, or a folder has just gone.
        _log.warning("no notices of file changes, looking at the files instead: %s", error)
    while True:
        await asyncio.sleep(TICK_MS / 1000)
        yield False
