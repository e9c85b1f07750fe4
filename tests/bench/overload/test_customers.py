import asyncio
import itertools
import time
from pathlib import Path

import pytest

from tests.bench.machine import LOAD_CORE
from tests.bench.overload.customers import BROKEN, LEFT, Attempt, Kind, Phase, customers
from tests.bench.overload.programs import Programs
from tests.bench.overload.shop import running_shop
from tests.bench.server_process import free_port

REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n%s\r\nbusy"


class Refuser:
    """Refuses every request, and counts connections and requests."""

    def __init__(self, *, closes: bool = False) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self._answer = REFUSAL % (b"connection: close\r\n" if closes else b"")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                # In pieces, as it may come.
                writer.write(self._answer[:30])
                await asyncio.sleep(0.001)
                writer.write(self._answer[30:])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


# Phases end between two arrivals: whether one at the end still comes, is a matter of rounding.
async def refused(refuser: Refuser, programs: Programs, tmp_path: Path) -> list[Attempt]:
    async with await asyncio.start_server(refuser.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await come(programs, port, tmp_path, Phase(100, 0.205), retries=2)


async def come(
    programs: Programs,
    port: int,
    tmp_path: Path,
    *phases: Phase,
    kinds: tuple[Kind, ...] = (Kind("any", 1, "/any"),),
    arrivals: str = "constant",
    retries: int = 0,
    patience: float = 1.0,
    ago: float = -0.1,
) -> list[Attempt]:
    return await customers(
        programs.load,
        port,
        phases,
        tmp_path / "records",
        start=time.monotonic() - ago,
        kinds=kinds,
        arrivals=arrivals,
        retries=retries,
        patience=patience,
    )


async def test_they_come_at_even_distances_whatever_became_of_others(
    programs: Programs, tmp_path: Path
) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=1, milliseconds=100) as shop:
        attempts = await come(
            programs, shop.port, tmp_path, Phase(50, 0.21), Phase(100, 0.105), patience=0.3
        )
    due = sorted(each.due for each in attempts)
    assert due == pytest.approx(
        [*(0.02 * number for number in range(1, 11)), *(0.21 + 0.01 * n for n in range(1, 11))],
        abs=1e-5,
    )
    assert {each.outcome for each in attempts} == {200, LEFT}


async def test_poisson_arrivals_are_uneven_and_as_many(programs: Programs, tmp_path: Path) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=100, milliseconds=1) as shop:
        attempts = await come(programs, shop.port, tmp_path, Phase(2000, 1), arrivals="poisson")
    due = sorted(each.due for each in attempts)
    gaps = [after - before for before, after in itertools.pairwise(due)]
    assert 1800 < len(due) < 2200
    # Of exponential gaps, 1 - 1/e are shorter than the mean.
    assert 0.58 < sum(gap < 0.0005 for gap in gaps) / len(gaps) < 0.68


async def test_time_counts_from_when_they_should_have_come(
    programs: Programs, tmp_path: Path
) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=10, milliseconds=1) as shop:
        attempts = await come(programs, shop.port, tmp_path, Phase(100, 0.1), ago=0.3)
    first = min(attempts)
    assert first.late >= 0.2
    assert first.wait >= first.late
    assert first.total == first.wait


async def test_the_impatient_leave_and_try_again_and_the_shop_works_for_nobody(
    programs: Programs, tmp_path: Path
) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=5, milliseconds=400) as shop:
        attempts = await come(
            programs, shop.port, tmp_path, Phase(10, 0.15), retries=2, patience=0.1
        )
        await asyncio.sleep(0.5)
        assert (await shop.counts()).wasted == 3
    assert [(each.outcome, each.number, each.last) for each in attempts] == [
        (LEFT, 1, False),
        (LEFT, 2, False),
        (LEFT, 3, True),
    ]
    assert [each.wait for each in attempts] == pytest.approx([0.1] * 3, abs=0.05)
    assert [each.total for each in attempts] == pytest.approx([0.1, 0.2, 0.3], abs=0.08)


async def test_the_refused_try_again_at_once_on_the_same_connection(
    programs: Programs, tmp_path: Path
) -> None:
    refuser = Refuser()
    attempts = await refused(refuser, programs, tmp_path)
    assert {each.outcome for each in attempts} == {503}
    assert len(attempts) == len(refuser.requests) == 60
    assert sum(each.last for each in attempts) == 20
    assert refuser.connections < 20


async def test_a_connection_that_is_to_be_closed_is_not_used_again(
    programs: Programs, tmp_path: Path
) -> None:
    refuser = Refuser(closes=True)
    attempts = await refused(refuser, programs, tmp_path)
    assert {each.outcome for each in attempts} == {503}
    assert refuser.connections == len(attempts) == 60


async def test_each_visit_looks_like_a_browser_of_its_own(
    programs: Programs, tmp_path: Path
) -> None:
    refuser = Refuser()
    await refused(refuser, programs, tmp_path)
    cookies = {request.split(b"sid=")[1][:8] for request in refuser.requests}
    assert len(cookies) == 20
    assert all(500 < len(request) < 700 for request in refuser.requests)


async def test_kinds_come_by_their_weights(programs: Programs, tmp_path: Path) -> None:
    kinds = (Kind("rare", 10, "/rare"), Kind("usual", 90, "/usual"))
    async with running_shop(programs.shop, LOAD_CORE, slots=100, milliseconds=1) as shop:
        attempts = await come(programs, shop.port, tmp_path, Phase(2000, 1), kinds=kinds)
    assert 0.07 < sum(each.kind == 0 for each in attempts) / len(attempts) < 0.13


async def test_connections_are_kept_and_used_again(programs: Programs, tmp_path: Path) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=100, milliseconds=1) as shop:
        attempts = await come(programs, shop.port, tmp_path, Phase(50, 1))
        assert (await shop.counts()).accepted < 10
    assert {each.outcome for each in attempts} == {200}


async def test_nobody_there_is_a_failure_and_no_refusal(programs: Programs, tmp_path: Path) -> None:
    attempts = await come(programs, free_port(), tmp_path, Phase(10, 0.35))
    assert [each.outcome for each in attempts] == [BROKEN] * 3


async def test_wrong_arguments_end_the_run(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="phase=RATE,SECONDS"):
        await come(programs, 80, tmp_path, Phase(0, 1))
