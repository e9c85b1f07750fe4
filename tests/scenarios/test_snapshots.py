"""The shop's last good answer, where its own is not to be had."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.http_origin import block
from tests.support.messages import Request, Response
from tests.support.origin import Peer, answering, chunked, ok, response
from tests.support.raw_client import request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"

RULES = """
routes:
  - {name: refused, match: {path: "/refused/{name}"}, fallback: {snapshot: 10m},
     limits: [{rate: 1/h, burst: 1, per: "path:name"}]}
  - {name: low, match: {path: "/low"}, priority: low, fallback: {snapshot: 10m}}
  - {name: full, match: {path: "/full"}, fallback: {snapshot: 10m}, limits: [{concurrency: 1}]}
  - {name: queued, match: {path: "/queued"}, fallback: {snapshot: 10m},
     limits: [{concurrency: 1, queue: 1, queue_timeout: 50ms}]}
  - {name: item, match: {path: "/items/**"}, fallback: {snapshot: 10m}}
  - {name: brief, match: {path: "/brief"}, fallback: {snapshot: 200ms}}
  - name: listed
    match: {path: "/listed"}
    fallback: {snapshot: 10m}
    snapshot_key: {query: [page], cookies: [lang], ignore_cookies: [_ga], headers: [authorization]}
  - {name: plain, match: {path: "/**"}}
snapshots: {memory: 20MiB, largest: 1MiB}
shedding: {signals: {reported_cpu: {start: 50%, full: 80%, refuse: 90%}}}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    folder: Path = tmp_path_factory.mktemp("planb")
    async with storefront(folder, upstream="timeouts: {response: 300ms}", more=RULES) as running:
        yield running


def _by_request(request: Request) -> bytes:
    """An answer that tells what it was asked."""
    return ok(request.target + b" for " + str(request.fields).encode())


async def _kept(shop: Storefront, target: str, answer: bytes, *lines: str) -> Response:
    """What is sent for `target` once the shop, which had answered so, has gone."""
    async with shop.origin(answering(answer)):
        assert (await shop.fetch("GET", target, *lines)).status == int(answer[9:12])
    return await shop.fetch("GET", target, *lines)


async def test_a_refused_request_gets_the_last_good_answer_as_the_shop_sent_it(
    shop: Storefront,
) -> None:
    answer = ok(
        b"<h1>one</h1>",
        *("Server: Legacy/1", "content-type: text/html", "X-Two: a", "Date: " + DATE, "X-Two: b"),
        *("Connection: X-Hop", "X-Hop: gone", "Keep-Alive: timeout=5"),
    )
    async with shop.origin(answering(answer)) as origin:
        first = await shop.fetch("GET", "/refused/one")
        copy = await shop.fetch("GET", "/refused/one")
        assert len(origin.requests) == 1
    assert (copy.status, copy.body) == (200, b"<h1>one</h1>")
    assert copy.fields[: len(first.fields)] == first.fields
    added = dict(copy.fields[len(first.fields) :])
    # That date is long ago: so is the answer (RFC 9111 section 4.2.3).
    assert int(added[b"Age"]) > 10**8
    assert re.fullmatch(rb"planb; hit; ttl=-?[0-9]+; detail=rate", added[b"Cache-Status"])
    assert added[b"Proxy-Status"] == b'planb; details="rate"'
    assert len(added) == 3


@pytest.mark.parametrize(
    ("target", "reason"), [("/full", "concurrency"), ("/queued", "queue_timeout")]
)
async def test_who_finds_no_place_gets_the_last_good_answer(
    shop: Storefront, target: str, reason: str
) -> None:
    """It is held by somebody who sends his request for ever."""
    held = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(ok(b"good"))
        await peer.read_request_head()
        held.set()
        await peer.stall()

    async with shop.origin(script, peers_may_leave=True), shop.client() as holder:
        assert (await holder.get(target)).body == b"good"
        await holder.send(request_head("POST", target, "Content-Length: 9") + b"half")
        await held.wait()
        copy = await shop.fetch("GET", target)
        assert (copy.status, copy.body) == (200, b"good")
        assert copy.header("age") is not None
        assert copy.header("proxy-status") == f'planb; details="{reason}"'
    await shop.is_at_rest()


async def test_who_is_shed_gets_the_last_good_answer(shop: Storefront) -> None:
    before = await shop.verdicts("refused", "shed")
    told = ok(b"good", "Endpoint-Load-Metrics: TEXT cpu_utilization=0.6")
    async with shop.origin(answering(told)) as origin, asyncio.timeout(10):
        while (copy := await shop.fetch("GET", "/low")).header("proxy-status") is None:
            assert copy.body == b"good"
            await shop.fetch("GET", "/plain")  # the shop goes on telling
            await asyncio.sleep(0.02)
        asked = len(origin.requests)
        assert (await shop.fetch("GET", "/low")).body == b"good"
        assert len(origin.requests) == asked
    assert (copy.status, copy.body) == (200, b"good")
    assert copy.header("proxy-status") == 'planb; details="shed"'
    assert await shop.verdicts("refused", "shed") == before + 2


async def test_it_counts_as_refused_and_as_answered(shop: Storefront) -> None:
    before = await shop.verdicts("refused", "rate")
    given = await shop.planb.metric("planb_last_good_answers_total", route="refused")
    async with shop.origin(answering(ok())):
        for _ in range(3):
            assert (await shop.fetch("GET", "/refused/counted")).status == 200
    assert await shop.verdicts("refused", "rate") == before + 2
    assert await shop.planb.metric("planb_last_good_answers_total", route="refused") == given + 2
    assert await shop.planb.metric("planb_snapshots") > 0
    await shop.is_at_rest()


async def test_without_one_a_refused_request_gets_the_page(shop: Storefront) -> None:
    async with shop.origin(answering(response(404, "Not Found", b"nothing"))):
        assert (await shop.fetch("GET", "/refused/none")).status == 404
        assert (await shop.fetch("GET", "/refused/none")).status == 429


async def test_a_shop_that_is_gone_has_its_last_good_answer(shop: Storefront) -> None:
    copy = await _kept(shop, "/items/gone", ok(b"here", 'ETag: "1"'))
    assert (copy.status, copy.body, copy.header("age")) == (200, b"here", "0")
    assert copy.header("cache-status") == "planb; fwd=stale; detail=upstream_error"
    assert copy.header("proxy-status") == 'planb; details="upstream_error"'
    assert copy.header("date") is not None


async def test_a_shop_that_is_too_slow_has_its_last_good_answer(shop: Storefront) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(ok(b"quick"))
        await peer.read_request()
        await peer.stall()

    async with shop.origin(script, peers_may_leave=True), shop.client() as client:
        assert (await client.get("/items/slow")).body == b"quick"
        copy = await client.get("/items/slow")
        assert (copy.status, copy.body) == (200, b"quick")
        assert copy.header("cache-status") == "planb; fwd=stale; detail=upstream_timeout"
        # The connection goes on.
        assert (await client.get("/items/slow")).body == b"quick"
    await shop.is_at_rest()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_shop_that_says_that_it_failed_has_its_last_good_answer(
    shop: Storefront, status: int
) -> None:
    failed = response(status, "Oh", block(100_000))
    async with shop.origin(answering(ok(b"good"), failed, failed), peers_may_leave=True):
        target = f"/items/failed-{status}"
        assert (await shop.fetch("GET", target)).body == b"good"
        assert (await shop.fetch("GET", target)).body == b"good"
        # Without one it is passed on.
        other = await shop.fetch("GET", target + "-other")
        assert (other.status, len(other.body)) == (status, 100_000)
    await shop.is_at_rest()


async def test_other_answers_of_the_shop_are_its_own(shop: Storefront) -> None:
    answers = (ok(b"good"), response(501, "No", b""), response(403, "No", b""))
    async with shop.origin(answering(*answers)):
        statuses = [(await shop.fetch("GET", "/items/own")).status for _ in range(3)]
    assert statuses == [200, 501, 403]


async def test_what_the_shop_has_taken_away_is_not_shown_again(shop: Storefront) -> None:
    async with shop.origin(answering(ok(b"sold"), response(404, "Not Found", b""))):
        assert (await shop.fetch("GET", "/items/sold")).status == 200
        assert (await shop.fetch("GET", "/items/sold")).status == 404
    assert (await shop.fetch("GET", "/items/sold")).status == 502


async def test_one_that_is_too_old_is_not_sent(shop: Storefront) -> None:
    copy = await _kept(shop, "/brief", ok())
    assert copy.status == 200
    ends_at = asyncio.get_running_loop().time() + 5.0
    while (await shop.fetch("GET", "/brief")).status == 200:
        assert asyncio.get_running_loop().time() < ends_at
        await asyncio.sleep(0.02)
    assert (await shop.fetch("GET", "/brief")).status == 502


@pytest.mark.parametrize(
    "lines",
    [
        ("Set-Cookie: sid=1",),
        ("Cache-Control: private",),
        ('Cache-Control: max-age=60, PRIVATE="x, y"',),
        ("Cache-Control: no-store",),
        ("Cache-Control: public", "Cache-Control: max-age=5 , no-store"),
        ("Vary: *",),
        ("Vary: Accept, *",),
        ("Content-Range: bytes 0-1/5",),
    ],
)
async def test_what_is_somebody_s_own_is_not_kept(shop: Storefront, lines: tuple[str, ...]) -> None:
    target = f"/items/own-{'-'.join(lines).encode().hex()}"
    assert (await _kept(shop, target, ok(b"ok", *lines))).status == 502


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("404", response(404, "Not Found", b"?")),
        ("203", response(203, "Other", b"ok")),
        ("206", response(206, "Partial Content", b"ok", "Content-Range: bytes 0-1/5")),
        ("301", response(301, "Moved", b"", "Location: /")),
        ("large", ok(block((1 << 20) + 1))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_other_statuses_and_what_is_too_large_is_not_kept(
    shop: Storefront, name: str, answer: bytes
) -> None:
    assert (await _kept(shop, f"/items/other-{name}", answer)).status == 502


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("short", ok(b"12345")[:-2]),
        ("chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"),
        ("until-close", b"HTTP/1.1 200 OK\r\n\r\n12345"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_an_answer_that_is_cut_short_or_may_be_is_not_kept(
    shop: Storefront, name: str, answer: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(answer)

    async with shop.origin(script), shop.client() as client:
        await client.send(request_head("GET", f"/items/{name}", "Connection: close"))
        await client.read_to_end()
    assert (await shop.fetch("GET", f"/items/{name}")).status == 502


@pytest.mark.parametrize(
    "lines",
    [
        ("Authorization: Basic eA==",),
        ("Cookie: sid=1",),
        ("Range: bytes=0-1",),
        ('If-None-Match: "x"',),
        ("Cache-Control: no-store",),
        ("X-HTTP-Method-Override: DELETE",),
        ("Content-Length: 1",),
    ],
)
async def test_answers_to_requests_that_are_not_like_all_others_are_not_kept(
    shop: Storefront, lines: tuple[str, ...]
) -> None:
    target = f"/items/asked-{'-'.join(lines).encode().hex()}"
    body = b"x" if "Content-Length: 1" in lines else b""
    async with shop.origin(answering(ok(b"mine"))):
        assert (await shop.fetch("GET", target, *lines, body=body)).status == 200
    assert (await shop.fetch("GET", target)).status == 502


async def test_what_is_nobody_s_own_is_good_for_people_with_cookies(shop: Storefront) -> None:
    assert (await _kept(shop, "/items/open", ok(b"open"))).status == 200
    assert (await shop.fetch("GET", "/items/open", "Cookie: sid=1")).status == 200
    answer = ok(b"closed", "Vary: Cookie")
    assert (await _kept(shop, "/items/closed", answer)).status == 200
    assert (await shop.fetch("GET", "/items/closed", "Cookie: sid=1")).status == 502


async def test_only_a_get_is_kept_and_sent_again(shop: Storefront) -> None:
    async with shop.origin(answering(ok(b"done"))):
        posted = await shop.fetch("POST", "/items/posted", "Content-Length: 0")
        assert posted.status == 200
    for method, lines in (("POST", ("Content-Length: 0",)), ("GET", ()), ("HEAD", ())):
        assert (await shop.fetch(method, "/items/posted", *lines)).status == 502
    await _kept(shop, "/items/got", ok(b"done", 'ETag: "1"'))
    assert (await shop.fetch("POST", "/items/got", "Content-Length: 0")).status == 502
    headed = await shop.fetch("HEAD", "/items/got")
    assert (headed.status, headed.body, headed.header("content-length")) == (200, b"", "4")


async def test_a_client_that_has_it_is_told_so(shop: Storefront) -> None:
    lines = ('ETag: W/"1"', "Last-Modified: " + DATE, "Content-Type: text/css")
    await _kept(shop, "/items/had", ok(b"done", *lines))
    for condition in ('If-None-Match: "0", "1"', "If-Modified-Since: " + DATE):
        had = await shop.fetch("GET", "/items/had", condition)
        assert (had.status, had.body, had.header("etag")) == (304, b"", 'W/"1"')
        assert had.header("content-type") is None
        assert had.header("age") == "0"
    has_other = await shop.fetch("GET", "/items/had", 'If-None-Match: "2"')
    assert (has_other.status, has_other.body) == (200, b"done")
    assert (await shop.fetch("GET", "/items/had", "Range: bytes=0-1")).body == b"done"


async def test_chunks_become_one_body_with_a_length(shop: Storefront) -> None:
    body = block(300_000)
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: 1\r\n\r\n" + chunked(body)
    copy = await _kept(shop, "/items/chunked", answer)
    assert (copy.status, copy.body) == (200, body)
    assert copy.header("content-length") == "300000"
    assert copy.header("transfer-encoding") is None


@pytest.mark.parametrize(
    "target",
    ["/items/x", "/items/x?b", "/items/%78", "/items/x?", "/items/x?a=2", "/Items/../items/x"],
)
async def test_no_spelling_gets_another_s_answer(shop: Storefront, target: str) -> None:
    await _kept(shop, "/items/x?a=1", ok(b"with a=1"))
    assert (await shop.fetch("GET", target)).status == 502


async def test_no_host_gets_another_s_answer(shop: Storefront) -> None:
    async with shop.origin(answering(ok(b"of the host"))), shop.client() as client:
        await client.send(b"GET /items/host HTTP/1.1\r\nHost: evil:1\r\n\r\n")
        assert (await client.read_response()).status == 200
    assert (await shop.fetch("GET", "/items/host")).status == 502


async def test_one_that_varies_is_for_those_who_ask_alike(shop: Storefront) -> None:
    def by_language(request: Request) -> bytes:
        return ok(str(request.header("accept-language")).encode(), "Vary: Accept-Language")

    async with shop.origin(answering(by_language)):
        for language in ("de", "en"):
            await shop.fetch("GET", "/items/varies", f"Accept-Language: {language}")
    for language in ("de", "en"):
        copy = await shop.fetch("GET", "/items/varies", f"Accept-Language: {language}")
        assert copy.body == language.encode()
    assert (await shop.fetch("GET", "/items/varies", "Accept-Language: fr")).status == 502
    assert (await shop.fetch("GET", "/items/varies")).status == 502


async def test_an_encoded_one_is_for_those_who_accept_that(shop: Storefront) -> None:
    answer = ok(b"zipped", "Content-Encoding: gzip")
    copy = await _kept(shop, "/items/zipped", answer, "Accept-Encoding: gzip")
    assert copy.body == b"zipped"
    assert (await shop.fetch("GET", "/items/zipped")).status == 502


async def test_the_rules_say_what_tells_one_from_another(shop: Storefront) -> None:
    async with shop.origin(answering(_by_request)):
        await shop.fetch("GET", "/listed?page=2&utm=x", "Cookie: _ga=1; lang=de")
        await shop.fetch("GET", "/listed", "Authorization: Basic eA==")
    same = await shop.fetch("GET", "/listed?utm=y&page=2", "Cookie: lang=de; _ga=2")
    assert same.body.startswith(b"/listed?page=2&utm=x for")
    mine = await shop.fetch("GET", "/listed", "Authorization: Basic eA==")
    assert mine.status == 200
    for target, line in (
        ("/listed?page=3", "Cookie: lang=de"),
        ("/listed?page=2", "Cookie: lang=en"),
        ("/listed?page=2;x", "Cookie: lang=de"),
        ("/listed", "Authorization: Basic eQ=="),
        ("/listed", "X: none"),
    ):
        assert (await shop.fetch("GET", target, line)).status == 502, (target, line)


async def test_a_route_without_it_keeps_nothing(shop: Storefront) -> None:
    assert (await _kept(shop, "/plain", ok())).status == 502
