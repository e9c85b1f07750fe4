import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxy.demo.run import Address

DEMO = """
import sys
from pathlib import Path
from proxy.demo import run
run.RESTART_DELAY = 0.3
shop, coupons, proxy, admin = map(int, sys.argv[1:5])
sys.exit(run.run(Path("rules.yaml"), shop_port=shop, coupons_port=coupons,
    proxy_address=("127.0.0.1", proxy), admin_address=("127.0.0.1", admin),
    sidecar_command=[sys.executable, "-c", sys.argv[5], str(proxy)]))
"""
SIDECAR = """
import os, signal, socket, sys, urllib.request
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print("sidecar", os.getpid(), os.environ["UPSTREAM"], flush=True)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
signal.sigwait({signal.SIGTERM})
try:
    with urllib.request.urlopen(os.environ["UPSTREAM"] + "/cart") as answer:
        print("drained with", answer.status, flush=True)
except OSError:
    print("drained alone", flush=True)
"""
STUBBORN = """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: print("draining", flush=True))
print("sidecar", os.getpid(), "-", flush=True)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    signal.pause()
"""


class Demo:
    def __init__(self, process: subprocess.Popen[str], ports: list[int]) -> None:
        self.process = process
        self.ports = ports
        self.seen = ""

    def until(self, pattern: str) -> re.Match[str]:
        """Read the output until a line matches."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.seen += line
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"{pattern} was not said:\n{self.seen}")

    def end(self, by: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(by)
        return self.wait()

    def wait(self) -> int:
        assert self.process.stdout
        self.seen += self.process.stdout.read()  # ends when the last child has ended
        status = self.process.wait(10)
        assert "Traceback" not in self.seen
        assert all(_refuses(("127.0.0.1", port)) for port in self.ports)
        return status


def _refuses(address: Address) -> bool:
    with suppress(ConnectionRefusedError), socket.create_connection(address, timeout=1):
        return False
    return True


def _listener_pid(port: int) -> int:
    """Which process was started to listen on `port`."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"--port={port}".encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                return int(folder.name)
    raise AssertionError(f"no process has --port={port}")


@contextmanager
def demo(sidecar: str = SIDECAR, taken: int | None = None) -> Iterator[Demo]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    if taken is not None:
        ports[3] = taken
    command = [sys.executable, "-c", DEMO, *map(str, ports), sidecar]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        # What is waited for and never said fails the test, and does not hold it up for ever.
        patience = threading.Timer(60, process.kill)
        patience.start()
        try:
            yield Demo(process, ports[:3])
        finally:
            patience.cancel()
            process.kill()


def test_all_are_started_and_ctrl_c_ends_the_sidecar_first() -> None:
    with demo() as running:
        assert running.until("sidecar .* (http.*)")[1] == f"http://127.0.0.1:{running.ports[0]}"
        running.until(f"through Plan B +http://127.0.0.1:{running.ports[2]}")
        running.until("planb surge")
        running.until("rules.yaml")
        assert "capacity about" in running.seen
        assert running.end() == 0
        assert running.seen.rstrip().endswith("drained with 200")


def test_a_killed_shop_is_reported_and_comes_back_and_sigterm_ends_all() -> None:
    with demo() as running:
        running.until("Ctrl-C")
        os.kill(_listener_pid(running.ports[0]), signal.SIGKILL)
        running.until("the shop was ended by SIGKILL; it is started again")
        running.until("capacity about")
        assert running.end(signal.SIGTERM) == 0


def test_the_demo_ends_with_the_sidecar() -> None:
    with demo() as running:
        sidecar = int(running.until(r"sidecar (\d+)")[1])
        running.until("Ctrl-C")
        os.kill(sidecar, signal.SIGKILL)
        assert running.wait() == 1
        assert "the sidecar was ended by SIGKILL" in running.seen


def test_a_sidecar_that_does_not_start_is_noticed_at_once() -> None:
    with demo("import sys; sys.exit('rules.yaml is bad')") as running:
        running.until("rules.yaml is bad")
        noticed = time.monotonic()
        assert running.wait() == 1
        assert time.monotonic() - noticed < 5
        assert "the sidecar ended with exit status 1 while starting" in running.seen


def test_a_second_ctrl_c_does_not_wait_for_the_draining() -> None:
    with demo(STUBBORN) as running:
        running.until("Ctrl-C")
        running.process.send_signal(signal.SIGINT)
        running.until("draining")
        assert running.end() == 0
        assert "ending at once" in running.seen


def test_no_child_outlives_a_killed_demo() -> None:
    with demo() as running:
        running.until("Ctrl-C")
        running.process.kill()
        assert running.wait() == -signal.SIGKILL


def test_a_port_in_use_is_one_line_before_anything_is_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, demo(taken=taken.getsockname()[1]) as run:
        assert run.wait() == 1
        assert run.seen.count("\n") == 1
        assert f"port {taken.getsockname()[1]}, which the sidecar's admin address" in run.seen
