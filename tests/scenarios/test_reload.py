"""New rules while requests are under way, however their files change."""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.surge.generator import LoadGenerator, get
from tests.scenarios.arrivals import Arrivals
from tests.scenarios.storefront import rules
from tests.support.planb import PlanB, complete, planb
from tests.support.raw_client import fetch, request_head

PROMISED = 1.0
"""Seconds from a change of a file to its effect."""

WITHIN = 5.0
"""What a test takes as a failure: the machine may be at work elsewhere."""


async def _takes_effect(planb: PlanB, target: str, status: int) -> float:
    """Seconds until a GET has `status`; fails after `WITHIN`."""
    started = time.perf_counter()
    port = planb.port("storefront")
    while (response := await fetch(port, request_head("GET", target))).status != status:
        assert time.perf_counter() - started < WITHIN, response
        await asyncio.sleep(0.01)
    return time.perf_counter() - started


def _refusing(url: str, status: int, name: str = "page.txt") -> str:
    """Rules that answer /closed with `status`."""
    return rules(
        url,
        more=f"""
routes:
  - name: closed
    match: {{path: /closed}}
    limits: [{{rate: 1/h, burst: 1, per: "header:never"}}]
    fallback: {{page: closed}}
pages: {{closed: {{status: {status}, text: {name}}}}}
""",
    )


@contextlib.asynccontextmanager
async def _closed(directory: Path, origin: Arrivals) -> AsyncIterator[PlanB]:
    """Plan B whose route /closed has used its only token up: from now on it answers 418."""
    (directory / "page.txt").write_text("closed")
    async with PlanB(_refusing(origin.url, 418), directory, errors_expected=True) as planb:
        await fetch(planb.port("storefront"), request_head("GET", "/closed"))
        await _takes_effect(planb, "/closed", 418)
        yield planb


async def test_every_way_to_change_a_file_takes_effect_in_about_a_second(tmp_path: Path) -> None:
    async with Arrivals() as origin, _closed(tmp_path, origin) as planb:

        def in_place(status: int) -> None:
            planb.file.write_text(complete(_refusing(origin.url, status)))

        def by_rename(status: int) -> None:
            planb.rewrite(_refusing(origin.url, status))

        def backup_and_write(status: int) -> None:  # vim with backupcopy=no
            planb.file.rename(planb.file.with_suffix(".bak"))
            in_place(status)

        took: list[float] = []
        ways: list[Callable[[int], None]] = [in_place, by_rename, backup_and_write, by_rename]
        for status, way in enumerate(ways, start=501):
            way(status)
            took.append(await _takes_effect(planb, "/closed", status))
        print("took effect after", [f"{seconds:.2f} s" for seconds in took])
        # Twice that on a busy machine; a change that nobody noticed would take far longer.
        assert min(took) < 2 * PROMISED


async def test_a_changed_page_takes_effect_within_a_second(tmp_path: Path) -> None:
    async with Arrivals() as origin, _closed(tmp_path, origin) as planb:
        port = planb.port("storefront")
        (tmp_path / "page.txt").write_text("open soon")
        started = time.perf_counter()
        while (await fetch(port, request_head("GET", "/closed"))).body != b"open soon":
            assert time.perf_counter() - started < WITHIN
            await asyncio.sleep(0.01)


class _ConfigMap(PlanB):
    """Plan B on a ConfigMap volume: each file is a link into `..data`, itself a link to a dated
    folder, and publishing is to replace that link.
    """

    def rewrite(self, rules: str) -> None:
        volume = self.file.parent
        folder = volume / f"..{len(list(volume.iterdir()))}"
        folder.mkdir()
        (folder / "planb.yaml").write_text(complete(rules))
        (folder / "page.txt").write_text(folder.name)
        fresh = volume / "..data_tmp"
        fresh.symlink_to(folder.name)
        fresh.replace(volume / "..data")
        for name in ("planb.yaml", "page.txt"):
            with contextlib.suppress(FileExistsError):
                (volume / name).symlink_to(Path("..data", name))


async def test_a_config_map_s_symlink_swap_takes_effect_within_a_second(tmp_path: Path) -> None:
    async with Arrivals() as origin, _ConfigMap(_refusing(origin.url, 418), tmp_path) as planb:
        await fetch(planb.port("storefront"), request_head("GET", "/closed"))
        await _takes_effect(planb, "/closed", 418)
        for status in (501, 502):
            planb.rewrite(_refusing(origin.url, status))
            await _takes_effect(planb, "/closed", status)


async def test_a_signal_and_a_post_reload_what_is_there(tmp_path: Path) -> None:
    async with Arrivals() as origin, _closed(tmp_path, origin) as planb:
        planb.signal(signal.SIGHUP)
        await planb.wait_for_text("rules reloaded (SIGHUP)")
        planb.rewrite(_refusing(origin.url, 503))
        answer = await planb.admin("POST", "/-/reload")
        assert answer.status == 200
        # It answers when the rules are in force.
        port = planb.port("storefront")
        assert (await fetch(port, request_head("GET", "/closed"))).status == 503


async def test_a_bad_file_is_shown_everywhere_and_changes_nothing(tmp_path: Path) -> None:
    async with Arrivals() as origin, _closed(tmp_path, origin) as planb:
        good = _refusing(origin.url, 418)
        version = json.loads((await planb.admin("GET", "/-/ready")).body)["rules"]["version"]
        planb.rewrite(good.replace("limits:", "limit:"))
        line = good[: good.index("limits:")].count("\n") + 1
        place = f"planb.yaml:{line}:5: routes[0].limit: "
        await planb.wait_for_text(place)
        await planb.wait_for_text("the last good ones stay in force")
        assert await planb.metric("planb_config_last_reload_successful") == 0
        ready = await planb.admin("GET", "/-/ready")
        state = json.loads(ready.body)["rules"]
        assert (ready.status, state["successful"], state["version"]) == (200, False, version)
        (problem,) = state["problems"]
        assert (problem["line"], problem["column"], problem["key"]) == (line, 5, "routes[0].limit")
        answer = await planb.admin("POST", "/-/reload")
        assert answer.status == 422
        assert json.loads(answer.body)["problems"] == [problem]
        status = json.loads((await planb.admin("GET", "/-/status")).body)
        assert status["rules"]["problems"] == [problem]
        port = planb.port("storefront")
        assert (await fetch(port, request_head("GET", "/closed"))).status == 418

        planb.rewrite(_refusing(origin.url, 503))
        await _takes_effect(planb, "/closed", 503)
        assert await planb.metric("planb_config_last_reload_successful") == 1
        assert json.loads((await planb.admin("GET", "/-/ready")).body)["rules"]["problems"] == []


async def test_a_page_that_was_missing_is_found_when_it_comes(tmp_path: Path) -> None:
    async with Arrivals() as origin, _closed(tmp_path, origin) as planb:
        planb.rewrite(_refusing(origin.url, 503, "later.txt"))
        await planb.wait_for_text("later.txt")
        (tmp_path / "later.txt").write_text("here I am")
        await _takes_effect(planb, "/closed", 503)


async def test_an_address_is_not_changed_without_a_restart(tmp_path: Path) -> None:
    async with Arrivals() as origin, _closed(tmp_path, origin) as planb:
        text = _refusing(origin.url, 503).replace("127.0.0.1:0", "127.0.0.2:0")
        planb.rewrite(text)
        answer = await planb.admin("POST", "/-/reload")
        assert answer.status == 422
        assert (
            b"listener storefront: adding, removing or rebinding it takes a restart" in answer.body
        )
        port = planb.port("storefront")
        assert (await fetch(port, request_head("GET", "/closed"))).status == 418


async def test_an_unknown_upstream_host_is_a_failed_reload(tmp_path: Path) -> None:
    async with Arrivals() as origin, _closed(tmp_path, origin) as planb:
        planb.rewrite(_refusing("http://shop.invalid", 503))
        answer = await planb.admin("POST", "/-/reload")
        assert answer.status == 422
        assert b"unknown host 'shop.invalid'" in answer.body


def _limits(url: str, concurrency: int, burst: int) -> str:
    return rules(
        url,
        more=f"""
routes:
  - {{name: rate, match: {{path: /rate}}, limits: [{{rate: 1/h, burst: {burst}}}]}}
  - name: places
    match: {{path: /places}}
    limits: [{{name: places, concurrency: {concurrency}, queue: 4, queue_timeout: 10s}}]
""",
    )


async def test_tokens_and_places_are_kept_by_name(tmp_path: Path) -> None:
    async with Arrivals() as origin, PlanB(_limits(origin.url, 1, 2), tmp_path) as planb:
        port = planb.port("storefront")

        async def get(target: str) -> int:
            return (await fetch(port, request_head("GET", target), within=10)).status

        assert [await get("/rate") for _ in range(3)] == [200, 200, 429]
        origin.delay = 30.0
        waiting = [asyncio.create_task(get("/places")) for _ in range(3)]
        async with asyncio.timeout(5):
            while await planb.metric("planb_limit_waiting", limit="places") < 2:
                await asyncio.sleep(0.01)
        planb.rewrite(_limits(origin.url, 3, 2) + "fallback: {page: busy}\n")
        assert (await planb.admin("POST", "/-/reload")).status == 200
        # Who waited goes at once, while the first is still in flight.
        async with asyncio.timeout(5):
            while origin.at_once < 3:
                await asyncio.sleep(0.005)
        assert await get("/rate") == 429
        origin.answer_all()
        assert [await each for each in waiting] == [200] * 3
        assert await planb.metric("planb_limit_in_flight", limit="places") == 0


def _many_routes(url: str, burst: int) -> str:
    routes = "".join(
        f"""
  - name: r{number}
    match: {{path: "/r{number}/{{id}}"}}
    limits: [{{rate: 100000/s, burst: {burst}}}, {{concurrency: 500}}]"""
        for number in range(1000)
    )
    return rules(url, more=f"routes:{routes}")


async def test_ten_reloads_under_load_lose_nothing(tmp_path: Path) -> None:
    async with Arrivals() as origin, PlanB(_many_routes(origin.url, 1000), tmp_path) as planb:
        port = planb.port("storefront")
        requests = [get("shop.test", 80, f"/r{number}/1") for number in range(0, 1000, 7)]
        generator = LoadGenerator("127.0.0.1", port, requests, rate=500, seconds=60)
        flooding = asyncio.create_task(generator.run())
        for number in range(10):
            planb.rewrite(_many_routes(origin.url, 2000 + number))
            answer = await planb.admin("POST", "/-/reload", within=20)
            assert answer.status == 200, answer
        generator.stop()
        result = await flooding
        print(f"10 reloads of 1,000 routes\n{result.table()}")
        assert result.failed == 0
        assert result.statuses == {200: result.sent}
        assert await planb.metric("planb_requests_in_flight") == 0
        assert (await fetch(port, request_head("GET", "/r999/1"))).status == 200


# ---------------------------------------------------------------- bad from the start


async def test_a_start_with_a_bad_file_reports_what_check_reports(tmp_path: Path) -> None:
    file = tmp_path / "planb.yaml"
    bad = rules("http://127.0.0.1:1", more="routes: [{nme: x}, {name: x, limits: [{rate: 5/d}]}]")
    file.write_text(complete(bad))
    checked = await planb("check", str(file))
    started = await planb("run", str(file))
    assert (checked.code, started.code) == (2, 2)
    assert started.output == checked.output
    assert len(checked.output.splitlines()) >= 3
    assert all(line.startswith(f"{file}:") for line in checked.output.splitlines())


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
async def test_an_unreadable_page_is_one_clear_line(tmp_path: Path) -> None:
    page = tmp_path / "page.txt"
    page.write_text("x")
    page.chmod(0)
    await _fails_for_its_page(tmp_path, "Permission denied")


async def test_a_missing_page_is_one_clear_line(tmp_path: Path) -> None:
    await _fails_for_its_page(tmp_path, "No such file")


async def test_a_page_that_is_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "page.txt").mkdir()
    await _fails_for_its_page(tmp_path, "")


async def _fails_for_its_page(folder: Path, why: str) -> None:
    file = folder / "planb.yaml"
    file.write_text(complete(_refusing("http://127.0.0.1:1", 503)))
    finished = await planb("run", str(file))
    assert finished.code == 2
    (line,) = finished.output.splitlines()
    assert line.startswith(f"{file}:")
    assert "page.txt" in line
    assert why.lower() in line.lower()
