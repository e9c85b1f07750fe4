"""Faults of our own on the express lane, in each callback that a request may be carried on by."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.lanes import express_ending, express_exchange, express_upstream
from proxy.lanes.errors import UpstreamError
from proxy.lanes.express_exchange import ExpressExchange
from proxy.lanes.express_upload import Upload
from proxy.policy.reasons import Reason
from tests.lanes.express_arrivals import (
    HALF,
    Arrive,
    Reached,
    all_leave,
    before_its_turn,
    before_the_head,
    connecting,
    exchange_of,
    uploading_to_nobody,
    within_one_that_is_not_taken,
    woken,
)
from tests.lanes.express_stage import Stage, expire, stage, statuses, turn
from tests.support.build import interpreted_only


def _broken(*_: object, **__: object) -> bytes:
    raise RuntimeError("broken")


@dataclass(frozen=True)
class Fault:
    """What breaks once a request has come so far, and what then shows it.

    `answer`: it gets one, a 500; else its connection ends.
    """

    name: str
    arrive: Arrive
    show: Callable[[Stage, Reached], None]
    where: object = express_exchange
    answer: bool = True


def _go_on(it: Stage, reached: Reached) -> None:
    """Whatever is ready shows it."""


def _connect(it: Stage, reached: Reached) -> None:
    it.upstream.asked.pop().set_result(b"")


def _time_comes(it: Stage, reached: Reached) -> None:
    exchange = exchange_of(reached.client)
    waiting = exchange._verdict.waiting
    assert waiting is not None
    waiting.until = 0.0
    asyncio.get_running_loop().call_soon(exchange.resume)


def _answer(it: Stage, reached: Reached) -> None:
    assert reached.upstream is not None
    reached.upstream.transport.receive(HALF[10:])


def _answer_all(it: Stage, reached: Reached) -> None:
    assert reached.upstream is not None
    reached.upstream.transport.receive(HALF[10:] + bytes(96))


def _fall_silent(it: Stage, reached: Reached) -> None:
    assert reached.upstream is not None
    with contextlib.suppress(RuntimeError):  # the wheel logs it
        expire(reached.upstream.link.silence)


def _take_more(it: Stage, reached: Reached) -> None:
    with contextlib.suppress(RuntimeError):  # the event loop logs it
        reached.client.drain()


def _take_more_of_the_upload(it: Stage, reached: Reached) -> None:
    assert reached.upstream is not None
    with contextlib.suppress(RuntimeError):  # the event loop logs it
        reached.upstream.transport.drain()


def _connect_in_vain(it: Stage, reached: Reached) -> None:
    it.upstream.asked.pop().set_exception(UpstreamError(Reason.UPSTREAM_ERROR, "refused"))


def _lose(it: Stage, reached: Reached) -> None:
    assert reached.upstream is not None
    reached.upstream.transport.lose(ConnectionResetError())


FAULTS = [
    Fault("_forward", woken, _go_on, ExpressExchange),
    Fault("_forward", before_its_turn, _time_comes, ExpressExchange),
    Fault("head_to_send", connecting, _connect),
    Fault("UpstreamLink", connecting, _connect, express_upstream),
    Fault("forward_response_head", before_the_head, _answer),
    Fault("in_place", before_the_head, _fall_silent, express_ending, answer=False),
    Fault("settle", before_the_head, _answer_all, express_ending, answer=False),
    Fault("settle", before_the_head, _fall_silent, express_ending, answer=False),
    Fault("in_place", connecting, _connect_in_vain, express_ending, answer=False),
    Fault("settle", connecting, _connect_in_vain, express_ending, answer=False),
    Fault("in_place", before_the_head, _lose, express_ending, answer=False),
    Fault("settle", before_the_head, _lose, express_ending, answer=False),
    Fault("_after_write", within_one_that_is_not_taken, _take_more, ExpressExchange, answer=False),
    Fault("wait_for_more", uploading_to_nobody, _take_more_of_the_upload, Upload),
]


def _label(fault: Fault) -> str:
    return f"{fault.name}-{fault.arrive.__name__}-{fault.show.__name__}"


@interpreted_only
@pytest.mark.parametrize("fault", FAULTS, ids=_label)
async def test_a_fault_of_our_own_is_a_500_or_a_cut_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """Else an exception would end a callback (of a timer, a task, a wake, a `resume_writing`),
    and the exchange stay: unanswered, unsettled, with what it holds.
    """
    async with stage(tmp_path) as it:
        reached = await fault.arrive(it)
        before = len(it.log.entries)
        monkeypatch.setattr(fault.where, fault.name, _broken)
        reached.client.sent()
        fault.show(it, reached)
        await turn()
        monkeypatch.undo()
        answers = statuses(reached.client.sent())
        if fault.answer:
            assert answers == [500]
            assert len(it.log.entries) == before + 1
            assert it.log.entries[-1].completion.reason is Reason.INTERNAL
        else:
            assert reached.client.is_closing() or reached.client.half_closed
        await all_leave(it)
        # Where the event loop or the wheel would have told, the test was told instead.
        it.errors.take()
        assert not it.lane.open
        if fault.name != "settle":
            assert it.is_at_rest(resting=len(it.upstream.resting))
