"""The bundled pages as readers meet them, in a real browser with a clock under our hand."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from proxy.policy.reasons import Reason
from proxy.rules.templates import Template
from tests.support.chromium import Chromium, Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "proxy/rules/pages"
RETRYING = ("busy.html", "trouble.html")
HTML = (*RETRYING, "bad-request.html")
REASONS = {
    "busy.html": Reason.CONCURRENCY,
    "trouble.html": Reason.UPSTREAM_TIMEOUT,
    "bad-request.html": Reason.BODY_TOO_LARGE,
}
TYPED = {"name": "Ann 安", "note": "two\r\nlines", "size": "L", "gift": "on"}
ICON = '<link rel="icon" href="data:,">'  # or the browser asks for one
FORM = f"""<!doctype html><html lang="en">{ICON}<title>Form</title>
<form method="post" action="/orders">
<input name="name"><textarea name="note"></textarea>
<select name="size"><option>S<option>L</select><input type="checkbox" name="gift">
<button>Order</button></form>"""


def filled(path: Path, status: int, reason: str, *, safe: bool = True, retry_after: int = 4) -> str:
    """A page as it is sent."""
    values = {
        "status": str(status),
        "reason": reason,
        "title": "Some Title",
        "safe": str(safe).lower(),
        "retry_after": str(retry_after),
    }
    (body,) = Template(path.name, path.read_text()).cut(values)
    return body.decode()


def policy(html: str) -> str:
    """A content security policy that allows this page's own style and script, and nothing else."""
    style, script = (
        base64.b64encode(hashlib.sha256(match[1].encode()).digest()).decode()
        for tag in ("style", "script")
        if (match := re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL))
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; "
        f"script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
    )


class Shop:
    """Answers everything with `page` while there is one: what a refused reader sees."""

    def __init__(self) -> None:
        self.url = ""
        self.page: Path | None = None
        self.status: int | None = None
        self.retry_after = 4
        self.strict = True
        self.form_headers: dict[str, str] = {}
        self.form = FORM
        self.asked: list[str] = []
        self.icon_asked = asyncio.Event()
        self.ordered: dict[str, str] = {}

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        if request.path == "/favicon.ico":
            self.icon_asked.set()
        if request.path == "/form":
            return web.Response(text=self.form, content_type="text/html", headers=self.form_headers)
        if request.path == "/bare":
            return web.Response(text="<title>No icon</title>", content_type="text/html")
        if self.page is None:
            self.ordered = {key: str(value) for key, value in (await request.post()).items()}
            return web.Response(text=f"{ICON}<title>Shop</title>", content_type="text/html")
        reason = REASONS.get(self.page.name, Reason.RATE)
        status = self.status or reason.status
        safe = request.method == "GET"
        html = filled(self.page, status, reason, safe=safe, retry_after=self.retry_after)
        headers = {"Cache-Control": "no-store"}
        if self.strict:
            headers["Content-Security-Policy"] = policy(html)
        return web.Response(text=html, status=status, content_type="text/html", headers=headers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Chromium]:
    async with Chromium.start() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Chromium) -> AsyncIterator[Page]:
    async with browser.page() as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", shop.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield shop
    await runner.cleanup()


async def control(page: Page, random: float = 0.0) -> None:
    await page.control_clock()
    await page.before_load(f"Math.random = () => {random}")


async def seconds_left(page: Page) -> int:
    return int(re.findall(r"\d+", await page.evaluate("left.textContent"))[0])


@asynccontextmanager
async def another_document(page: Page) -> AsyncIterator[None]:
    """What is done inside must bring a new document."""
    await page.evaluate("window.old = true")
    yield
    await page.until("!window.old && document.readyState === 'complete'")


@pytest.mark.parametrize("name", RETRYING)
async def test_a_refused_page_comes_back_by_itself_and_never_too_early(
    name: str, page: Page, shop: Shop
) -> None:
    shop.page = BUNDLED / name
    await control(page)
    await page.open(f"{shop.url}/items/1?colour=red")
    shop.page = None
    await page.advance(3.9)
    assert await page.evaluate("left.textContent") == "Leave this page open: next try in 1 s"
    assert shop.asked == ["GET /items/1"]
    async with another_document(page):
        await page.advance(0.1)
    assert await page.evaluate("document.title + location.search") == "Shop?colour=red"
    assert shop.asked == ["GET /items/1"] * 2


async def test_patience_grows_with_each_refusal_up_to_two_minutes(page: Page, shop: Shop) -> None:
    shop.page = BUNDLED / "busy.html"
    await control(page)
    await page.open(shop.url)
    waits = [await seconds_left(page)]
    while len(waits) < 10:
        async with another_document(page):
            await page.advance(waits[-1])
        waits.append(await seconds_left(page))
    assert waits == [4, 7, 11, 17, 27, 42, 68, 108, 120, 120]


async def test_the_servers_time_holds_even_when_it_is_longer(page: Page, shop: Shop) -> None:
    shop.page, shop.retry_after = BUNDLED / "busy.html", 600
    await control(page)
    await page.open(shop.url)
    assert await seconds_left(page) == 600


@pytest.mark.parametrize(("away", "wait"), [(80, 7), (100, 4)])
async def test_patience_starts_anew_after_a_while_on_other_pages(
    away: int, wait: int, page: Page, shop: Shop
) -> None:
    shop.page = BUNDLED / "busy.html"
    await control(page)
    await page.open(f"{shop.url}/items/1")
    shop.page = None
    async with another_document(page):
        await page.advance(4)
    await page.advance(away)
    shop.page = BUNDLED / "busy.html"
    await page.open(f"{shop.url}/items/2")
    assert await seconds_left(page) == 4, "another page has another count"
    await page.open(f"{shop.url}/items/1")
    assert await seconds_left(page) == wait


@pytest.mark.parametrize(("random", "wait"), [(0.0, 100), (0.5, 125), (0.9, 145)])
async def test_jitter_spreads_readers_over_half_the_wait_and_only_later(
    random: float, wait: int, page: Page, shop: Shop
) -> None:
    shop.page, shop.retry_after = BUNDLED / "busy.html", 100
    await control(page, random)
    await page.open(shop.url)
    assert await seconds_left(page) == wait


async def test_a_hidden_tab_does_not_retry_until_it_is_looked_at(page: Page, shop: Shop) -> None:
    shop.page = BUNDLED / "busy.html"
    await control(page, 0.5)
    await page.before_load(
        "window.away = false; Object.defineProperty(document, 'hidden', {get: () => away})"
    )
    await page.open(shop.url)
    await page.evaluate("away = true; document.dispatchEvent(new Event('visibilitychange'))")
    await page.advance(600)
    assert await page.evaluate("said.textContent") == "Leave this page open: next try in 5 s"
    await page.evaluate("away = false; document.dispatchEvent(new Event('visibilitychange'))")
    assert await seconds_left(page) == 2, "fresh jitter: not all tabs of a morning at once"
    assert shop.asked == ["GET /"]
    async with another_document(page):
        await page.advance(2)
    assert shop.asked == ["GET /"] * 2


async def test_a_tab_opened_in_the_background_waits_to_be_seen(page: Page, shop: Shop) -> None:
    shop.page = BUNDLED / "busy.html"
    await control(page)
    await page.before_load("Object.defineProperty(document, 'hidden', {get: () => true})")
    await page.open(shop.url)
    await page.advance(600)
    assert await page.evaluate("said.textContent") == "Leave this page open: next try in 4 s"
    assert shop.asked == ["GET /"]


async def test_try_now_works_but_not_again_at_once(page: Page, shop: Shop) -> None:
    shop.page, shop.retry_after = BUNDLED / "busy.html", 30
    await control(page)
    await page.open(shop.url)
    for tries in (1, 2):
        await page.advance(3)
        await page.click("#go")
        assert await page.evaluate("go.disabled")
        assert shop.asked == ["GET /"] * tries
        await page.advance(1)
        async with another_document(page):
            await page.click("#go")
    assert shop.asked == ["GET /"] * 3


@pytest.mark.parametrize("name", RETRYING)
@pytest.mark.parametrize("restored", ["kept alive by the browser", "loaded again"])
async def test_what_a_form_held_survives_and_is_not_sent_twice(
    restored: str, name: str, page: Page, shop: Shop
) -> None:
    if restored == "loaded again":  # both keep a page out of the back/forward cache
        shop.form += "<script>addEventListener('unload', () => 0)</script>"
        shop.form_headers = {"Cache-Control": "no-store"}
    shop.page = BUNDLED / name
    await control(page)
    await page.open(f"{shop.url}/form")
    await page.evaluate(
        "(form => { form.elements.name.value = 'Ann 安';"
        "form.note.value = 'two\\nlines'; form.size.value = 'L'; form.gift.checked = true })"
        "(document.forms[0])"
    )
    async with another_document(page):
        await page.click("form button")
    await page.advance(3)
    assert await page.evaluate("go.disabled")
    await page.advance(600)
    assert await page.evaluate("left.textContent") == "You can send it again now"
    assert shop.asked == ["GET /form", "POST /orders"]
    shop.page = None
    await page.click("#go")
    await page.until("document.title === 'Form'")
    assert shop.asked.count("GET /form") == (2 if restored == "loaded again" else 1)
    await page.evaluate("delete window.old")
    async with another_document(page):
        await page.click("form button")
    assert shop.ordered == TYPED
    assert shop.asked.count("POST /orders") == 2


async def test_a_reader_without_the_form_in_this_tab_gets_no_way_back(
    page: Page, shop: Shop
) -> None:
    shop.page = BUNDLED / "busy.html"
    await page.before_load("Object.defineProperty(history, 'length', {get: () => 1})")
    await page.open(f"{shop.url}/form")
    async with another_document(page):
        await page.click("form button")
    assert await page.evaluate("go.hidden")


@pytest.mark.parametrize("name", HTML)
async def test_a_page_asks_for_nothing_else_not_even_an_icon(
    name: str, page: Page, shop: Shop
) -> None:
    shop.page = BUNDLED / name
    shop.strict = False  # the policy would hold it back
    await page.open(f"{shop.url}/items/1")
    await page.open(f"{shop.url}/bare")  # the browser would have asked for it there, too
    async with asyncio.timeout(10):
        await shop.icon_asked.wait()
    assert shop.asked == ["GET /items/1", "GET /bare", "GET /favicon.ico"]
    outside = [sent.url for sent in page.sent if not sent.url.startswith(("data:", shop.url))]
    assert outside == []


@pytest.mark.parametrize("name", HTML)
@pytest.mark.parametrize(
    ("languages", "language"),
    [
        (("en-GB",), "en"),
        (("zh-CN", "en"), "zh-Hans"),
        (("fr", "zh-TW", "en"), "zh-Hans"),
        (("fr", "de"), "en"),
    ],
)
async def test_a_reader_sees_one_language_and_can_change_it_for_good(
    languages: tuple[str, ...], language: str, name: str, page: Page, shop: Shop
) -> None:
    async def shown() -> tuple[str, bool, bool, bool]:
        text = await page.text()
        title = await page.evaluate("document.title")
        switch = await page.evaluate("other.textContent")
        han = re.search(r"[\u4e00-\u9fff]", text.replace(switch, "")) is not None
        latin = re.search(r"\b(the|The|This)\b", text) is not None
        return (
            await page.evaluate("document.documentElement.lang"),
            latin,
            han,
            re.search(r"[\u4e00-\u9fff]", title) is not None,
        )

    expected = {"en": ("en", True, False, False), "zh-Hans": ("zh-Hans", False, True, True)}
    shop.page = BUNDLED / name
    await page.view(languages=languages)
    await page.open(shop.url)
    assert await shown() == expected.pop(language)
    await page.click("#other")
    (changed,) = expected.values()
    assert await shown() == changed
    await page.open(shop.url)
    assert await shown() == changed


@pytest.mark.parametrize("name", HTML)
async def test_without_javascript_both_languages_stand_there(
    name: str, page: Page, shop: Shop
) -> None:
    shop.page = BUNDLED / name
    await page.scripts(enabled=False)
    await page.open(f"{shop.url}/items/1")
    text = await page.text()
    assert re.search(r"[\u4e00-\u9fff]{6}", text)
    assert "shop" in text
    assert "next try" not in text, "nobody counts"
    assert ("Try again" in text) == (name in RETRYING)


async def test_without_javascript_try_again_is_no_offer_after_a_post(
    page: Page, shop: Shop
) -> None:
    shop.page = BUNDLED / "busy.html"
    await page.open(f"{shop.url}/form")
    await page.scripts(enabled=False)
    async with another_document(page):
        await page.click("form button")
    text = await page.text()
    assert "nothing was ordered" in text
    assert "Try again" not in text


async def test_a_screen_reader_hears_the_start_and_the_end_not_each_second(
    page: Page, shop: Shop
) -> None:
    shop.page = BUNDLED / "busy.html"
    await control(page)
    await page.open(f"{shop.url}/form")
    async with another_document(page):
        await page.click("form button")
    await page.evaluate(
        "window.heard = [said.textContent];"
        "new MutationObserver(() => heard.push(said.textContent))"
        ".observe(said, {childList: true, characterData: true, subtree: true})"
    )
    for _ in range(8):
        await page.advance(1)
    assert await page.evaluate("heard") == [
        "Ready to send again in 4 s",
        "You can send it again now",
    ]
    assert await page.evaluate("said.getAttribute('role')") == "status"


async def test_the_ring_only_glides_for_readers_who_like_motion(page: Page, shop: Shop) -> None:
    shop.page = BUNDLED / "busy.html"
    durations = []
    for reduced in (False, True):
        await page.view(reduced_motion=reduced)
        await page.open(shop.url)
        durations.append(await page.evaluate("getComputedStyle(ring).transitionDuration"))
    assert durations == ["1s", "0s"]


@pytest.mark.parametrize("name", HTML)
@pytest.mark.parametrize("dark", [False, True])
async def test_a_page_fits_a_small_phone_in_either_colour_scheme(
    dark: bool, name: str, page: Page, shop: Shop
) -> None:
    shop.page = BUNDLED / name
    await page.view(320, 568, dark=dark)
    await page.open(shop.url)
    assert await page.evaluate("document.documentElement.scrollWidth") == 320
    red, *_ = re.findall(r"\d+", await page.evaluate("getComputedStyle(document.body).background"))
    assert (int(red) < 100) == dark


async def test_a_page_works_where_storage_is_forbidden(page: Page, shop: Shop) -> None:
    shop.page = BUNDLED / "busy.html"
    await page.before_load(
        "Object.defineProperty(window, 'sessionStorage', {get() { throw new Error('no') }})"
    )
    await page.open(shop.url)
    assert 4 <= await seconds_left(page) <= 6


@pytest.mark.parametrize(
    ("status", "hint"), [(408, "took too long"), (413, "too large"), (431, "cookies")]
)
async def test_a_bad_request_is_told_what_may_help(
    status: int, hint: str, page: Page, shop: Shop
) -> None:
    shop.page, shop.status = BUNDLED / "bad-request.html", status
    await page.open(shop.url)
    hints = ("took too long", "too large", "cookies")
    text = await page.text()
    assert [word for word in hints if word in text] == [hint]


async def test_a_bad_request_leads_back_to_where_the_reader_was(page: Page, shop: Shop) -> None:
    shop.page = BUNDLED / "bad-request.html"
    await page.open(f"{shop.url}/form")
    await page.open(shop.url)
    await page.click("#back")
    await page.until("document.title === 'Form'")


async def test_the_example_page_retries_what_was_asked_by_get_only(page: Page, shop: Shop) -> None:
    shop.page = ROOT / "config/pages/sale.html"
    await control(page, 0.5)
    await page.open(f"{shop.url}/form")
    async with another_document(page):
        await page.click("form button")
    await page.advance(600)
    await page.open(f"{shop.url}/items/1")
    async with another_document(page):
        await page.advance(5.5)
    assert shop.asked == ["GET /form", "POST /orders", "GET /items/1", "GET /items/1"]
