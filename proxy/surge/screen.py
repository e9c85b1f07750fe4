"""How a surge looks while it runs: a block that is redrawn, or a line a second."""

import os
from collections import deque
from dataclasses import dataclass
from typing import Protocol, TextIO

from proxy.surge.plan import Plan
from proxy.surge.result import Stretch
from proxy.surge.words import duration, per_second

_BAR = 30
_SECONDS_SHOWN = 20
_GREEN, _YELLOW, _RED, _DIM = 32, 33, 31, 2


class Screen(Protocol):
    """Shows what happens. `elapsed` are seconds since the surge began."""

    def update(self, elapsed: float, stretch: Stretch) -> None:
        """The last second was `stretch`; called several times a second."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What bars are made of: the last of `levels` is full."""

    full: str
    empty: str
    levels: str


BLOCKS = Glyphs("█", "░", "▁▂▃▄▅▆▇█")
ASCII = Glyphs("#", "-", "_.:-=+*#")


class LineScreen:
    """For a pipe, a file, a log: one line a second, no control characters."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._second = 1

    def update(self, elapsed: float, stretch: Stretch) -> None:
        """Print a line if another second is over."""
        if elapsed < self._second:
            return
        parts = [f"{int(elapsed):>4} s  sent {per_second(stretch.rate(stretch.sent)):>8}"]
        for row in rows(stretch):
            if row.count or row.always:
                text = f"{row.label} {per_second(stretch.rate(row.count)):>8} {row.note}"
                parts.append(text.rstrip())
        print("  ".join(parts), file=self._out, flush=True)
        self._second = int(elapsed) + 1


class LiveScreen:
    """For a terminal: a block of lines, redrawn in place.

    A line too long for the terminal is cut off, so that the block keeps its height.
    """

    def __init__(self, out: TextIO, plan: Plan, glyphs: Glyphs, *, colour: bool) -> None:
        self._out = out
        self._plan = plan
        self._glyphs = glyphs
        self._colour = colour
        self._history: deque[Stretch] = deque(maxlen=_SECONDS_SHOWN)
        self._second = 1
        self._drawn = 0
        """Lines that are on the screen."""

    def update(self, elapsed: float, stretch: Stretch) -> None:
        """Redraw."""
        if elapsed >= self._second:
            self._history.append(stretch)
            self._second = int(elapsed) + 1
        lines = self._lines(elapsed, stretch)
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        text = "".join(f"\r{line}\x1b[K\n" for line in lines)
        # One write; a line's end is not wrapped meanwhile (DECAWM), and is again after it.
        self._out.write(f"\x1b[?7l{up}{text}\x1b[?7h")
        self._out.flush()
        self._drawn = len(lines)

    def _lines(self, elapsed: float, stretch: Stretch) -> list[str]:
        share = min(1.0, elapsed / self._plan.seconds)
        done = round(_BAR * share)
        bar = self._glyphs.full * done + self._glyphs.empty * (_BAR - done)
        lines = [f"  {bar} {int(elapsed):>3} of {self._plan.seconds:g} s", ""]
        lines.append(f"  {'sent':<8}{per_second(stretch.rate(stretch.sent)):>9}")
        for row in rows(stretch):
            rate = per_second(stretch.rate(row.count))
            text = f"  {row.label:<8}{rate:>9}  {self._sparkline(row.label)}  {row.note}"
            lines.append(self._paint(text.rstrip(), row.colour if row.count else _DIM))
        return lines

    def _sparkline(self, label: str) -> str:
        """A character for each second, and where there are none yet, spaces."""
        rates = [
            stretch.rate(row.count)
            for stretch in self._history
            for row in rows(stretch)
            if row.label == label
        ]
        # Who is served is measured by what can be, everybody else by what is sent.
        scale = self._plan.capacity if label == "served" else self._plan.rate
        top = scale or max(rates, default=0.0)
        levels = self._glyphs.levels
        marks = [
            levels[min(len(levels) - 1, int(rate / top * len(levels)))] if rate > 0 else " "
            for rate in rates
        ]
        return "".join(marks).ljust(_SECONDS_SHOWN)

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that happens to requests. `always` shows it even when it does not."""

    label: str
    count: int
    colour: int
    note: str = ""
    always: bool = False


def rows(stretch: Stretch) -> tuple[Row, ...]:
    """What happened, the best first."""
    served = f"half in {duration(stretch.served_p50)}, 99 % in {duration(stretch.served_p99)}"
    return (
        Row("served", stretch.good, _GREEN, served if stretch.good + stretch.late else "", True),
        Row("refused", stretch.refused, _YELLOW, _half_in(stretch.refused_p50), True),
        Row("late", stretch.late, _RED, "over 250 ms" if stretch.late else ""),
        Row("errors", stretch.wrong, _RED),
        Row("left", stretch.left, _RED, "no answer in time" if stretch.left else ""),
    )


def _half_in(seconds: float) -> str:
    text = duration(seconds)
    return f"half in {text}" if text else ""


def screen(out: TextIO, plan: Plan) -> Screen:
    """The screen that suits `out`. `NO_COLOR` (no-color.org) and `TERM=dumb` are heeded."""
    if not out.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return LineScreen(out)
    try:
        BLOCKS.levels.encode(out.encoding or "ascii")
        glyphs = BLOCKS
    except UnicodeEncodeError:
        glyphs = ASCII
    return LiveScreen(out, plan, glyphs, colour=not os.environ.get("NO_COLOR"))
