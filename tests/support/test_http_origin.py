import asyncio
import hashlib
import json

import pytest

from tests.support import websocket
from tests.support.http_origin import HttpOrigin, block
from tests.support.raw_client import RawClient, fetch, request_head


async def test_an_echo_shows_the_request_as_it_came() -> None:
    head = request_head("PUT", "/any?x=%2F", "X-Odd: \xe9", "Content-Length: 2")
    async with HttpOrigin() as origin:
        echoed = json.loads((await fetch(origin.port, head + b"hi")).body)
    assert echoed["method"] == "PUT"
    assert echoed["target"] == "/any?x=%2F"
    assert echoed["head"] == head.decode("latin-1")
    assert ["X-Odd", "\xe9"] in echoed["fields"]
    assert echoed["body"] == "hi"


@pytest.mark.parametrize("kind", ["bytes", "chunked", "until-close"])
async def test_a_body_has_the_size_that_was_asked_for(kind: str) -> None:
    async with HttpOrigin() as origin:
        response = await fetch(origin.port, request_head("GET", f"/{kind}/100000"))
        assert response.body == block(100000)
        head = await fetch(origin.port, request_head("HEAD", f"/{kind}/5"), method="HEAD")
        assert head.body == b""


async def test_a_bodyless_status_leaves_the_connection_in_step() -> None:
    async with HttpOrigin() as origin, RawClient(origin.port) as client:
        assert (await client.get("/status/204")).status == 204
        assert (await client.get("/status/503")).status == 503
        assert (await client.get("/cookies")).values("set-cookie")[1].startswith("lang")


async def test_an_upload_is_answered_with_its_digest_after_a_100() -> None:
    body = block(300_000)
    lines = (f"Content-Length: {len(body)}", "Expect: 100-continue")
    async with HttpOrigin(records=False) as origin, RawClient(origin.port) as client:
        await client.send(request_head("POST", "/upload", *lines))
        assert (await client.read_response()).status == 100
        await client.send(body)
        told = json.loads((await client.read_response()).body)
    assert told == {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert origin.received == b""


async def test_an_event_is_sent_when_the_test_gives_it() -> None:
    async with HttpOrigin() as origin, RawClient(origin.port) as client:
        await client.send(request_head("GET", "/events"))
        head = await client.read_head()
        assert head.header("content-type") == "text/event-stream"
        await origin.events.put(b"data: 1\n\n")
        assert await client.read_until(b"\n\n\r\n") == b"9\r\ndata: 1\n\n\r\n"
        await origin.events.put(None)
        assert await client.read_until(b"0\r\n\r\n") == b"0\r\n\r\n"


async def test_a_websocket_echoes_frames_of_each_length_form() -> None:
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    lines = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}")
    async with HttpOrigin() as origin, RawClient(origin.port) as client:
        await client.send(request_head("GET", "/websocket", *lines))
        response = await client.read_head()
        # RFC 6455 section 1.3 gives this pair as its example.
        assert response.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        for size in (0, 125, 126, 65536):
            sent = websocket.render_frame(websocket.BINARY, block(size), masked=True)
            await client.send(sent)
            frame = await client.read_frame()
            assert frame == (websocket.BINARY, block(size))
        await client.send(websocket.render_frame(websocket.CLOSE, b"", masked=True))
        assert (await client.read_frame()).opcode == websocket.CLOSE
        await client.is_closed_by_peer()


async def test_a_delayed_answer_waits() -> None:
    async with HttpOrigin() as origin:
        started = asyncio.get_running_loop().time()
        assert (await fetch(origin.port, request_head("GET", "/delay/0.05"))).status == 200
        assert asyncio.get_running_loop().time() - started >= 0.05
