import asyncio
import time

from tests.bench.machine import LOAD_CORE
from tests.bench.overload.programs import Programs
from tests.bench.overload.shop import Shop, running_shop
from tests.support.raw_client import fetch, request_head

GET = request_head("GET", "/items/7")


async def ask(shop: Shop, times: int = 1) -> float:
    """Seconds until all of so many at once are answered."""
    began = time.monotonic()
    answers = await asyncio.gather(*(fetch(shop.port, GET) for _ in range(times)))
    assert [(answer.status, len(answer.body)) for answer in answers] == [(200, 1000)] * times
    return time.monotonic() - began


async def leave(shop: Shop) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", shop.port)
    writer.write(GET)
    await writer.drain()
    await asyncio.sleep(0.02)
    writer.close()
    await writer.wait_closed()


async def test_as_many_are_served_at_once_as_there_are_slots(programs: Programs) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=3, milliseconds=50) as shop:
        assert 0.045 <= await ask(shop, 3) < 0.09
        assert await ask(shop, 6) >= 0.09
        counts = await shop.counts()
    assert (counts.served, counts.wasted, counts.waiting, counts.most_waiting) == (9, 0, 0, 3)


async def test_who_has_left_is_served_all_the_same(programs: Programs) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=1, milliseconds=100) as shop:
        await asyncio.gather(leave(shop), leave(shop))
        took = await ask(shop)
        counts = await shop.counts()
    assert took >= 0.15  # behind both
    assert (counts.served, counts.wasted) == (1, 2)


async def test_it_can_be_made_slower_and_faster_while_it_runs(programs: Programs) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=2, milliseconds=20) as shop:
        await shop.tell("slow 5")
        assert await ask(shop) >= 0.09
        await shop.tell("slow 1")
        assert await ask(shop) < 0.09


async def test_slots_can_be_taken_away_and_given_back(programs: Programs) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=2, milliseconds=50) as shop:
        await shop.tell("slots 1")
        assert await ask(shop, 2) >= 0.09
        waiting = asyncio.create_task(ask(shop, 4))
        await asyncio.sleep(0.02)
        await shop.tell("slots 4")
        assert await waiting < 0.14  # those that waited began at once


async def test_a_crowd_in_the_waiting_room_slows_it_down(programs: Programs) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=1, milliseconds=2) as shop:
        took = await ask(shop, 300)
        assert (await shop.counts()).most_waiting > 150
    assert took > 300 * 0.002 * 1.06


async def test_a_keep_alive_connection_is_used_again(programs: Programs) -> None:
    async with running_shop(programs.shop, LOAD_CORE, slots=1, milliseconds=1) as shop:
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        for _ in range(3):
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(1000)
        writer.close()
        assert (await shop.counts()).accepted == 1
