import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.ops.log_output import LogOutput


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


def test_all_lines_are_written_in_order_before_close_returns(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        output = LogOutput(file.fileno())
        for number in range(5000):
            output.put(f"line {number}")
        output.close()
    expected = "".join(f"line {number}\n" for number in range(5000))
    assert (tmp_path / "log").read_text() == expected
    assert output.dropped == 0


def test_a_full_pipe_drops_lines_and_holds_nobody_up(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1], most_bytes=100_000)
    done = threading.Event()

    def flood() -> None:
        for _ in range(2000):
            output.put("x" * 1000)
        done.set()

    threading.Thread(target=flood, daemon=True).start()
    assert done.wait(5)
    assert output.dropped > 0
    output.close(timeout=0.01)
    os.set_blocking(pipe[0], True)
    drainer = threading.Thread(target=read_all, args=(pipe[0],), daemon=True)
    drainer.start()
    output.close(timeout=5)
    os.close(pipe[1])
    drainer.join(5)


def test_what_waits_is_bounded_in_bytes_however_long_the_lines(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1], most_bytes=1_000_000)
    for _ in range(100):
        output.put("x" * 99_999)
    # Ten lines wait, and before these others that the thread took, as nobody reads the pipe.
    assert 80 <= output.dropped <= 90
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(read_all(pipe[0])))
    reader.start()
    output.close(timeout=5)
    os.close(pipe[1])
    reader.join(5)
    assert read[0].count(b"\n") == 100 - output.dropped


def test_lines_put_while_others_are_written_are_written_before_close_returns(
    pipe: tuple[int, int],
) -> None:
    output = LogOutput(pipe[1])
    output.put("x" * 200_000)
    assert os.read(pipe[0], 1) == b"x"  # the thread has it, and the pipe is full
    output.put("last")
    closing = threading.Thread(target=output.close, args=(5,))
    closing.start()
    while not output._closing:
        pass
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(read_all(pipe[0])))
    reader.start()
    closing.join()
    os.close(pipe[1])
    reader.join(5)
    assert read[0].endswith(b"x\nlast\n")


def test_a_non_blocking_descriptor_gets_every_byte(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    output = LogOutput(pipe[1])
    read: list[bytes] = []
    for _ in range(500):
        output.put("x" * 999)
    reader = threading.Thread(target=lambda: read.append(read_all(pipe[0])))
    reader.start()
    output.close(timeout=5)
    os.close(pipe[1])
    reader.join(5)
    assert read == [(b"x" * 999 + b"\n") * 500]
    assert output.dropped == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_drops_lines() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        output = LogOutput(full.fileno())
        for _ in range(10):
            output.put("line")
        output.close()
    assert output.dropped == 10


def test_lines_after_close_are_dropped(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        output = LogOutput(file.fileno())
        output.close()
        output.put("late")
    assert output.dropped == 1
    assert (tmp_path / "log").read_bytes() == b""


def test_bytes_that_are_no_text_are_written_escaped(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        output = LogOutput(file.fileno())
        output.put("target \udcff")
        output.close()
    assert (tmp_path / "log").read_text() == "target \\udcff\n"


def test_a_pipe_is_no_terminal(pipe: tuple[int, int]) -> None:
    output = LogOutput(pipe[1])
    assert not output.is_terminal
    output.close()
