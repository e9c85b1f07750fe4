import shutil
import socket
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.support.chromium import BrowserError, Chromium

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Chromium]:
    async with Chromium.start() as browser:
        yield browser


def html(text: str) -> str:
    return "data:text/html," + quote(text)


async def test_a_missing_browser_is_an_error_that_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BrowserError, match="run `make browser`"):
        async with Chromium.start():
            pass


async def test_a_script_that_throws_is_an_error(browser: Chromium) -> None:
    async with browser.page() as page:
        with pytest.raises(BrowserError, match="nowhere"):
            await page.evaluate("nowhere.to.be.found")


async def test_an_exception_of_the_page_itself_fails_the_test(browser: Chromium) -> None:
    with pytest.raises(BrowserError, match="exception: Error: its own"):
        async with browser.page() as page:
            await page.open(html("<script>throw new Error('its own')</script>"))


async def test_a_dialog_is_closed_and_fails_the_test(browser: Chromium) -> None:
    with pytest.raises(BrowserError, match="dialog: are you sure"):
        async with browser.page() as page:
            await page.open(html("<script>confirm('are you sure')</script>"))


async def test_what_does_not_come_true_is_reported_with_what_the_page_shows(
    browser: Chromium,
) -> None:
    async with browser.page() as page:
        await page.open(html("<p>still waiting"))
        with pytest.raises(BrowserError, match="still waiting"):
            await page.until("document.title === 'done'", within=0.1)


async def test_an_address_that_nobody_answers_is_an_error(browser: Chromium) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        async with browser.page() as page:
            with pytest.raises(BrowserError, match="ERR_CONNECTION_REFUSED"):
                await page.open(f"http://127.0.0.1:{bound.getsockname()[1]}/")
