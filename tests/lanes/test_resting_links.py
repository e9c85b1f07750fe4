from pathlib import Path

from tests.lanes.express_stage import Stage, stage
from tests.support.origin import ok
from tests.support.raw_client import request_head

GET = request_head("GET", "/")


async def _rested(it: Stage, count: int) -> None:
    """So many links come to rest, one after the other."""
    clients = [it.client() for _ in range(count)]
    for client in clients:
        client.receive(GET)
        await it.connect()
    for client, upstream in zip(clients, it.upstream.made, strict=True):
        upstream.transport.receive(ok())
        client.abort()
        client.lose()
    assert it.is_at_rest(resting=count)


async def test_the_last_used_is_taken_first(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        await _rested(it, 3)
        taken = [it.upstream.resting.take() for _ in range(4)]
        links = [made.link for made in it.upstream.made]
        assert taken == [*reversed(links), None]
        for link in links:
            link.close()


async def test_what_is_not_fit_is_closed_and_passed_over(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        await _rested(it, 2)
        first, last = it.upstream.made
        last.transport.peer.send(b"x")
        link = it.upstream.resting.take()
        assert link is first.link
        assert last.released
        assert it.upstream.in_use == 1
        link.close()


async def test_once_closed_nothing_rests(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        await _rested(it, 2)
        client = it.client()
        client.receive(GET)
        taken = it.upstream.made[1]
        it.upstream.resting.close()
        assert [made.released for made in it.upstream.made] == [True, False]
        taken.transport.receive(ok())
        assert taken.released
        client.abort()
        client.lose()
        assert it.is_at_rest()


async def test_the_longest_unused_is_closed_first(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        await _rested(it, 2)
        resting = it.upstream.resting
        assert resting.close_oldest()
        assert [made.released for made in it.upstream.made] == [True, False]
        assert resting.close_oldest()
        assert not resting.close_oldest()
        assert it.is_at_rest()
