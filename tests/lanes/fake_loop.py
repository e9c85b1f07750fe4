"""An event loop that knows timers only, and whose clock the test sets."""

from collections.abc import Callable


class Timer:
    def __init__(self, loop: "Loop", at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self._loop = loop

    def cancel(self) -> None:
        assert self in self._loop.timers, "cancelled twice, or after it ran"
        self._loop.timers.remove(self)


class Loop:
    """As much of an event loop as the wheel asks for; `now` is its clock, which the test sets."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.timers: list[Timer] = []
        self.calls = 0

    def clock(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        assert delay >= 0.0
        self.calls += 1
        timer = Timer(self, self.now + delay, callback)
        self.timers.append(timer)
        return timer

    def run_until(self, now: float, *, early: float = 0.0) -> None:
        """Runs the timers on the way, each `early` by so much, at most."""
        while self.timers:
            timer = min(self.timers, key=lambda each: each.at)
            if timer.at - early > now:
                break
            self.timers.remove(timer)
            self.now = max(self.now, timer.at - early)
            timer.callback()
        self.now = max(self.now, now)
