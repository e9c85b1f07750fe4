"""What both lanes say when they refuse, and when a connection may go on after it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.lanes import answering
from proxy.lanes.answering import MOST_REFUSALS, SMALL_BODY_BYTES, may_go_on, own_answer
from proxy.lanes.services import Services
from proxy.policy.reasons import REQUEST_AT_FAULT, Reason
from proxy.wire.request_head import RequestHead, RequestHeadReader
from tests.lanes.express_stage import ROUTES, stage
from tests.lanes.listening import listening
from tests.support.origin import RawOrigin, ok
from tests.support.origin import answering as answers
from tests.support.raw_client import RawClient, request_head


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with stage(tmp_path) as it:
        yield it.services


def _head(*lines: str, method: str = "GET", version: str = "1.1") -> RequestHead:
    data = request_head(method, "/", *lines).replace(b"HTTP/1.1", f"HTTP/{version}".encode())
    head = RequestHeadReader(65536).feed(data)
    assert head is not None
    return head


def _goes_on(
    services: Services,
    head: RequestHead | None,
    reason: Reason | None = Reason.RATE,
    *,
    complete: bool = True,
    refusals: int = 1,
) -> bool:
    return may_go_on(services, reason, head, complete=complete, refusals=refusals)


async def test_a_refused_connection_goes_on(services: Services) -> None:
    assert _goes_on(services, _head())


@pytest.mark.parametrize(
    "head", [None, _head("Connection: close"), _head("Connection: keep-alive", version="1.0")]
)
async def test_one_that_is_to_end_ends(services: Services, head: RequestHead | None) -> None:
    assert not _goes_on(services, head)


@pytest.mark.parametrize("reason", sorted(REQUEST_AT_FAULT))
async def test_nothing_is_believed_after_a_request_that_is_at_fault(
    services: Services, reason: Reason
) -> None:
    assert not _goes_on(services, _head(), reason)


async def test_a_connection_ends_while_draining(services: Services) -> None:
    services.engine.draining = True
    assert not _goes_on(services, _head())


@pytest.mark.parametrize(
    ("lines", "goes_on"),
    [
        ((f"Content-Length: {SMALL_BODY_BYTES}",), True),
        ((f"Content-Length: {SMALL_BODY_BYTES + 1}",), False),
        (("Content-Length: 1", "Expect: 100-continue"), False),
        (("Transfer-Encoding: chunked",), False),
    ],
)
async def test_the_rest_of_a_body_must_be_little_and_sure_to_come(
    services: Services, lines: tuple[str, ...], goes_on: bool
) -> None:
    head = _head(*lines, method="POST")
    assert _goes_on(services, head, complete=False) == goes_on
    assert _goes_on(services, head, complete=True)


async def test_only_so_many_refusals_in_a_row_are_borne(services: Services) -> None:
    assert _goes_on(services, _head(), refusals=MOST_REFUSALS - 1)
    assert not _goes_on(services, _head(), refusals=MOST_REFUSALS)


@pytest.mark.parametrize(
    ("head", "form", "length"),
    [
        (None, b"application/problem+json", None),
        (_head("Accept: text/html"), b"text/html", None),
        (_head("ACCEPT: text/html"), b"text/html", None),
        (_head("Accept: text/html", method="HEAD"), b"text/html", 0),
    ],
)
async def test_an_answer_is_in_the_form_that_was_asked_for(
    services: Services, head: RequestHead | None, form: bytes, length: int | None
) -> None:
    verdict = services.engine.reject("storefront", Reason.BAD_REQUEST, 0.0)
    told = verdict.guard.answers[Reason.BAD_REQUEST]
    data = own_answer(services, verdict, told, head, keep_alive=False)
    answer, _, body = data.partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Type: " + form in answer
    assert b"\r\nConnection: close" in answer
    assert bool(body) == (length is None)


# ------------------------------------------------------- refusals in a row, lane by lane


async def _use_up(client: RawClient) -> None:
    """The one request that `/closed` lets through in an hour."""
    assert (await client.get("/closed")).status == 200


@pytest.mark.parametrize("express", [True, False])
async def test_who_is_refused_without_end_must_connect_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, express: bool
) -> None:
    monkeypatch.setattr(answering, "MOST_REFUSALS", 5)
    async with (
        RawOrigin(answers(ok())) as origin,
        listening(origin.url, tmp_path, more=ROUTES, express=express) as lane,
    ):
        async with RawClient(lane.port) as client:
            await _use_up(client)
            for _ in range(4):
                answer = await client.get("/closed")
                assert (answer.status, answer.header("connection")) == (429, None)
            # What is forwarded begins the count anew.
            assert (await client.get("/open")).status == 200
            for left in (4, 3, 2, 1, 0):
                answer = await client.get("/closed")
                expected = None if left else "close"
                assert (answer.status, answer.header("connection")) == (429, expected)
            assert await client.is_closed_by_peer()
        assert lane.services.engine.rules.routes["closed"].refused[Reason.RATE] == 9


async def test_a_pipeline_of_refusals_ends_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "MOST_REFUSALS", 50)
    async with (
        RawOrigin(answers(ok())) as origin,
        listening(origin.url, tmp_path, more=ROUTES, express=True) as lane,
        RawClient(lane.port) as client,
    ):
        await _use_up(client)
        await client.send(request_head("GET", "/closed") * 200)
        data = await client.read_to_end()
        assert data.count(b"HTTP/1.1 429 ") == 50
        assert data.count(b"\r\nConnection: close\r\n") == 1


async def test_the_count_goes_with_a_connection_that_is_handed_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "MOST_REFUSALS", 5)
    async with (
        RawOrigin(answers(ok())) as origin,
        listening(origin.url, tmp_path, more=ROUTES, express=True) as lane,
        RawClient(lane.port) as client,
    ):
        await _use_up(client)
        for _ in range(4):
            assert (await client.get("/closed")).header("connection") is None
        assert lane.listener._express.open == 1
        await client.send(
            request_head("POST", "/closed", "Transfer-Encoding: chunked") + b"0\r\n\r\n"
        )
        answer = await client.read_response()
        assert (answer.status, answer.header("connection")) == (429, "close")
        assert lane.listener._express.open == 0
        assert await client.is_closed_by_peer()
