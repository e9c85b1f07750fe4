import io
import re

import pytest

from proxy.surge.plan import Plan
from proxy.surge.screen import ASCII, BLOCKS, LineScreen, LiveScreen, screen
from tests.surge.stretches import BROKEN, NOTHING, PROTECTED

PLAN = Plan("http://shop.test", rate=1600, seconds=10, patience=1, retries=2, capacity=160)


class _Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[?0-9]*[A-Za-z]", "", text)


def test_lines_come_once_a_second_and_name_what_happens() -> None:
    out = io.StringIO()
    lines = LineScreen(out)
    for elapsed in (0.5, 1.0, 1.25, 2.0):
        lines.update(elapsed, PROTECTED)
    lines.update(3.0, BROKEN)
    first, second, third = out.getvalue().splitlines()
    assert first.split()[:4] == ["1", "s", "sent", "1,600/s"]
    assert "served    160/s half in 41 ms, 99 % in 44 ms" in first
    assert "refused  1,440/s half in 0.2 ms" in first
    assert "left" not in first
    assert second.startswith("   2 s")
    assert "errors    100/s  left  3,900/s no answer in time" in third
    assert "\x1b" not in out.getvalue()


def test_a_second_that_was_missed_has_no_line() -> None:
    out = io.StringIO()
    lines = LineScreen(out)
    lines.update(1.0, PROTECTED)
    lines.update(4.3, PROTECTED)
    lines.update(4.9, PROTECTED)
    lines.update(5.0, PROTECTED)
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["1", "4", "5"]


def test_the_block_is_redrawn_in_its_place() -> None:
    out = _Terminal()
    live = LiveScreen(out, PLAN, BLOCKS, colour=False)
    live.update(0.25, PROTECTED)
    first = out.getvalue()
    height = first.count("\n")
    live.update(0.5, BROKEN)
    second = out.getvalue().removeprefix(first)
    assert first.startswith("\x1b[?7l\r")
    assert second.startswith(f"\x1b[?7l\x1b[{height}A\r")
    assert second.count("\n") == height
    assert first.endswith("\x1b[?7h")
    assert second.endswith("\x1b[?7h")


def test_the_block_shows_how_far_it_is_and_the_last_seconds() -> None:
    out = _Terminal()
    live = LiveScreen(out, PLAN, BLOCKS, colour=False)
    for second in range(1, 6):
        out.seek(0)
        out.truncate(0)
        live.update(float(second), PROTECTED if second != 3 else BROKEN)
    lines = [line.rstrip() for line in _plain(out.getvalue()).split("\n")]
    assert lines[0] == f"\r  {'█' * 15}{'░' * 15}   5 of 10 s"
    assert lines[2].split() == ["sent", "1,600/s"]
    served, refused, late, errors, left = lines[3:8]
    assert served == f"\r  served      160/s  {'██ ██':<20}  half in 41 ms, 99 % in 44 ms"
    assert refused.split() == ["refused", "1,440/s", "██", "██", "half", "in", "0.2", "ms"]
    assert late.split() == ["late", "0/s"]
    assert errors.split() == ["errors", "0/s", "▁"]
    assert left.split() == ["left", "0/s", "█"]


def test_colour_marks_what_happens_only() -> None:
    out = _Terminal()
    LiveScreen(out, PLAN, BLOCKS, colour=True).update(1.0, PROTECTED)
    coloured = dict(re.findall(r"\x1b\[(\d+)m  (\w+)", out.getvalue()))
    assert coloured == {"32": "served", "33": "refused", "2": "left"}


def test_a_rate_without_a_capacity_is_drawn_against_the_most_that_was_seen() -> None:
    out = _Terminal()
    plan = Plan("http://shop.test", rate=1600, seconds=10, patience=1, retries=2)
    live = LiveScreen(out, plan, ASCII, colour=False)
    live.update(1.0, PROTECTED)
    live.update(2.0, NOTHING)
    assert "served        0/s  #\n" in _plain(out.getvalue())


@pytest.mark.parametrize(
    ("environment", "encoding", "expected"),
    [
        ({"TERM": "xterm"}, "utf-8", "█"),
        ({"TERM": "xterm"}, "ascii", "#"),
        ({"TERM": "dumb"}, "utf-8", None),
        ({}, "utf-8", None),
    ],
)
def test_a_screen_suits_its_terminal(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    encoding: str,
    expected: str | None,
) -> None:
    monkeypatch.delenv("TERM", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = _Terminal()
    out.encoding = encoding
    screen(out, PLAN).update(10.0, PROTECTED)
    if expected is None:
        assert out.getvalue().startswith("  10 s  sent")
        assert "\x1b" not in out.getvalue()
    else:
        assert expected * 30 in out.getvalue()
        assert "\x1b[3" not in out.getvalue()


def test_a_pipe_gets_lines() -> None:
    assert isinstance(screen(io.StringIO(), PLAN), LineScreen)
