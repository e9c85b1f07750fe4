"""A stored response as a file."""

from math import inf

import pytest

from proxy.policy.stored_response import StoredResponse
from proxy.policy.stored_responses import KEY_BYTES
from proxy.store.record import MAGIC, BadRecordError, _digest, decode, encode

KEY, FULL_KEY = b"k" * KEY_BYTES, b"f" * KEY_BYTES


def response(fresh_for: float = 5.0) -> StoredResponse:
    return StoredResponse(
        *(200, b"HTTP/1.1 200 OK\r\nX: \xff\r\n", bytes(range(256))),
        arrived_at=100.0,
        age=2.5,
        fresh_for=fresh_for,
        vary=(b"accept", b"x"),
        etag=b'W/"\xff"',
        modified=784111777,
    )


@pytest.mark.parametrize("fresh_for", [5.0, -1.0, inf])
def test_what_is_read_is_what_was_written_and_older_by_the_time_between(fresh_for: float) -> None:
    was = response(fresh_for)
    data = encode(KEY, FULL_KEY, was, arrived=1000.0)
    key, full_key, now_is = decode(data, wall=1060.0, now=7.0)
    assert (key, full_key) == (KEY, FULL_KEY)
    assert now_is.arrived_at == 7.0 - 60.0
    for name in ("status", "head", "body", "age", "fresh_for", "vary", "etag", "modified"):
        assert getattr(now_is, name) == getattr(was, name)
    bare = StoredResponse(200, b"", b"", arrived_at=0.0, age=0.0, fresh_for=0.0)
    _, _, read = decode(encode(KEY, FULL_KEY, bare, 1000.0), 1000.0, 0.0)
    assert (read.vary, read.etag, read.modified, read.body) == ((), None, None, b"")


def test_whatever_has_changed_it_is_noticed() -> None:
    data = encode(KEY, FULL_KEY, response(), arrived=1000.0)
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(BadRecordError):
            decode(changed, 1000.0, 0.0)
    for end in range(len(data)):
        with pytest.raises(BadRecordError):
            decode(data[:end], 1000.0, 0.0)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b"[]\n", b"7", b'{"key": 1}\n', b"[" * 100_000, b"\xff\n"]
)
def test_a_true_digest_of_nonsense_makes_no_response(content: bytes) -> None:
    data = encode(KEY, FULL_KEY, response(), arrived=1000.0)

    with pytest.raises(BadRecordError):
        decode(data[: len(MAGIC)] + _digest(content) + content, 1000.0, 0.0)


def test_one_from_the_future_is_not_believed() -> None:
    for arrived in (1001.0, inf, float("nan")):
        with pytest.raises(BadRecordError):
            decode(encode(KEY, FULL_KEY, response(), arrived), 1000.0, 0.0)


def test_keys_of_another_length_are_none_of_ours() -> None:
    with pytest.raises(BadRecordError):
        decode(encode(b"k", FULL_KEY, response(), arrived=1000.0), 1000.0, 0.0)
