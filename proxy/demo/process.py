"""What the shop and the coupon service have in common as processes."""

import errno
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from proxy.demo.messages import Request, Response
from proxy.demo.pool_server import PoolServer


def end_on_signals() -> None:
    """Make the first SIGTERM or SIGINT raise SystemExit(0) in the main thread, a second one kill.

    Whatever the main thread does then, its `with` blocks are left in order.
    """

    def end(_: int, __: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)


@contextmanager
def serving(
    name: str, address: tuple[str, int], answer: Callable[[Request], Response], threads: int
) -> Iterator[PoolServer]:
    """A server that has its port but does not listen yet. It is closed at the end.

    Raises SystemExit with one line that says what to do if the port can't be had.
    """
    try:
        server = PoolServer(address, answer, threads)
    except OSError as error:
        host, port = address
        why = "is in use by another program" if error.errno == errno.EADDRINUSE else str(error)
        sys.exit(f"{name}: port {port} of {host}: {why}; end that or choose another with --port")
    try:
        yield server
    finally:
        server.close()


def wait_for_end() -> NoReturn:
    """Wait until `end_on_signals` raises SystemExit."""
    while True:
        signal.pause()
