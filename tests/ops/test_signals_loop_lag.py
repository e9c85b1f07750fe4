import asyncio
from typing import cast

import pytest

from proxy.ops.signals_loop_lag import PROBE_SECONDS, LoopLag
from tests.lanes.fake_loop import Loop


def lag(loop: Loop) -> LoopLag:
    made = LoopLag(cast("asyncio.AbstractEventLoop", loop), loop.clock)
    made.start()
    return made


def test_a_loop_in_time_has_none() -> None:
    loop = Loop()
    made = lag(loop)
    loop.run_until(loop.now + 1.0)
    assert made.take() == pytest.approx(0.0, abs=1e-9)


def test_the_longest_delay_is_told_once() -> None:
    loop = Loop()
    made = lag(loop)
    loop.now += PROBE_SECONDS + 0.3
    loop.run_until(loop.now + 1.0)
    assert made.take() == pytest.approx(0.3)
    loop.run_until(loop.now + 0.25)
    assert made.take() == pytest.approx(0.0, abs=1e-9)


def test_a_delay_that_goes_on_is_told_before_it_is_over() -> None:
    """The sampler's own timer may come first, when the loop turns again."""
    loop = Loop()
    made = lag(loop)
    loop.now += PROBE_SECONDS + 0.2
    assert made.take() == pytest.approx(0.2)
    loop.run_until(loop.now)
    assert made.take() == pytest.approx(0.0, abs=1e-9)


def test_a_clock_that_jumps_is_in_one_answer() -> None:
    loop = Loop()
    made = lag(loop)
    loop.now += 3600.0
    loop.run_until(loop.now)
    assert made.take() > 3000.0
    loop.run_until(loop.now + 1.0)
    assert made.take() == pytest.approx(0.0, abs=1e-9)
    loop.now -= 100.0
    assert made.take() == 0.0


def test_it_can_be_started_twice_and_stopped_twice() -> None:
    loop = Loop()
    made = lag(loop)
    made.start()
    assert len(loop.timers) == 1
    made.stop()
    made.stop()
    assert loop.timers == []
    made.start()
    assert len(loop.timers) == 1
