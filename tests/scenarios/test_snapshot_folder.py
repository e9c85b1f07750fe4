"""Kept answers that outlive a restart, and a folder that is of no use."""

import asyncio
from pathlib import Path

import pytest

from tests.scenarios.storefront import rules
from tests.support.origin import RawOrigin, answering, ok
from tests.support.planb import PlanB
from tests.support.raw_client import fetch, request_head

MORE = """
routes: [{name: all, fallback: {snapshot: 1h}}]
snapshots: {folder: FOLDER}
"""


async def _get(planb: PlanB) -> tuple[int, bytes, str]:
    answer = await fetch(planb.port("storefront"), request_head("GET", "/item"))
    return answer.status, answer.body, answer.header("age") or ""


async def test_the_last_good_answer_outlives_a_restart(tmp_path: Path) -> None:
    async with RawOrigin(answering(ok(b"item", "Vary: accept"))) as origin:
        text = rules(origin.url, more=MORE.replace("FOLDER", "kept"))
        async with PlanB(text, tmp_path) as planb:
            assert (await _get(planb))[:2] == (200, b"item")
    async with PlanB(text, tmp_path) as planb:
        # It and what it varies with; they are read while requests are served.
        async with asyncio.timeout(5.0):
            while await planb.metric("planb_snapshots") < 2:
                await asyncio.sleep(0.01)
        status, body, age = await _get(planb)
        assert (status, body) == (200, b"item")
        assert 0 <= int(age) < 60
    (file,) = (tmp_path / "kept" / "planb-snapshots").iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    async with PlanB(text, tmp_path) as planb:
        assert (await _get(planb))[0] == 502


@pytest.mark.parametrize("folder", ["/proc/nowhere", "planb.yaml"])
async def test_a_folder_that_is_of_no_use_does_no_harm(tmp_path: Path, folder: str) -> None:
    async with RawOrigin(answering(ok(b"item"))) as origin:
        text = rules(origin.url, more=MORE.replace("FOLDER", folder))
        async with PlanB(text, tmp_path) as planb:
            assert (await _get(planb))[:2] == (200, b"item")
            await origin.close()
            assert (await _get(planb))[:2] == (200, b"item")
            await planb.wait_for_text("snapshots can't be kept in")
            assert await planb.metric("planb_snapshot_folder_errors_total") >= 1


async def test_a_reload_may_name_another_folder(tmp_path: Path) -> None:
    async with RawOrigin(answering(ok(b"item"))) as origin:
        text = rules(origin.url, more=MORE)
        async with PlanB(text.replace("FOLDER", "one"), tmp_path) as planb:
            planb.rewrite(text.replace("FOLDER", "two"))
            assert (await planb.admin("POST", "/-/reload")).status == 200
            assert (await _get(planb))[0] == 200
    assert list((tmp_path / "one" / "planb-snapshots").iterdir()) == []
    assert len(list((tmp_path / "two" / "planb-snapshots").iterdir())) == 1
