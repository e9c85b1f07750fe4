"""What the composition root adds to its parts: all of it at work when the rules change.

The start and the end are in scenarios/test_life_cycle.py.
"""

import asyncio
import contextlib
from pathlib import Path

from tests.scenarios.storefront import rules
from tests.support.http_origin import HttpOrigin
from tests.support.planb import PlanB
from tests.support.raw_client import RawClient, fetch, request_head


async def _reload(planb: PlanB, text: str) -> None:
    planb.rewrite(text)
    answer = await planb.admin("POST", "/-/reload")
    assert answer.status == 200, answer


def _most_files(pid: int) -> int:
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max open files"):
            return int(line.split()[3])
    raise AssertionError("no limit of open files")


async def test_there_are_descriptors_for_all_connections_after_a_reload_too(tmp_path: Path) -> None:
    text = rules("http://127.0.0.1:1", more="server: {max_connections: 100}")
    few = ("sh", "-c", 'ulimit -Sn 300; exec "$@"', "sh")
    async with PlanB(text, tmp_path, prefix=few) as planb:
        assert _most_files(planb.pid) == 2 * 100 + 256
        await _reload(planb, text.replace("100", "300"))
        assert _most_files(planb.pid) == 2 * 300 + 256


async def test_no_more_clients_are_let_in_than_there_are_descriptors_for(tmp_path: Path) -> None:
    few = ("sh", "-c", 'ulimit -n 300; exec "$@"', "sh")
    async with HttpOrigin() as origin, contextlib.AsyncExitStack() as stack:
        text = rules(origin.url, more="server: {max_connections: 1000}")
        planb = await stack.enter_async_context(PlanB(text, tmp_path, prefix=few))
        await _reload(planb, f"{text}\n")
        port = planb.port("storefront")
        statuses = []
        for _ in range(40):
            client = await stack.enter_async_context(RawClient(port))
            statuses.append((await client.get("/")).status)
        assert statuses == [200] * 22 + [503] * 18
        assert (await planb.admin("GET", "/-/ready")).status == 200
        log = await planb.wait_for_text("is full: all 22 connections are in use")
        assert log.count("max_connections is 1000, but the 300 file descriptors") == 1


async def test_what_goes_to_the_log_changes_with_the_rules(tmp_path: Path) -> None:
    async with HttpOrigin() as origin:
        text = rules(origin.url, more="logs: {format: json, access: false}")
        async with PlanB(text, tmp_path) as planb:
            port = planb.port("storefront")
            await fetch(port, request_head("GET", "/before"))
            await _reload(planb, text.replace("false", "true"))
            await fetch(port, request_head("GET", "/after"))
            async with asyncio.timeout(5):
                while '"/after"' not in planb.log_text():
                    await asyncio.sleep(0.01)
            assert '"/before"' not in planb.log_text()


async def test_an_upstream_changes_between_two_requests_of_a_connection(tmp_path: Path) -> None:
    async with (
        HttpOrigin() as old,
        HttpOrigin() as new,
        PlanB(rules(old.url), tmp_path) as planb,
        RawClient(planb.port("storefront")) as client,
    ):
        await client.send(request_head("GET", "/delay/0.5"))
        async with asyncio.timeout(5):
            while not old.requests:
                await asyncio.sleep(0.01)
        await _reload(planb, rules(new.url))
        assert (await client.read_response()).status == 200
        assert (await client.get("/")).status == 200
        assert (len(old.requests), len(new.requests)) == (1, 1)


async def test_who_waits_while_the_upstream_gets_another_name_is_served(tmp_path: Path) -> None:
    limit = "limits: [{name: one, concurrency: 1, queue: 1, queue_timeout: 5s}]"
    async with HttpOrigin() as origin:
        text = rules(origin.url, listener=limit)
        async with PlanB(text, tmp_path) as planb:
            port = planb.port("storefront")
            async with RawClient(port) as first, RawClient(port) as second:
                await first.send(request_head("GET", "/delay/1"))
                await second.send(request_head("GET", "/"))
                async with asyncio.timeout(5):
                    while not await planb.metric("planb_limit_waiting"):
                        await asyncio.sleep(0.01)
                await _reload(planb, text.replace("shop", "store"))
                assert (await first.read_response()).status == 200
                assert (await second.read_response()).status == 200
