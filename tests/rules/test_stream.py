"""A snapshot on its way between two processes."""

import pickle
from io import BytesIO
from pathlib import Path

import pytest

from proxy.rules.problems import Problem, RulesError
from proxy.rules.stream import BATCH, read_snapshot, write_error, write_snapshot
from tests.rules.documents import loaded


def many_routes(count: int) -> str:
    return "routes:\n" + "".join(
        f"  - {{name: r{n}, match: {{path: /r{n}}}, limits: [{{rate: 5/s}}]}}\n"
        for n in range(count)
    )


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH * 3 + 1])
def test_a_snapshot_arrives_as_it_was_sent(tmp_path: Path, count: int) -> None:
    snapshot = loaded(tmp_path, many_routes(count) if count else "")
    out = BytesIO()

    write_snapshot(snapshot, out)

    *pauses, arrived = read_snapshot(out.getvalue())
    assert arrived == snapshot
    assert list(arrived.limits) == list(snapshot.limits) if arrived else False
    # A pause after the header, and one after each batch of routes and limits.
    assert pauses == [None] * (1 + -(-2 * count // BATCH))


def test_what_routes_share_is_sent_once_and_shared_again(tmp_path: Path) -> None:
    snapshot = loaded(tmp_path, many_routes(BATCH * 3))
    out = BytesIO()

    write_snapshot(snapshot, out)

    *_, arrived = read_snapshot(out.getvalue())
    assert arrived is not None
    assert len({id(route.answers) for route in arrived.routes}) == 1
    alone = len(pickle.dumps(snapshot.routes[0].answers))
    assert len(out.getvalue()) < alone + BATCH * 3 * 400


def test_an_error_arrives_as_it_was() -> None:
    problems = [Problem("a.yaml", 1, 2, "b", "wrong"), Problem("a.yaml", 2, 2, "c", "wrong")]
    out = BytesIO()

    write_error(RulesError(problems, ["/a.html"]), out)

    with pytest.raises(RulesError) as caught:
        next(read_snapshot(out.getvalue()))
    assert caught.value.problems == problems
    assert caught.value.files == ("/a.html",)
