"""The admin address: metrics, health, reload, and the status page."""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.ops.metrics import Metrics
from proxy.ops.reload import Reloader
from proxy.ops.stats import Stats
from proxy.ops.status import Status

MOST_BODY_BYTES = 1024
"""No request here needs a body."""

_TRUSTED = web.RequestKey("trusted", bool)


def admin_app(
    stats: Stats,
    reloader: Reloader,
    version: str,
    dropped_lines: Callable[[], int],
    token: Callable[[], str | None],
) -> web.Application:
    """The admin application.

    `token` returns the token to ask for now, None on a loopback address. With a token, everything
    but the bare status of `/-/healthy` and `/-/ready` takes it as a Bearer token (RFC 6750) or as
    a Basic password with any user name (RFC 7617: a browser asks for it). Without one, requests
    must name the host by an IP address or as localhost, so that no page of another site gets here
    by pointing its own name at the loopback address (DNS rebinding). Either way, a browser may
    not post from another site's page.
    """
    admin = _Admin(
        stats,
        reloader,
        Metrics(stats, reloader.state, version, dropped_lines),
        Status(stats, reloader.state, version, dropped_lines),
        token,
    )
    app = web.Application(middlewares=[admin.guard], client_max_size=MOST_BODY_BYTES)
    app.on_response_prepare.append(admin.add_headers)
    app.router.add_get("/", admin.page)
    app.router.add_get("/metrics", admin.metrics)
    app.router.add_get("/-/healthy", admin.healthy)
    app.router.add_get("/-/ready", admin.ready)
    app.router.add_get("/-/status", admin.status)
    app.router.add_post("/-/reload", admin.reload)
    return app


class _Admin:
    def __init__(
        self,
        stats: Stats,
        reloader: Reloader,
        metrics: Metrics,
        status: Status,
        token: Callable[[], str | None],
    ) -> None:
        self._stats = stats
        self._reloader = reloader
        self._metrics = metrics
        self._status = status
        self._token = token
        self._page = Path(__file__).with_name("status.html").read_text("utf-8")
        self._policy = (
            f"default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
            f"form-action 'none'; frame-ancestors 'none'; "
            f"script-src '{_digest(self._page, 'script')}'; "
            f"style-src '{_digest(self._page, 'style')}'"
        )

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Lets pass who may: see `admin_app`."""
        refusal = self._refusal(request)
        request[_TRUSTED] = refusal is None
        if refusal is not None and request.path not in {"/-/healthy", "/-/ready"}:
            return refusal
        if request.method not in {"GET", "HEAD"} and _from_another_site(request):
            return _text(403, "not from another site's page")
        if request.can_read_body:
            await request.read()
        return await handler(request)

    async def add_headers(self, _: web.BaseRequest, response: web.StreamResponse) -> None:
        """What every answer carries."""
        response.headers["Server"] = "planb"
        response.headers["Cache-Control"] = "no-store"
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"

    async def page(self, _: web.Request) -> web.Response:
        """The status page, with the state of this moment in it."""
        state = json.dumps(self._status.read()).replace("<", "\\u003c")
        return web.Response(
            text=self._page.replace("{{STATUS}}", state), content_type="text/html", charset="utf-8"
        )

    async def status(self, _: web.Request) -> web.Response:
        """What the page shows."""
        return web.json_response(self._status.read())

    async def metrics(self, request: web.Request) -> web.Response:
        """What Prometheus reads."""
        body, content_type = await self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def healthy(self, _: web.Request) -> web.Response:
        """200 as long as the event loop turns."""
        return _text(200, "ok")

    async def ready(self, request: web.Request) -> web.Response:
        """200 if new requests are welcome, else 503. A failed reload is a detail: the last good
        rules are in force.
        """
        phase = self._stats.phase
        status = 200 if phase == "ready" else 503
        if not request[_TRUSTED]:
            return _text(status, "ready" if status == 200 else "not ready")
        detail = {"ready": status == 200, "phase": phase, "rules": self._status.rules()}
        return web.json_response(detail, status=status)

    async def reload(self, _: web.Request) -> web.Response:
        """Loads the rules: 200, or 422 with every problem."""
        result = await self._reloader.reload("POST /-/reload")
        detail = {
            "version": result.version,
            "problems": [problem.as_dict() for problem in result.problems],
        }
        return web.json_response(detail, status=200 if result.successful else 422)

    def _refusal(self, request: web.Request) -> web.Response | None:
        token = self._token()
        if token is None:
            if _names_an_address(request.headers.get("Host", "")):
                return None
            return _text(403, "ask for the IP address or localhost, or set admin.token")
        if _holds(request.headers.get("Authorization", ""), token):
            return None
        refusal = _text(401, "a token is needed")
        refusal.headers.add("WWW-Authenticate", 'Basic realm="Plan B", charset="UTF-8"')
        refusal.headers.add("WWW-Authenticate", 'Bearer realm="Plan B"')
        return refusal


def _text(status: int, line: str) -> web.Response:
    return web.Response(status=status, text=f"{line}\n")


def _holds(authorization: str, token: str) -> bool:
    """Whether the credentials (RFC 9110 section 11.4) hold `token`. Compares in constant time."""
    scheme, _, credentials = authorization.partition(" ")
    given = credentials.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given, token.encode())


def _names_an_address(host: str) -> bool:
    """Whether `Host` can't be a name of somebody else's: an IP address, localhost, or nothing."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() in {"", "localhost"} or name.lower().endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _from_another_site(request: web.Request) -> bool:
    """Whether a browser says that another origin's page sends this. Programs say nothing."""
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        return True
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("Host", "")


def _digest(page: str, element: str) -> str:
    """The CSP source of the page's inline `element` (CSP level 3, section 2.3.1)."""
    content = page.partition(f"<{element}>")[2].partition(f"</{element}>")[0]
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
