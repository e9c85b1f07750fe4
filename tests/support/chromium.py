"""A real browser for tests: a small strict client of Chromium's DevTools protocol.

    async with Chromium.start() as browser, browser.page() as page:
        await page.open("http://127.0.0.1:8080/")
        assert await page.evaluate("document.title") == "Shop"

https://chromedevtools.github.io/devtools-protocol/
"""

import asyncio
import base64
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import aiohttp

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers give /dev/shm 64 MB
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)

PAGE_CLOCK = """(() => {
  let now = Number(sessionStorage.pageClock) || Date.now(), last = 0;
  const timers = new Map();
  Date.now = () => now;
  window.setTimeout = (call, ms = 0, ...rest) => {
    timers.set(++last, {at: now + ms, call: () => call(...rest)});
    return last;
  };
  window.clearTimeout = timer => timers.delete(timer);
  window.advancePageClock = ms => {
    const end = now + ms;
    for (;;) {
      const [next] = [...timers].filter(([, timer]) => timer.at <= end)
        .sort(([, a], [, b]) => a.at - b.at);
      if (!next) break;
      timers.delete(next[0]);
      now = Math.max(now, next[1].at);
      next[1].call();
    }
    sessionStorage.pageClock = now = end;
  };
})()"""
"""Puts `Date.now`, `setTimeout` and `clearTimeout` under the test's hand.

The time is kept per origin: a reload goes on where the page before it was.
"""


class BrowserError(Exception):
    """Chromium refused a command, a script of the test threw, or Chromium died."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that a page sent, or tried to send."""

    method: str
    url: str


class _Connection:
    """Commands out, their results and the sessions' events in, over one websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.pages: dict[str, Page] = {}
        self._reader = asyncio.create_task(self._read())

    async def command(
        self, method: str, session: str | None = None, **parameters: Any
    ) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        if self._reader.done():
            raise BrowserError("Chromium has gone")
        await self._socket.send_json(message)
        async with asyncio.timeout(30):
            return await answer

    async def _read(self) -> None:
        try:
            async for frame in self._socket:
                message = frame.json()
                if "id" in message:
                    self._answer(self._waiting.pop(message["id"]), message)
                elif page := self.pages.get(message.get("sessionId", "")):
                    page.on_event(message["method"], message["params"])
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(BrowserError("Chromium has gone"))

    @staticmethod
    def _answer(answer: asyncio.Future[dict[str, Any]], message: dict[str, Any]) -> None:
        if answer.done():
            return
        if "error" in message:
            answer.set_exception(BrowserError(message["error"]["message"]))
        else:
            answer.set_result(message["result"])

    async def close(self) -> None:
        await self._socket.close()
        await self._reader


class Page:
    """One tab with cookies and storage of its own.

    `sent` are all its requests so far. `faults` are uncaught exceptions, dialogs and breaches of a
    content security policy; leaving the page with any of them raises, so a test that provokes one
    takes it out.
    """

    def __init__(self, connection: _Connection, session: str, user_agent: str) -> None:
        self._connection = connection
        self._session = session
        self._user_agent = user_agent
        self._loaded = asyncio.Event()
        self._closing: list[asyncio.Task[dict[str, Any]]] = []  # dialogs: they stop the page
        self.sent: list[Sent] = []
        self.faults: list[str] = []

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Any command of the protocol: `await page.command("Page.bringToFront")`."""
        return await self._connection.command(method, self._session, **parameters)

    def on_event(self, method: str, event: dict[str, Any]) -> None:
        """Take an event of the protocol in."""
        match method:
            case "Network.requestWillBeSent":
                request = event["request"]
                self.sent.append(Sent(request["method"], request["url"]))
            case "Page.loadEventFired":
                self._loaded.set()
            case "Page.javascriptDialogOpening":
                self.faults.append(f"dialog: {event['message'] or event['type']}")
                self._closing.append(
                    asyncio.create_task(self.command("Page.handleJavaScriptDialog", accept=False))
                )
            case "Runtime.exceptionThrown":
                details = event["exceptionDetails"]
                thrown = details.get("exception", {}).get("description", details["text"])
                self.faults.append(f"exception: {thrown}")
            case "Log.entryAdded" if event["entry"]["source"] == "security":
                self.faults.append(f"security: {event['entry']['text']}")

    async def before_load(self, script: str) -> None:
        """Run `script` at the start of each document that is opened from now on."""
        await self.command("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def open(self, url: str) -> None:
        """Go to `url`, by GET, and wait for its load event."""
        self._loaded.clear()
        result = await self.command("Page.navigate", url=url)
        if "errorText" in result:
            raise BrowserError(f"{url}: {result['errorText']}")
        async with asyncio.timeout(30):
            await self._loaded.wait()

    async def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression, awaited when it is a promise."""
        result = await self.command(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            thrown = details.get("exception", {}).get("description", details["text"])
            raise BrowserError(f"{expression}: {thrown}")
        return result["result"].get("value")

    async def until(self, expression: str, within: float = 10.0) -> Any:
        """The first true value of `expression`, over navigations; `within` seconds or it raises."""
        deadline = time.monotonic() + within
        value: Any = None
        while time.monotonic() < deadline:
            # While one document replaces another there is none to ask.
            with contextlib.suppress(BrowserError):
                if value := await self.evaluate(expression):
                    return value
            await asyncio.sleep(0.02)
        raise BrowserError(f"not within {within} s: {expression}\nthe page: {await self.text()!r}")

    async def text(self) -> str:
        """What can be seen on the page, as text."""
        return str(await self.evaluate("document.body.innerText"))

    async def click(self, selector: str) -> None:
        """Click the first element that `selector` finds, as its own `click()` does."""
        try:
            await self.evaluate(f"document.querySelector({selector!r}).click()")
        except BrowserError as error:
            # A click that leads elsewhere may replace the document before it is answered.
            if "navigated" not in str(error):
                raise

    async def control_clock(self) -> None:
        """Stop the clock of the documents opened from now on; `advance` moves it."""
        await self.before_load(PAGE_CLOCK)

    async def advance(self, seconds: float) -> None:
        """Let the page's clock go on, running the timers that fall due."""
        await self.evaluate(f"advancePageClock({seconds * 1000})")

    async def view(
        self,
        width: int = 1280,
        height: int = 800,
        *,
        dark: bool = False,
        reduced_motion: bool = False,
        languages: Sequence[str] = ("en-GB", "en"),
        scale: float = 1.0,
    ) -> None:
        """Set the reader's screen (CSS pixels) and preferences."""
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        await self.command(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                {
                    "name": "prefers-reduced-motion",
                    "value": "reduce" if reduced_motion else "no-preference",
                },
            ],
        )
        await self.command(
            "Emulation.setUserAgentOverride",
            userAgent=self._user_agent,
            acceptLanguage=",".join(languages),
        )

    async def scripts(self, *, enabled: bool) -> None:
        """Switch JavaScript on or off for the documents opened from now on."""
        await self.command("Emulation.setScriptExecutionDisabled", value=not enabled)

    async def screenshot(self) -> bytes:
        """What the screen shows, as PNG."""
        shot = await self.command("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


class Chromium:
    """A browser process with a fresh profile; ends with its context."""

    def __init__(self, connection: _Connection, user_agent: str) -> None:
        self._connection = connection
        self._user_agent = user_agent

    @classmethod
    @asynccontextmanager
    async def start(cls) -> AsyncIterator["Chromium"]:
        """Start the browser. None installed is an error: a page that nobody saw isn't tested."""
        executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
        if executable is None:
            raise BrowserError(
                f"No browser found (looked for {', '.join(EXECUTABLES)}): run `make browser`."
            )
        with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
            process = await asyncio.create_subprocess_exec(
                executable,
                *FLAGS,
                f"--user-data-dir={profile}",
                "about:blank",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            assert process.stderr is not None
            try:
                address = await _devtools_address(process.stderr)
                drain = asyncio.create_task(_drain(process.stderr))
                async with (
                    aiohttp.ClientSession() as session,
                    session.ws_connect(address, max_msg_size=0) as socket,
                ):
                    connection = _Connection(socket)
                    version = await connection.command("Browser.getVersion")
                    yield cls(connection, version["userAgent"].replace("Headless", ""))
                    with contextlib.suppress(BrowserError):
                        await connection.command("Browser.close")
                    await connection.close()
                async with asyncio.timeout(10):
                    await process.wait()
                    await drain
            finally:
                # The whole group: children of a browser that hangs or failed would stay.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """Open an empty tab that shares nothing with other tabs."""
        command = self._connection.command
        context = (await command("Target.createBrowserContext"))["browserContextId"]
        target = await command("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self._connection, attached["sessionId"], self._user_agent)
        self._connection.pages[attached["sessionId"]] = page
        try:
            for domain in ("Page", "Network", "Runtime", "Log"):
                await page.command(f"{domain}.enable")
            await page.view()
            yield page
        finally:
            del self._connection.pages[attached["sessionId"]]
            await command("Target.disposeBrowserContext", browserContextId=context)
        if page.faults:
            raise BrowserError("; ".join(page.faults))


async def _devtools_address(errors: asyncio.StreamReader) -> str:
    """The websocket that Chromium announces on its standard error."""
    lines: deque[str] = deque(maxlen=20)
    async with asyncio.timeout(30):
        async for raw in errors:
            line = raw.decode(errors="replace").strip()
            if line.startswith("DevTools listening on "):
                return line.removeprefix("DevTools listening on ")
            lines.append(line)
    raise BrowserError("Chromium did not start:\n" + "\n".join(lines))


async def _drain(errors: asyncio.StreamReader) -> None:
    """Keep the pipe empty: a full one would stop the browser."""
    while await errors.read(65536):
        pass
