"""Work, counted and not timed: the calls of Python functions of Plan B's own."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import proxy

_OURS = str(Path(proxy.__file__).parent)


def count_calls(work: Callable[[], object]) -> int:
    """How many functions of `proxy` are called in `work`, where they are not compiled."""
    count = 0

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        if event == "call" and frame.f_code.co_filename.startswith(_OURS):
            count += 1

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
