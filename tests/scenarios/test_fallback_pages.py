"""What a refused client is sent: by reason, route, Accept and Accept-Language, in one piece."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront
from tests.support.origin import answering, ok
from tests.support.raw_client import request_head

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

RULES = """
limits:
  none: {rate: 1/h, burst: 1}
  no-place: {concurrency: 1}
routes:
  - {name: bundled, match: {path: "/bundled/**"}, limits: [none]}
  - {name: own, match: {path: "/own/**"}, limits: [none], fallback: {page: own}}
  - {name: list, match: {path: "/list/**"}, limits: [none], fallback: {page: list}}
  - name: by-reason
    match: {path: "/by-reason/**"}
    limits: [none]
    max_body_size: 10B
    fallback: {page: list, by_reason: {body_too_large: own}}
pages:
  own:
    html: {en: own.en.html, zh: own.zh.html}
    json: own.json
    retry_after: 7s..7s
  list: {status: 200, json: list.json}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    folder: Path = tmp_path_factory.mktemp("planb")
    (folder / "own.en.html").write_text("<p>{{status}} {{title}}: {{reason}}, {{retry_after}} s")
    (folder / "own.zh.html").write_text("<p>\u8bf7\u7a0d\u5019 {{retry_after}}", encoding="utf-8")
    (folder / "own.json").write_text('{"why": "{{reason}}", "wait": {{retry_after}}}')
    (folder / "list.json").write_text('{"items": []}')
    async with storefront(folder, more=RULES) as running:
        async with running.origin(answering(ok())):
            assert (await running.fetch("GET", "/bundled/")).status == 200
        yield running


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ((BROWSER,), "text/html; charset=utf-8"),
        (("Accept: application/json",), "application/problem+json"),
        (("Accept: */*",), "application/problem+json"),
        ((), "application/problem+json"),
        (("Accept: text/plain",), "text/plain; charset=utf-8"),
        (("Accept: image/png",), "application/problem+json"),
    ],
)
async def test_the_form_is_what_the_client_asks_for(
    shop: Storefront, accept: tuple[str, ...], media_type: str
) -> None:
    answer = await shop.fetch("GET", "/bundled/", *accept)
    assert (answer.status, answer.header("content-type")) == (429, media_type)
    assert answer.header("cache-control") == "no-store"
    assert answer.header("proxy-status") == 'planb; error=http_request_denied; details="rate"'
    assert int(answer.header("retry-after") or 0) > 3595
    if media_type == "application/problem+json":
        problem = json.loads(answer.body)
        assert (problem["status"], problem["title"]) == (429, "Too Many Requests")


@pytest.mark.parametrize(
    ("language", "chosen"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-GB", "en"), ("fr, zh;q=0.1", "zh"), ("fr", "en")],
)
async def test_the_language_is_what_the_client_asks_for(
    shop: Storefront, language: str, chosen: str
) -> None:
    answer = await shop.fetch("GET", "/own/", BROWSER, f"Accept-Language: {language}")
    assert answer.header("content-language") == chosen


async def test_the_gaps_of_a_page_are_filled_in(shop: Storefront) -> None:
    page = await shop.fetch("GET", "/own/", BROWSER)
    wait = page.header("retry-after")
    assert page.body.decode() == f"<p>429 Too Many Requests: rate, {wait} s"
    data = await shop.fetch("GET", "/own/")
    wait = data.header("retry-after")
    assert json.loads(data.body) == {"why": "rate", "wait": int(wait or 0)}


async def test_a_page_with_a_status_of_its_own_stands_in_for_the_upstream(shop: Storefront) -> None:
    answer = await shop.fetch("GET", "/list/", BROWSER)
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert answer.body == b'{"items": []}'
    assert answer.header("retry-after") is None
    assert answer.header("proxy-status") is not None


async def test_a_reason_may_have_its_own_page(shop: Storefront) -> None:
    assert (await shop.fetch("GET", "/by-reason/")).status == 200
    large = await shop.fetch("POST", "/by-reason/", "Content-Length: 11", body=b"12345678901")
    assert large.status == 413
    assert json.loads(large.body) == {"why": "body_too_large", "wait": 0}


async def test_an_upstream_that_is_gone_has_its_page(shop: Storefront) -> None:
    answer = await shop.fetch("GET", "/elsewhere", BROWSER)
    assert (answer.status, answer.header("retry-after") is not None) == (502, True)
    assert (answer.header("proxy-status") or "").startswith("planb; error=")
    assert b"<html" in answer.body


async def test_an_answer_is_one_write(shop: Storefront) -> None:
    async with shop.client() as client:
        for accept in (BROWSER, "Accept: application/json"):
            await client.send(request_head("GET", "/bundled/", accept))
            received = await client.read_some(1 << 20)
            head, _, body = received.partition(b"\r\n\r\n")
            assert b"Content-Length: %d" % len(body) in head


async def test_a_head_request_gets_the_head_of_its_get(shop: Storefront) -> None:
    got = await shop.fetch("GET", "/own/", BROWSER)
    headed = await shop.fetch("HEAD", "/own/", BROWSER)
    assert (headed.status, headed.body) == (429, b"")
    assert headed.header("content-length") == got.header("content-length")


async def test_the_page_of_a_refused_form_does_not_send_it_again_by_itself(
    shop: Storefront,
) -> None:
    pages = [await shop.fetch(method, "/bundled/", BROWSER) for method in ("GET", "POST")]
    assert pages[0].body != pages[1].body
