"""What a refusal costs the express lane, counted, from the request's bytes to the answer's.

Most of what comes in a wave is refused: its cost is what a sidecar needs at ten times the capacity.
The bench measures that (proxy CPU at 10 x). The bounds are 1.2 times what it took when they were
written, 50 and 57 calls of functions of Plan B's own.
"""

from pathlib import Path

from tests.lanes.express_stage import Line, stage, statuses
from tests.support.build import interpreted_only
from tests.support.counted_calls import count_calls
from tests.support.raw_client import request_head

pytestmark = interpreted_only

BY_ITSELF = "adaptive_concurrency: {min: 1, max: 1}"


def _refusal(client: Line, head: bytes, status: int) -> int:
    """The calls for a further request of a connection whose last was refused."""
    count = count_calls(lambda: client.receive(head))
    assert statuses(client.sent()) == [status]
    return count


async def test_a_refusal_by_a_rate_is_some_calls(tmp_path: Path) -> None:
    async with stage(tmp_path) as it:
        client, head = it.client(), request_head("GET", "/closed")
        client.receive(head)
        assert statuses(client.sent()) == [429]
        assert _refusal(client, head, 429) <= 60
        client.abort()
        client.lose()


async def test_a_refusal_by_the_adaptive_limit_is_some_calls(tmp_path: Path) -> None:
    """One request is at the shop, and as many wait as may: the queue stands."""
    async with stage(tmp_path, upstream=BY_ITSELF) as it:
        head, clients = request_head("GET", "/"), [it.client()]
        clients[0].receive(head)
        while not clients[-1].written:
            clients.append(it.client())
            clients[-1].receive(head)
            assert len(clients) < 100
        assert statuses(clients[-1].sent()) == [503]
        assert _refusal(clients[-1], head, 503) <= 68
        for client in clients:
            client.abort()
            client.lose()
