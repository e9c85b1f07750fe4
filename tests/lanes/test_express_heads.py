"""Heads on the express lane: whole, and in pieces."""

import pytest

from proxy.lanes.express_heads import Heads
from proxy.wire.errors import BadMessage
from tests.support.raw_client import request_head

MOST = 1000
GET = request_head("GET", "/a")
UPGRADE = request_head("GET", "/b", "Connection: upgrade", "Upgrade: x")


def test_a_whole_head_leaves_nothing_begun() -> None:
    heads = Heads()
    found = heads.read(GET + b"rest", MOST)
    assert found is not None
    assert (found.target, heads.rest) == (b"/a", b"rest")
    assert not heads.begun


@pytest.mark.parametrize("head", [GET, UPGRADE])
def test_a_head_in_pieces_is_kept_with_what_follows_until_it_is_dealt_with(head: bytes) -> None:
    for cut in range(1, len(head)):
        heads = Heads()
        assert heads.read(head[:cut], MOST) is None
        found = heads.read(head[cut:] + b"rest", MOST)
        assert found is not None
        assert (found.method, heads.rest) == (b"GET", b"rest")
        assert heads.begun == head + b"rest"
        heads.forget()
        assert not heads.begun
        assert heads.read(GET, MOST) is not None


def test_what_is_no_head_is_kept_for_who_can_say_what_is_wrong() -> None:
    heads = Heads()
    assert heads.read(b"GET / HT", MOST) is None
    with pytest.raises(BadMessage):
        heads.read(b"ML\r\n", MOST)
    assert heads.begun == b"GET / HTML\r\n"


def test_a_head_over_the_limit_is_none() -> None:
    with pytest.raises(BadMessage):
        Heads().read(GET, len(GET) - 1)
