import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from proxy.ops import reload as reload_module
from proxy.ops.reload import ApplyError, Reloader
from proxy.ops.sight import CLOCK_STEP
from proxy.policy.snapshot import Snapshot
from proxy.rules.apart import load_apart
from proxy.rules.load import load

RULES = """\
version: 1
listeners:
  - {name: storefront, bind: 127.0.0.1:0, upstream: shop}
upstreams:
  shop: {url: http://127.0.0.1:8000}
routes:
  - {name: %s, match: {path: "/**"}, fallback: {page: busy}}
pages:
  busy: {json: pages/busy.json}
"""
PATIENCE = 10.0
"""Seconds for what takes less than one: other tests may have the machine."""


class Rules:
    """A folder with rules and a page, and a reloader over the real loader."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "rules.yaml"
        self.page = folder / "pages" / "busy.json"
        self.applied: list[Snapshot] = []
        self.new = asyncio.Event()
        self.loads = 0

    def write(self, route: str) -> None:
        self.path.write_text(RULES % route)

    def start(self, load: reload_module.Load | None = None) -> Reloader:
        started = time.time()
        self.load = load or load_apart
        return Reloader(
            self.path,
            os.environ,
            _load(self.path),
            started,
            load=self._counted,
            apply=self.apply,
        )

    async def _counted(self, path: Path, environ: Mapping[str, str]) -> Snapshot:
        self.loads += 1
        return await self.load(path, environ)

    async def apply(self, snapshot: Snapshot) -> None:
        self.applied.append(snapshot)
        self.new.set()

    async def next_route(self) -> str:
        """The name of the first route of the rules that come next."""
        async with asyncio.timeout(PATIENCE):
            await self.new.wait()
        self.new.clear()
        return self.applied[-1].routes[0].name


def _load(path: Path) -> Snapshot:
    return load(path, os.environ)


@pytest.fixture
def rules(tmp_path: Path) -> Rules:
    rules = Rules(tmp_path)
    rules.page.parent.mkdir()
    rules.page.write_text("{}")
    rules.write("first")
    time.sleep(2 * CLOCK_STEP)  # what is as new as the reloader would be loaded again
    return rules


@pytest.fixture
async def watched(rules: Rules) -> AsyncIterator[tuple[Rules, Reloader]]:
    async with watching(rules) as reloader:
        yield rules, reloader


class watching:  # noqa: N801 - reads as a word of the `async with`
    def __init__(self, rules: Rules) -> None:
        self.reloader = rules.start()

    async def __aenter__(self) -> Reloader:
        self.task = asyncio.create_task(self.reloader.watch())
        await asyncio.sleep(0.1)  # the operating system's watch is set up
        return self.reloader

    async def __aexit__(self, *_: object) -> None:
        assert not self.task.done()
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


# ---------------------------------------------------------------- watching files


async def test_an_in_place_write_is_loaded_soon(watched: tuple[Rules, Reloader]) -> None:
    rules, reloader = watched
    before = reloader.state.version
    begin = time.monotonic()
    rules.write("second")
    assert await rules.next_route() == "second"
    assert time.monotonic() - begin < 2  # 0.4 s on an idle machine
    await until(lambda: reloader.state.successes == 1)
    assert reloader.state.version == rules.applied[-1].version != before
    assert reloader.state.cause == "a file changed"


async def test_an_editors_rename_is_loaded(watched: tuple[Rules, Reloader]) -> None:
    rules, _ = watched
    for route in ("second", "third"):
        new = rules.path.with_suffix(".tmp")
        new.write_text(RULES % route)
        new.rename(rules.path)
        assert await rules.next_route() == route


async def test_a_page_is_loaded_too(watched: tuple[Rules, Reloader]) -> None:
    rules, _ = watched
    rules.page.write_text('{"busy": true}')
    await rules.next_route()
    assert rules.loads == 1


async def test_the_link_swap_of_a_config_map_volume_is_loaded(tmp_path: Path) -> None:
    def version(name: str, route: str, page: str) -> None:
        (tmp_path / name / "pages").mkdir(parents=True)
        (tmp_path / name / "rules.yaml").write_text(RULES % route)
        (tmp_path / name / "pages" / "busy.json").write_text(page)

    def swap(name: str) -> None:
        (tmp_path / "..data_tmp").symlink_to(name)
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")

    version("..1", "first", "{}")
    swap("..1")
    for name in ("rules.yaml", "pages"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    rules = Rules(tmp_path)
    await asyncio.sleep(2 * CLOCK_STEP)
    async with watching(rules):
        for number, route, page in ((2, "second", "{}"), (3, "second", "[]"), (4, "third", "[]")):
            version(f"..{number}", route, page)
            swap(f"..{number}")
            assert await rules.next_route() == route
            for file in sorted((tmp_path / f"..{number - 1}").rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            (tmp_path / f"..{number - 1}").rmdir()
        assert rules.loads == 3


async def test_a_file_deleted_and_made_again_is_loaded(watched: tuple[Rules, Reloader]) -> None:
    rules, reloader = watched
    rules.path.unlink()
    await until(lambda: not reloader.state.successful)
    assert rules.applied == []
    rules.write("second")
    assert await rules.next_route() == "second"


async def test_a_folder_deleted_and_made_again_is_watched_again(
    watched: tuple[Rules, Reloader],
) -> None:
    rules, reloader = watched
    rules.page.unlink()
    rules.page.parent.rmdir()
    await until(lambda: not reloader.state.successful)
    rules.page.parent.mkdir()
    rules.page.write_text("[1]")
    await rules.next_route()
    rules.page.write_text("[2]")
    await rules.next_route()


async def test_the_same_content_written_again_is_not_loaded(
    watched: tuple[Rules, Reloader],
) -> None:
    rules, _ = watched
    rules.write("first")
    await asyncio.sleep(0.7)  # longer than a tick
    assert rules.loads == 0


async def test_what_changed_before_the_watch_began_is_loaded(rules: Rules) -> None:
    reloader = rules.start()
    await asyncio.sleep(0.05)
    rules.write("second")
    task = asyncio.create_task(reloader.watch())
    assert await rules.next_route() == "second"
    task.cancel()


async def test_a_change_during_a_load_is_loaded_after_it(rules: Rules) -> None:
    reloader = rules.start(load=None)

    async def slow(path: Path, environ: Mapping[str, str]) -> Snapshot:
        snapshot = load(path, environ)
        if rules.loads == 1:
            rules.write("third")
        return snapshot

    rules.load = slow
    task = asyncio.create_task(reloader.watch())
    await asyncio.sleep(0.1)
    rules.write("second")
    await until(lambda: len(rules.applied) == 2)
    assert [snapshot.routes[0].name for snapshot in rules.applied] == ["second", "third"]
    task.cancel()


async def test_files_named_by_new_rules_are_watched(watched: tuple[Rules, Reloader]) -> None:
    rules, reloader = watched
    other = rules.path.parent / "other"
    other.mkdir()
    (other / "page.json").write_text("{}")
    rules.path.write_text((RULES % "second").replace("pages/busy.json", "other/page.json"))
    await rules.next_route()
    await until(lambda: reloader.state.successes > 0)
    await asyncio.sleep(0.1)
    (other / "page.json").write_text("[]")
    assert await rules.next_route() == "second"


async def test_a_page_that_was_missed_is_found_when_it_appears(
    watched: tuple[Rules, Reloader],
) -> None:
    rules, reloader = watched
    rules.path.write_text((RULES % "second").replace("pages/busy.json", "pages/new.json"))
    await until(lambda: not reloader.state.successful)
    (rules.page.parent / "new.json").write_text("{}")
    assert await rules.next_route() == "second"


async def test_a_page_of_failed_rules_is_loaded_when_it_is_mended(rules: Rules) -> None:
    other = rules.path.parent / "other" / "page.json"
    other.parent.mkdir()
    other.write_text("{{nope}}")
    await asyncio.sleep(2 * CLOCK_STEP)
    async with watching(rules) as reloader:
        rules.path.write_text((RULES % "second").replace("pages/busy", "other/page"))
        await until(lambda: not reloader.state.successful)
        await asyncio.sleep(0.7)  # longer than a tick
        assert rules.loads == 1
        other.write_text("{}")
        assert await rules.next_route() == "second"


async def test_a_missed_page_is_found_in_a_folder_that_was_not_watched(
    watched: tuple[Rules, Reloader],
) -> None:
    rules, reloader = watched
    rules.path.write_text((RULES % "second").replace("pages/busy", "new/folder/page"))
    await until(lambda: not reloader.state.successful)
    await asyncio.sleep(0.7)  # longer than a tick
    assert rules.loads == 1
    (rules.path.parent / "new" / "folder").mkdir(parents=True)
    (rules.path.parent / "new" / "folder" / "page.json").write_text("{}")
    assert await rules.next_route() == "second"


async def test_a_page_of_rules_that_could_not_be_applied_is_watched(rules: Rules) -> None:
    other = rules.path.parent / "other.json"
    other.write_text("{}")
    await asyncio.sleep(2 * CLOCK_STEP)
    async with watching(rules) as reloader:

        async def apply(_: Snapshot) -> None:
            raise ApplyError("not so")

        reloader._apply = apply
        rules.path.write_text((RULES % "second").replace("pages/busy", "other"))
        await until(lambda: not reloader.state.successful)
        reloader._apply = rules.apply
        other.write_text("[]")
        assert await rules.next_route() == "second"


async def test_without_notices_the_files_are_looked_at(
    rules: Rules, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_inotify(*_: object, **__: object) -> AsyncIterator[set[object]]:
        raise OSError("inotify watch limit reached")

    monkeypatch.setattr(reload_module, "awatch", no_inotify)
    async with watching(rules):
        rules.write("second")
        assert await rules.next_route() == "second"
    assert "inotify watch limit reached" in caplog.text


# ------------------------------------------------------------------- bad rules


async def test_bad_rules_change_nothing_and_are_told_in_full(
    watched: tuple[Rules, Reloader], caplog: pytest.LogCaptureFixture
) -> None:
    rules, reloader = watched
    version = reloader.state.version
    rules.path.write_text((RULES % "second").replace("url:", "ulr:").replace("path:", "paht:"))
    await until(lambda: not reloader.state.successful)
    assert rules.applied == []
    assert reloader.state.version == version
    assert reloader.state.failures == 1
    assert [problem.line for problem in reloader.state.problems] == sorted(
        problem.line for problem in reloader.state.problems
    )
    for problem in reloader.state.problems:
        assert problem.file == str(rules.path)
        assert f"{problem.file}:{problem.line}:{problem.column}: " in caplog.text
    assert {problem.line for problem in reloader.state.problems} == {5, 7}
    rules.write("third")
    assert await rules.next_route() == "third"
    await until(lambda: reloader.state.successful)
    assert reloader.state.problems == ()


async def test_going_back_to_the_rules_in_force_ends_the_failure(
    watched: tuple[Rules, Reloader],
) -> None:
    rules, reloader = watched
    rules.path.write_text("routes: [")
    await until(lambda: not reloader.state.successful)
    rules.write("first")
    await until(lambda: reloader.state.successful)
    assert rules.applied == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ApplyError("a listener's bind can't change without a restart"), "without a restart"),
        (KeyError("shop"), "internal error: KeyError: 'shop'"),
    ],
)
async def test_rules_that_cannot_be_applied_are_a_failure(
    rules: Rules, error: Exception, message: str
) -> None:
    reloader = rules.start()
    version = reloader.state.version

    async def apply(_: Snapshot) -> None:
        raise error

    reloader._apply = apply
    rules.write("second")
    result = await reloader.reload("SIGHUP")
    assert not result.successful
    assert result.version == reloader.state.version == version
    assert message in result.problems[0].message
    assert result.problems[0].file == str(rules.path)


# ------------------------------------------------------------------- on request


async def test_a_request_reloads_and_tells_the_version(rules: Rules) -> None:
    reloader = rules.start()
    rules.write("second")
    result = await reloader.reload("SIGHUP")
    assert result.successful
    assert result.version == rules.applied[0].version
    assert reloader.state.cause == "SIGHUP"


class Gate:
    """A loader that waits to be let go, and counts."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.running = 0
        self.most_running = 0
        self.begun: asyncio.Queue[None] = asyncio.Queue()
        self.go: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, path: Path, environ: Mapping[str, str]) -> Snapshot:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.begun.put_nowait(None)
        try:
            await self.go.get()
        finally:
            self.running -= 1
        return self.snapshot


async def test_calls_during_a_reload_cause_one_more_after_it(rules: Rules) -> None:
    gate = Gate(_load(rules.path))
    reloader = rules.start(load=gate)
    first = asyncio.create_task(reloader.reload("first"))
    await gate.begun.get()
    others = [asyncio.create_task(reloader.reload(f"other {n}")) for n in range(5)]
    await asyncio.sleep(0)
    gate.go.put_nowait(None)
    await first
    await gate.begun.get()
    gate.go.put_nowait(None)
    await asyncio.gather(*others)
    assert rules.loads == 2
    assert gate.most_running == 1
    assert reloader.state.cause == "other 0"


async def test_a_cancelled_reload_leaves_its_followers_one_of_their_own(rules: Rules) -> None:
    gate = Gate(_load(rules.path))
    reloader = rules.start(load=gate)
    first = asyncio.create_task(reloader.reload("first"))
    await gate.begun.get()
    second = asyncio.create_task(reloader.reload("second"))
    await asyncio.sleep(0)
    first.cancel()
    await gate.begun.get()
    gate.go.put_nowait(None)
    assert (await second).successful
    assert reloader.state.successes == 1


async def test_duration_and_time_come_from_the_given_clocks(rules: Rules) -> None:
    ticks = iter([100.0, 100.25])
    snapshot = _load(rules.path)

    async def given(path: Path, environ: Mapping[str, str]) -> Snapshot:
        return snapshot

    reloader = Reloader(
        rules.path,
        {},
        snapshot,
        1.0,
        load=given,
        apply=rules.apply,
        clock=lambda: next(ticks),
        wall=lambda: 1772366400.0,
    )
    await reloader.reload("SIGHUP")
    assert reloader.state.duration == 0.25
    assert reloader.state.at == reloader.state.loaded_at == 1772366400.0


async def test_the_watch_ends_soon_when_cancelled(
    rules: Rules, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with watching(rules):
        begin = time.monotonic()
    assert time.monotonic() - begin < 1
