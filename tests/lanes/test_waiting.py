import asyncio
from time import monotonic

from proxy.lanes.waiting import Waiter
from proxy.policy.reasons import Reason
from proxy.policy.verdict import Completion, State, Verdict
from tests.policy.guarded import FRONT, Guarded, concurrency, request, snapshot


class Queue:
    """One that has the only place, and one that waits for it."""

    def __init__(self, timeout: float) -> None:
        self.engine = Guarded(snapshot(concurrency("one", 1, 1, timeout)), monotonic()).engine
        self.waiter = Waiter(self.engine, asyncio.get_running_loop())
        self.first, self.second = self._ask(), self._ask()
        assert (self.first.state, self.second.state) == (State.FORWARD, State.WAIT)

    def _ask(self) -> Verdict:
        return self.engine.decide(FRONT, request(), monotonic(), self.waiter.wake)

    def end(self, verdict: Verdict) -> None:
        self.engine.settle(verdict, Completion(200, 0.0, 0.0), monotonic())


async def test_who_waits_is_woken_when_its_turn_comes() -> None:
    queue = Queue(60.0)
    waiting = asyncio.create_task(queue.waiter.wait(queue.second))
    await asyncio.sleep(0)
    queue.end(queue.first)
    await waiting
    assert queue.second.state is State.FORWARD
    queue.end(queue.second)


async def test_who_has_waited_long_enough_is_told_so() -> None:
    queue = Queue(0.01)
    while queue.second.state is State.WAIT:
        await queue.waiter.wait(queue.second)
    assert (queue.second.state, queue.second.reason) == (State.REFUSE, Reason.QUEUE_TIMEOUT)


async def test_a_call_before_or_after_the_wait_harms_nobody() -> None:
    queue = Queue(60.0)
    queue.waiter.wake()
    waiting = asyncio.create_task(queue.waiter.wait(queue.second))
    await asyncio.sleep(0)
    queue.waiter.wake()
    queue.waiter.wake()
    await waiting
    assert queue.second.state is State.WAIT
