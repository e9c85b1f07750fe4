import asyncio
import re
import runpy
from pathlib import Path

import pytest
from aiohttp import web

from proxy.middleware import PlanB, RulesError
from tests.middleware.programs import at_rest, get, metric, plan_b, serving, write
from tests.support.origin import RawOrigin, answering, response

ROOT = Path(__file__).parents[2]
REFUSED = "routes: [{name: one, limits: [{rate: 1/h, burst: 1}]}]"


def _app(guard: PlanB) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=500 if request.path == "/broken" else 200)

    app = web.Application()
    guard.setup(app, "front")
    app.router.add_get("/metrics", guard.metrics)
    app.router.add_get("/{path:.*}", answer)
    return app


def test_mistakes_are_told_as_planb_check_tells_them(tmp_path: Path) -> None:
    file = write(tmp_path, "routes: [{name: one, limits: [{rat: 1/s}]}]")
    with pytest.raises(RulesError, match=r'planb\.yaml:8:\d+: .*rat: .*did you mean "rate"'):
        PlanB(file, {})


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ("routes: [{name: a}, {name: b, cache: {ttl: 1s}}]", r"routes\[1\]: only a sidecar"),
        ("routes: [{name: a, fallback: {snapshot: 1m}}]", r"routes\[0\]: only a sidecar"),
        (
            "shedding: {signals: {reported_cpu: {start: 50%, full: 60%, refuse: 70%}}}",
            r"shedding\.signals\.reported_cpu: only a sidecar",
        ),
    ],
)
def test_what_only_a_sidecar_can_do_is_a_mistake(tmp_path: Path, rules: str, why: str) -> None:
    guard = plan_b(tmp_path, rules)
    with pytest.raises(RulesError, match=why):
        guard.setup(web.Application(), "front")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("retry: {}", r"upstreams\.shop\.retry: only a sidecar"),
        ("resolve: {every: 1s}", r"upstreams\.shop: only a sidecar chooses"),
    ],
)
def test_what_only_a_sidecar_does_with_a_callee_is_a_mistake(
    tmp_path: Path, key: str, why: str
) -> None:
    guard = plan_b(tmp_path, upstream=key)
    for listener in ("out", "named"):
        with pytest.raises(RulesError, match=why):
            guard.client(listener)
    guard.setup(web.Application(), "front")


def test_deadlines_are_a_sidecars(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, listener="deadline_header: grpc-timeout")
    with pytest.raises(RulesError, match=r"listeners\[0\]\.deadline_header: only a sidecar"):
        guard.setup(web.Application(), "front")


def test_what_is_asked_for_elsewhere_is_not(tmp_path: Path) -> None:
    rules = """
routes: [{name: a, match: {listeners: [front]}, cache: {ttl: 1s}}]
shedding: {signals: {reported_cpu: {start: 50%, full: 60%, refuse: 70%}}}
"""
    plan_b(tmp_path, rules).client("out")


def test_a_listener_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    guard = plan_b(tmp_path)
    with pytest.raises(ValueError, match=r'no listener "fronf" in .*; did you mean "front"'):
        guard.setup(web.Application(), "fronf")
    with pytest.raises(ValueError, match='no listener "x"'):
        guard.client("x")


def test_a_listener_is_used_in_its_direction(tmp_path: Path) -> None:
    guard = plan_b(tmp_path)
    with pytest.raises(RulesError, match=r"listeners\[1\]\.direction: .* as inbound"):
        guard.setup(web.Application(), "out")
    with pytest.raises(RulesError, match=r"listeners\[0\]\.direction: .* as outbound"):
        guard.client("front")


async def test_metrics_are_shown_even_when_all_else_is_refused(tmp_path: Path) -> None:
    guard = plan_b(tmp_path, REFUSED)
    async with serving(_app(guard)) as port:
        assert [(await get(port, "/")).status for _ in range(2)] == [200, 429]
        shown = await get(port, "/metrics")
    assert shown.status == 200
    assert b'planb_requests_total{reason="rate",route="one",verdict="refused"} 1.0' in shown.body
    assert b"planb_config_info{version=" in shown.body


async def test_a_change_of_the_file_is_in_force_soon(tmp_path: Path) -> None:
    guard = plan_b(tmp_path)
    async with serving(_app(guard)) as port:
        assert [(await get(port, "/")).status for _ in range(2)] == [200, 200]
        write(tmp_path, REFUSED)
        async with asyncio.timeout(10):
            while (await get(port, "/")).status == 200:
                await asyncio.sleep(0.01)
        for broken in ("routes: [{name: one, cache: {ttl: 1s}}]", "listener: []"):
            failures = await metric(guard, "planb_config_reloads_total", result="failure")
            write(tmp_path, broken)
            async with asyncio.timeout(10):
                while (
                    await metric(guard, "planb_config_reloads_total", result="failure") == failures
                ):
                    await asyncio.sleep(0.01)
        file = tmp_path / "planb.yaml"
        write(tmp_path)
        file.write_text(file.read_text().replace("front", "back"))
        async with asyncio.timeout(10):
            while "which is gone" not in str(guard._reloader.state.problems):
                await asyncio.sleep(0.01)
        assert (await get(port, "/")).status == 429


async def test_what_runs_with_several_ends_with_the_last(tmp_path: Path) -> None:
    guard = plan_b(tmp_path)
    async with guard:
        before = asyncio.all_tasks()
        async with guard:
            assert asyncio.all_tasks() == before
        assert asyncio.all_tasks() == before
        assert len(before) == 4
    assert len(asyncio.all_tasks()) == 1


async def test_load_is_shed_while_answers_fail(tmp_path: Path) -> None:
    rules = """
routes: [{name: all, priority: low}]
shedding: {signals: {upstream_errors: {start: 10%, full: 20%, refuse: 30%}}}
"""
    guard = plan_b(tmp_path, rules)
    async with serving(_app(guard)) as port, asyncio.timeout(10):
        while (await get(port, "/broken")).status == 500:
            pass
        assert (await get(port, "/metrics")).status == 200
    assert await metric(guard, "planb_requests_total", reason="shed") == 1
    await at_rest(guard)


async def test_the_example_in_the_readme_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = (ROOT / "README.md").read_text("utf-8").partition("## Inside a Python program")[2]
    blocks = re.findall(r"```(?:yaml|python)\n(.*?)```", section, re.DOTALL)
    (tmp_path / "pages").symlink_to(ROOT / "config" / "pages")
    (tmp_path / "planb.yaml").write_text(blocks[0])
    monkeypatch.chdir(tmp_path)
    coupons = response(200, "OK", b'["CODE"]', "Content-Type: application/json")
    async with RawOrigin(answering(coupons)) as origin:
        (tmp_path / "program.py").write_text(blocks[1].replace(":8001", f":{origin.port}"))
        app = runpy.run_path("program.py")["app"]
        async with serving(app) as port:
            with_coupons = await get(port, "/")
            await origin.close()
            without = await get(port, "/")
            metrics = await get(port, "/metrics")
    assert with_coupons.body == b'{"coupons": ["CODE"]}'
    assert without.body == b'{"coupons": {"items": []}}'
    assert b'reason="upstream_error",route="coupons"' in metrics.body
