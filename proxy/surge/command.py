"""`planb surge`: measure what a server serves, send it many times that, and say what came of it."""

import asyncio
import contextlib
import gc
import json
import math
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proxy.surge.capacity import measure_capacity
from proxy.surge.generator import LoadGenerator
from proxy.surge.plan import MOST_PER_SECOND, Plan
from proxy.surge.result import Mark, Result
from proxy.surge.screen import Screen, screen
from proxy.surge.summary import VISIT_TIMEOUT, Visit, as_data, summary
from proxy.surge.target import AddressError, Target, TargetError, target
from proxy.surge.visitor import Visitor
from proxy.surge.words import per_second, times

DEMO = "http://127.0.0.1:8080"
"""Where `planb demo` has the shop behind Plan B."""
DEMO_SHOP = "http://127.0.0.1:8000"
"""Where it has the shop itself."""
DEMO_URLS = tuple(f"{DEMO}{path}" for path in ("/", "/items/1", "/items/1", "/items/2", "/items/3"))
"""What people look at on the day of a sale: one item more than others."""

_REFRESH = 0.25
_BREATH = 1.0
"""Seconds after which a visitor looks whether the server is well again."""
_DESCRIPTORS = 64
"""What is not for connections."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for: see its help. Either `rate`, or `times` what is served."""

    urls: Sequence[str] = ()
    times: float = 10.0
    rate: float | None = None
    seconds: float = 20.0
    patience: float = 1.0
    retries: int = 2
    as_json: bool = False
    allow_public: bool = False


def run(options: Options) -> int:
    """Run a surge; the exit code: 0, 1 for a server that can't be had, 2 for a bad address.

    Ctrl-C and SIGTERM end it early, with the summary of what was done and 128 + the signal's
    number; a second one does not wait for answers.
    """
    import uvloop  # noqa: PLC0415 - the other modules do without, on the loop that tests have

    # Connections come and go by the thousand; a full collection would hold up all others for long.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        server = target(options.urls or DEMO_URLS, allow_public=options.allow_public)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_Surge(options, server).run())
    except AddressError as error:
        print(f"planb surge: {error}", file=sys.stderr)
        return 2
    except TargetError as error:
        print(f"planb surge: {error}", file=sys.stderr)
        return 1


class _Surge:
    def __init__(self, options: Options, server: Target) -> None:
        self._options = options
        self._target = server
        self._ended_by: int | None = None
        self._generator: LoadGenerator | None = None

    async def run(self) -> int:
        working = asyncio.create_task(self._run())
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._end, number, working)
        try:
            return await working
        except asyncio.CancelledError:
            if self._ended_by is None:
                raise
            return 128 + self._ended_by

    def _end(self, number: int, working: asyncio.Task[int]) -> None:
        self._ended_by = number
        if self._generator is not None:
            self._generator.stop()
        else:
            working.cancel()

    async def _run(self) -> int:
        plan = await self._plan()
        ratio = (
            f", {times(plan.rate / plan.capacity)} times what it serves" if plan.capacity else ""
        )
        self._say(
            f"Sending {per_second(plan.rate)} to {plan.name} for {plan.seconds:g} s{ratio}. "
            "Ctrl-C ends it."
        )
        result = await self._send(plan)
        visit = None
        if self._ended_by is None:
            await asyncio.sleep(_BREATH)
            visit = await self._visit()
        if self._options.as_json:
            print(json.dumps(as_data(plan, result, visit)))
        else:
            self._say(f"\n{summary(plan, result, visit)}")
            if not self._options.urls:
                again = f"{_program()} surge {DEMO_SHOP} --rate {plan.rate:.0f}"
                self._say(f"\nThe same without Plan B, to compare: {again}")
        return 0 if self._ended_by is None else 128 + self._ended_by

    async def _plan(self) -> Plan:
        options, name = self._options, self._target.name
        make = partial(
            Plan,
            name=name,
            seconds=options.seconds,
            patience=options.patience,
            retries=options.retries,
        )
        if options.rate is not None:
            return make(rate=options.rate)
        self._say(f"Asking {name} gently, to see what it can serve ...")
        capacity = await measure_capacity(self._target)
        rate = capacity * options.times
        if rate > MOST_PER_SECOND:
            self._say(f"{per_second(rate)} is more than this program sends")
            rate = MOST_PER_SECOND
        return make(rate=rate, capacity=capacity)

    async def _send(self, plan: Plan) -> Result:
        generator = self._generator = LoadGenerator(
            self._target.address,
            self._target.port,
            self._target.requests,
            rate=plan.rate,
            seconds=plan.seconds,
            connections=_most_connections(),
            timeout=plan.patience,
            retries=plan.retries,
            sources=self._target.sources,
        )
        watching = None
        if not self._options.as_json:
            watching = asyncio.create_task(
                _watch(generator, plan.seconds, screen(sys.stdout, plan))
            )
        try:
            result = await generator.run()
            if watching and self._ended_by is None:
                await watching  # it may owe the last frame
            return result
        finally:
            self._generator = None
            if watching:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching

    async def _visit(self) -> Visit:
        async with Visitor(self._target, VISIT_TIMEOUT) as visitor:
            started = time.perf_counter()
            outcome = await visitor.ask(self._target.requests[0])
            return outcome, time.perf_counter() - started

    def _say(self, text: str) -> None:
        if not self._options.as_json:
            print(text, flush=True)


async def _watch(generator: LoadGenerator, seconds: float, shown: Screen) -> None:
    """Show the last second, again and again, while requests are sent."""
    result = generator.result
    marks: deque[Mark] = deque([result.mark()], maxlen=round(1 / _REFRESH))
    started = marks[0].at
    try:
        for number in range(1, math.ceil(seconds / _REFRESH) + 1):
            due = min(number * _REFRESH, seconds)
            await asyncio.sleep(started + due - time.perf_counter())
            if result.sending and due < seconds:  # it was told to stop
                return
            now = result.mark()
            shown.update(due, result.since(marks[0], now.at - marks[0].at))
            marks.append(now)
    except BrokenPipeError:  # nobody looks any more
        generator.stop()
        raise


def _most_connections() -> int:
    """As many as the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS has a limit below its limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 100_000 if soft == resource.RLIM_INFINITY else max(1, soft - _DESCRIPTORS)


def _program() -> str:
    """How to call this command again, as it was called."""
    called = sys.argv[0]
    return called if Path(called).name == "planb" else "planb"
