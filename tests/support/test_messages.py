import asyncio

import pytest

from tests.support.messages import (
    MalformedMessageError,
    PeerLeftError,
    read_body,
    read_request_head,
    read_response_head,
)


def _reader(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def test_a_request_keeps_its_bytes_and_the_case_and_order_of_its_fields() -> None:
    head = b"POST /a%2F?b HTTP/1.1\r\nhOsT: shop\r\nX-A: 1 \r\nx-a:\t2\r\nContent-Length: 2\r\n\r\n"
    reader = _reader(head + b"hirest")
    request = await read_request_head(reader)
    assert request is not None
    await read_body(reader, request)
    assert request.head == head
    assert (request.method, request.target, request.version) == ("POST", b"/a%2F?b", "HTTP/1.1")
    assert request.fields[0] == (b"hOsT", b"shop")
    assert request.values("X-a") == ["1", "2"]
    assert request.body == b"hi"
    assert await reader.read() == b"rest"


async def test_a_chunked_body_is_joined_and_its_trailers_kept() -> None:
    reader = _reader(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;note=x\r\nabc\r\n1\r\nd\r\n0\r\nDigest: y\r\n\r\n"
    )
    response = await read_response_head(reader)
    await read_body(reader, response)
    assert response.body == b"abcd"
    assert response.trailers == [(b"Digest", b"y")]


async def test_a_response_without_a_length_ends_with_its_connection() -> None:
    reader = _reader(b"HTTP/1.0 200 OK\r\n\r\nall of it")
    response = await read_response_head(reader)
    await read_body(reader, response)
    assert response.body == b"all of it"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    ],
)
async def test_a_malformed_response_fails(data: bytes) -> None:
    reader = _reader(data)
    with pytest.raises(MalformedMessageError):
        await read_body(reader, await read_response_head(reader))


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nA: b",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    ],
)
async def test_a_peer_that_leaves_inside_a_message_is_told_apart(data: bytes) -> None:
    reader = _reader(data)
    with pytest.raises(PeerLeftError):
        await read_body(reader, await read_response_head(reader))
