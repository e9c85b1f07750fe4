import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from prometheus_client.parser import text_string_to_metric_families as parse

from proxy.ops.admin import admin_app
from proxy.ops.reload import ApplyError, Reloader
from proxy.ops.stats import (
    BreakerReading,
    EndpointReading,
    RetriesReading,
    SnapshotsReading,
    ThrottleReading,
    UpstreamReading,
)
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import Snapshot
from proxy.rules.apart import load_apart
from proxy.rules.load import load
from tests.ops.fake_stats import FakeStats
from tests.support.chromium import Chromium

TOKEN = "s\u00e9same-open"
RULES = """\
version: 1
listeners:
  - {name: storefront, bind: 127.0.0.1:0, upstream: shop}
upstreams:
  shop: {url: http://127.0.0.1:8000}
routes:
  - {name: all, match: {path: "/**"}}
"""

Client = TestClient[Request, Application]
StartClient = Callable[[Application], Awaitable[Client]]


class Admin:
    """The admin address over real rules."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "rules.yaml"
        self.path.write_text(RULES)
        self.stats = FakeStats()
        self.stats.route("item").record(
            forwarded=True, reason=None, status=200, duration=0.02, own=0.0002, waited=0.0
        )
        self.token: str | None = None
        self.applied: list[Snapshot] = []
        self.refuses = ""
        self.reloader = Reloader(
            self.path, {}, load(self.path, {}), 0.0, load=load_apart, apply=self._apply
        )
        self.app = admin_app(self.stats, self.reloader, "0.1.0", lambda: 0, lambda: self.token)

    async def _apply(self, snapshot: Snapshot) -> None:
        if self.refuses:
            raise ApplyError(self.refuses)
        self.applied.append(snapshot)


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    return Admin(tmp_path)


@pytest.fixture
async def client(admin: Admin, aiohttp_client: StartClient) -> Client:
    return await aiohttp_client(admin.app)


async def json_of(client: Client, path: str) -> Any:
    async with client.get(path) as response:
        return await response.json()


# ------------------------------------------------------------------- what it tells


async def test_metrics_are_served_in_the_format_asked_for(client: Client) -> None:
    async with client.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        names = {family.name for family in parse(await response.text())}
    assert "planb_requests" in names
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with client.get("/metrics", headers=accept) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        assert (await response.text()).endswith("# EOF\n")


@pytest.mark.parametrize("phase", ["starting", "ready", "draining"])
async def test_health_is_not_readiness(client: Client, admin: Admin, phase: Any) -> None:
    admin.stats.phase = phase
    async with client.get("/-/healthy") as response:
        assert (response.status, await response.text()) == (200, "ok\n")
    async with client.get("/-/ready") as response:
        assert response.status == (200 if phase == "ready" else 503)
        detail = await response.json()
    assert detail["phase"] == phase
    assert detail["ready"] == (phase == "ready")


async def test_a_failed_reload_is_a_detail_of_readiness(client: Client, admin: Admin) -> None:
    admin.path.write_text("routes: [")
    await admin.reloader.reload("SIGHUP")
    async with client.get("/-/ready") as response:
        assert response.status == 200
        detail = await response.json()
    assert not detail["rules"]["successful"]
    assert detail["rules"]["problems"][0]["line"] >= 1
    assert detail["rules"]["version"] == load_version(admin)


def load_version(admin: Admin) -> str:
    admin.path.write_text(RULES)
    return load(admin.path, {}).version


async def test_the_page_shows_what_fails_at_each_upstream(admin: Admin, client: Client) -> None:
    again = {"answered": 0, "over_budget": 0}
    failures = {Reason.UPSTREAM_ERROR: 5, Reason.UPSTREAM_TIMEOUT: 0}
    for name in ("shop", "coupons"):
        of_this = failures if name == "shop" else dict.fromkeys(failures, 0)
        retries = RetriesReading(again, 2.5) if name == "shop" else None
        admin.stats.upstream_rows.append(
            UpstreamReading(name, "127.0.0.1:1", 0, 0, 0, of_this, retries=retries)
        )
    admin.stats.upstream_rows[1] = replace(
        admin.stats.upstream_rows[1],
        endpoints=(
            EndpointReading("10.0.0.1:80", 3, 0, 0),
            EndpointReading("10.0.0.4:80", 2, 9, 0, in_a_row=8),
            EndpointReading("10.0.0.2:80", 0, 7, 2, "ejected", 65.0, "answered 500"),
            EndpointReading("10.0.0.3:80", 1, 5, 1, "returning", 0.0, "no response in time"),
        ),
    )
    async with Chromium.start() as browser, browser.page() as page:
        await page.open(str(client.make_url("/")))
        failures[Reason.UPSTREAM_ERROR] += 5000
        again["over_budget"] += 5000
        rows = "[...document.querySelectorAll('tr')].map(row => row.innerText)"
        await page.until(f"{rows}.some(row => /^→ shop\\s.*upstream_error$/.test(row))")
        told = "not sent again.s: .* over budget, budget for 2 more"
        assert await page.evaluate(f"{rows}.some(row => /^→ shop\\s.*{told}/.test(row))")
        assert await page.evaluate(f"{rows}.some(row => /^→ coupons\\s.*\\s0$/.test(row))")
        shown = await page.evaluate("document.getElementById('main').innerText")
    of_coupons = [line.split("\t") for line in shown.splitlines() if line.startswith("coupons")]
    assert of_coupons == [
        ["coupons", "10.0.0.3:80", "on trial, was out: no response in time", "1", "5", "1"],
        ["coupons", "10.0.0.2:80", "out for another 1 min: answered 500", "0", "7", "2"],
        ["coupons", "10.0.0.1:80", "serving", "3", "0", "0"],
        ["coupons", "10.0.0.4:80", "serving, failures in a row: 8", "2", "9", "0"],
    ]
    assert "Endpoints: 1 of 4 get no requests" in shown


async def test_the_status_tells_routes_and_rules(client: Client) -> None:
    status = await json_of(client, "/-/status")
    assert status["phase"] == "ready"
    assert status["version"] == "0.1.0"
    assert status["rules"]["successful"]
    (route,) = status["routes"]
    assert (route["name"], route["forwarded"]) == ("item", 1)
    assert len(route["duration"]) == len(status["duration_bounds"]) + 1


async def test_routes_that_nobody_asked_for_are_left_out(client: Client, admin: Admin) -> None:
    admin.stats.route("unused")
    status = await json_of(client, "/-/status")
    assert [route["name"] for route in status["routes"]] == ["item"]


async def test_the_page_shows_what_is_kept_and_sent_again(admin: Admin, client: Client) -> None:
    (_, item), *_ = admin.stats.route_rows
    admin.stats.kept = SnapshotsReading(7, 3 << 20, 64 << 20, 2)
    async with Chromium.start() as browser, browser.page() as page:
        await page.open(str(client.make_url("/")))
        item.stored += 5000
        item.last_good += 5000
        text = "document.getElementById('main').innerText"
        await page.until(f"/item\\s+[1-9][0-9]*\\s+[1-9][0-9]*\\s*$/.test({text})")
        heading = "Kept answers: 7, 3.0 of 64 MiB, 2 not written to the folder"
        assert await page.evaluate(f"{text}.includes({heading!r})")


async def test_the_page_shows_what_is_held_back(admin: Admin, client: Client) -> None:
    admin.stats.breaker_rows = [
        BreakerReading("shop", "", "closed", 1.0),
        BreakerReading("coupons", "mine", "open", 0.0, 3, "5 of 9 failed", 12.0, 2.0),
    ]
    admin.stats.throttle_rows = [ThrottleReading("shop", "", 0.75, 100, 10)]
    async with Chromium.start() as browser, browser.page() as page:
        await page.open(str(client.make_url("/")))
        rows = await page.evaluate(
            "[...document.querySelectorAll('tr')].map(row => row.innerText.replace(/\\s+/g, ' '))"
        )
    assert "shop breaker closed: all let through 0" in rows
    told = "open, next probes in 2 s (5 of 9 failed)"
    assert f"mine to coupons breaker {told} 12 s 3" in rows
    assert any(
        "throttle 25% let through (100 asked for lately, 10 accepted)" in row for row in rows
    )
    assert (await json_of(client, "/-/status"))["breakers"][1]["state"] == "open"


async def test_times_are_written_as_people_write_them(client: Client) -> None:
    async with Chromium.start() as browser, browser.page() as page:
        await page.open(str(client.make_url("/")))
        shown = await page.evaluate(
            "[0.00004, 0.0042, 0.00996, 0.0996, 0.123, 0.9996, 2].map(time)"
        )
    assert shown == ["40 µs", "4.2 ms", "10 ms", "100 ms", "123 ms", "1000 ms", "2.0 s"]


async def test_the_page_needs_nothing_from_elsewhere_and_its_policy_fits(client: Client) -> None:
    async with client.get("/") as response:
        page = await response.text()
        policy = response.headers["Content-Security-Policy"]
        assert response.content_type == "text/html"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for element in ("script", "style"):
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)


async def test_no_name_breaks_out_of_the_page(client: Client, admin: Admin) -> None:
    admin.stats.route("</script><script>alert(1)</script>").forwarded = 1
    async with client.get("/") as response:
        page = await response.text()
    assert page.count("<script") == 2
    assert "alert(1)" in page


# ---------------------------------------------------------------------- reload


async def test_a_post_reloads(client: Client, admin: Admin) -> None:
    admin.path.write_text(RULES.replace("name: all", "name: everything"))
    async with client.post("/-/reload") as response:
        assert response.status == 200
        body = await response.json()
    assert body == {"version": admin.applied[0].version, "problems": []}


async def test_a_post_with_bad_rules_tells_every_problem(client: Client, admin: Admin) -> None:
    version = admin.reloader.state.version
    admin.path.write_text(RULES.replace("url:", "ulr:").replace("path:", "paht:"))
    async with client.post("/-/reload") as response:
        assert response.status == 422
        body = await response.json()
    assert body["version"] == version
    assert {problem["line"] for problem in body["problems"]} == {5, 7}
    assert all(problem["file"] == str(admin.path) for problem in body["problems"])
    assert admin.applied == []


async def test_rules_that_cannot_be_applied_are_a_problem_too(client: Client, admin: Admin) -> None:
    admin.refuses = "a listener's bind can't change without a restart"
    admin.path.write_text(RULES.replace("name: all", "name: everything"))
    async with client.post("/-/reload") as response:
        assert response.status == 422
        body = await response.json()
    assert body["problems"][0]["message"] == admin.refuses


# ---------------------------------------------------------------------- access


def basic(user: str, password: str) -> dict[str, str]:
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/status", "/-/reload", "/nothing"])
async def test_with_a_token_everything_asks_for_it(client: Client, admin: Admin, path: str) -> None:
    admin.token = TOKEN
    method = "POST" if path == "/-/reload" else "GET"
    async with client.request(method, path) as response:
        assert response.status == 401
        asked = response.headers.getall("WWW-Authenticate")
        assert [challenge.partition(" ")[0] for challenge in asked] == ["Basic", "Bearer"]
        assert "item" not in await response.text()
    assert admin.applied == []
    async with client.request(method, path, headers=basic("any", TOKEN)) as response:
        assert response.status == (404 if path == "/nothing" else 200)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer plain-token"}, 200),
        ({"Authorization": "bearer  plain-token"}, 200),
        (basic("", "plain-token"), 200),
        (basic("plain-token", ""), 401),
        (basic("root", "plain-tokens"), 401),
        ({"Authorization": "Bearer plain-toke"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "plain-token"}, 401),
        ({"Authorization": "Digest plain-token"}, 401),
        ({"Authorization": "Basic ***"}, 401),
        ({"Authorization": "Basic \u00e9"}, 401),
    ],
)
async def test_a_token_is_taken_as_bearer_or_as_password(
    client: Client, admin: Admin, headers: dict[str, str], status: int
) -> None:
    admin.token = "plain-token"
    async with client.get("/-/status", headers=headers) as response:
        assert response.status == status


async def test_probes_get_the_bare_status_without_a_token(client: Client, admin: Admin) -> None:
    admin.token = TOKEN
    async with client.get("/-/healthy") as response:
        assert response.status == 200
    async with client.get("/-/ready") as response:
        assert (response.status, await response.text()) == (200, "ready\n")
    admin.stats.phase = "draining"
    async with client.get("/-/ready") as response:
        assert (response.status, await response.text()) == (503, "not ready\n")
    async with client.get("/-/ready", headers=basic("", TOKEN)) as response:
        assert (await response.json())["phase"] == "draining"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9901", 200),
        ("localhost:9901", 200),
        ("planb.localhost", 200),
        ("[::1]:9901", 200),
        ("10.0.0.7", 200),
        ("evil.example:9901", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("[evil.example]", 403),
    ],
)
async def test_without_a_token_the_host_must_be_an_address(
    client: Client, host: str, status: int
) -> None:
    async with client.get("/-/status", headers={"Host": host}) as response:
        assert response.status == status


async def test_with_a_token_any_host_name_will_do(client: Client, admin: Admin) -> None:
    admin.token = "plain-token"
    headers = {"Host": "planb.shop.svc:9901", "Authorization": "Bearer plain-token"}
    async with client.get("/-/status", headers=headers) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:9901"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:8080"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
@pytest.mark.parametrize("token", [None, "plain-token"])
async def test_no_other_sites_page_can_reload(
    client: Client, admin: Admin, token: str | None, headers: dict[str, str], status: int
) -> None:
    admin.token = token
    headers = {"Host": "127.0.0.1:9901", "Authorization": "Bearer plain-token", **headers}
    async with client.post("/-/reload", headers=headers) as response:
        assert response.status == status
    assert admin.reloader.state.successes == (1 if status == 200 else 0)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/-/reload", 405),
        ("POST", "/metrics", 405),
        ("DELETE", "/", 405),
        ("GET", "/nothing", 404),
        ("HEAD", "/-/ready", 200),
    ],
)
async def test_wrong_methods_and_paths(client: Client, method: str, path: str, status: int) -> None:
    async with client.request(method, path) as response:
        assert response.status == status
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Server"] == "planb"


async def test_a_body_is_bounded(client: Client, admin: Admin) -> None:
    async with client.post("/-/reload", data=b"x" * 5000) as response:
        assert response.status == 413
    assert admin.reloader.state.successes == 0


async def test_no_answer_holds_the_token(client: Client, admin: Admin) -> None:
    admin.token = "plain-token"
    for path in ("/", "/metrics", "/-/status", "/-/ready"):
        async with client.get(path, headers=basic("", "plain-token")) as response:
            assert "plain-token" not in await response.text()
