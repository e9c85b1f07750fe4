"""The comparison itself: it finds what differs, and sends pieces that are read one by one."""

import asyncio
from pathlib import Path

import pytest
import uvloop

from tests.parity.cases import Case, case
from tests.parity.lanes import RULES, TURNS_TO_READ
from tests.parity.pair import DifferentError, Pair
from tests.parity.requests import get, post


@pytest.mark.parametrize(
    ("written", "instead", "sent"),
    [
        ("max_body_size: 8B", "max_body_size: 4B", case(post(b"hello", target=b"/small/"))),
        ("mode: shadow", "mode: enforce", case(get(b"/watched/"))),
        ("name: watched", "name: seen-by", case(get(b"/watched/"))),
        ("max_head_size: 1KiB", "max_head_size: 2KiB", case(get(b"/" + b"x" * 1100))),
    ],
)
def test_a_difference_is_found(tmp_path: Path, written: str, instead: str, sent: Case) -> None:
    rules = RULES.replace(written, instead)
    assert rules != RULES
    with Pair(tmp_path, express_rules=rules) as pair:
        pair.compare(case(get()))
        with pytest.raises(DifferentError):
            pair.compare(sent)


def test_each_side_is_on_its_own_lane(tmp_path: Path) -> None:
    with Pair(tmp_path) as pair:
        # Those that hold the limits, on every listener's lanes.
        open_now = [lane.open_on_lanes() for lane in pair.lanes]
    assert open_now == [(0, 2), (2, 0)]


class _Pieces(asyncio.Protocol):
    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)


async def _pieces_read(count: int) -> list[bytes]:
    loop = asyncio.get_running_loop()
    reader = _Pieces()
    server = await loop.create_server(lambda: reader, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
    for number in range(count):
        transport.write(b"%d" % number)
        for _ in range(TURNS_TO_READ):
            await asyncio.sleep(0)
    transport.close()
    server.close()
    await asyncio.sleep(0.01)
    return reader.pieces


def test_a_piece_has_been_read_when_the_next_is_sent() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        pieces = runner.run(_pieces_read(100))
    # The first ones may come before the connection has been accepted.
    assert pieces[-95:] == [b"%d" % number for number in range(5, 100)]
