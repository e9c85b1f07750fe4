import signal
import socket
import subprocess
import sys
from http import HTTPStatus

import pytest

from proxy.demo.messages import Response
from proxy.demo.process import serving

WAITING = """
from proxy.demo.process import end_on_signals, wait_for_end
end_on_signals()
try:
    print("waiting", flush=True)
    wait_for_end()
finally:
    print("left", flush=True)
    {then}
"""


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_through_its_blocks(by: signal.Signals) -> None:
    command = [sys.executable, "-c", WAITING.format(then="")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(by)
        assert process.stdout.read() == "left\n"
    assert process.returncode == 0


def test_a_second_signal_does_not_wait() -> None:
    command = [sys.executable, "-c", WAITING.format(then="wait_for_end()")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        process.terminate()
        assert process.stdout.readline() == "left\n"
        process.terminate()
    assert process.returncode == -signal.SIGTERM


def test_a_port_in_use_ends_with_a_line_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        with (
            pytest.raises(SystemExit, match=f"shop: port {address[1]} .* in use"),
            serving("shop", address, lambda _: Response(HTTPStatus.OK), 1),
        ):
            pass
