"""`planb demo`: a coupon service, a shop and the sidecar before it, each a process of its own."""

import ctypes
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType

SHOP_PORT = 8000
COUPONS_PORT = 8001
START_TIMEOUT = 10.0
"""Seconds in which a process must listen."""
RESTART_DELAY = 3.0
"""Seconds for which a killed shop stays away, so that one can see what Plan B does meanwhile."""
DRAIN_TIMEOUT = 35.0
"""Seconds for the sidecar to end; its own default `drain_timeout` is 30 s."""
END_TIMEOUT = 5.0
"""Seconds for the shop and the coupon service to end."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

Address = tuple[str, int]


class DemoError(Exception):
    """The demo can't go on; the text says why and what to do, in one line."""


class EndRequestedError(Exception):
    """Ctrl-C or SIGTERM."""


def run(
    config: Path,
    *,
    shop_port: int = SHOP_PORT,
    coupons_port: int = COUPONS_PORT,
    proxy_address: Address,
    admin_address: Address,
    to_coupons_address: Address | None = None,
    sidecar_command: Sequence[str] | None = None,
) -> int:
    """Run the demo until Ctrl-C, SIGTERM or the sidecar's end; the exit status, 0 or 1.

    `proxy_address` and `admin_address` are where the sidecar will listen after `config`, and
    `to_coupons_address` is where for the shop's calls of the coupon service; without it the shop
    calls that itself. `sidecar_command` is what starts the sidecar if not `proxy run`. To be called
    in the main thread.
    """
    sidecar_command = sidecar_command or [sys.executable, "-m", "proxy", "run", str(config)]
    shop_url, coupons_url = f"http://127.0.0.1:{shop_port}", f"http://127.0.0.1:{coupons_port}"
    python = [sys.executable, "-m"]
    with tempfile.TemporaryDirectory(prefix="planb-demo-") as folder, _Signals() as signals:
        # The shop's database outlives the shop: one that is killed comes back with its orders.
        shop_command = [*python, "proxy.demo.shop", f"--port={shop_port}"]
        called = _url(to_coupons_address) if to_coupons_address else coupons_url
        shop_command += [f"--coupons={called}", f"--database={folder}/shop.db"]
        coupons = Child(
            "the coupon service",
            [*python, "proxy.demo.coupons", f"--port={coupons_port}"],
            ("127.0.0.1", coupons_port),
        )
        shop = Child("the shop", shop_command, ("127.0.0.1", shop_port))
        environment = {"UPSTREAM": shop_url, "COUPONS": coupons_url}
        sidecar = Child("the sidecar", sidecar_command, proxy_address, environment)
        listening = {child.name: child.address for child in (coupons, shop, sidecar)}
        listening["the sidecar's admin address"] = admin_address
        if to_coupons_address:
            listening["the sidecar's address for coupons"] = to_coupons_address
        status = 0
        with _ended([[sidecar], [shop, coupons]], signals):
            try:
                for name, address in listening.items():
                    _check_free(name, address)
                for child in (coupons, shop, sidecar):
                    child.start()
                    child.wait_until_listening(signals)
                welcome = _welcome(config, shop_url, _url(proxy_address), _url(admin_address))
                more = _BREAK_COUPONS.format(coupons_url) if to_coupons_address else ""
                print(welcome + more, flush=True)
                _watch(sidecar, (shop, coupons), signals)
            except EndRequestedError:
                pass
            except DemoError as error:
                print(f"planb demo: {error}", file=sys.stderr, flush=True)
                status = 1
    return status


@dataclass
class Child:
    """A process in a session of its own, so that a terminal's Ctrl-C does not reach it.

    It has its output in common with this process and listens on `address` when it is ready. If
    this process dies without a chance to end it, the system does so (Linux only).
    """

    name: str
    command: Sequence[str]
    address: Address
    environment: Mapping[str, str] = field(default_factory=dict)
    restart_at: float | None = None
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it. Raises DemoError if its program can't be run."""
        self.restart_at = None
        parent = os.getpid()

        def die_with_parent() -> None:
            if _LIBC:
                _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
                if os.getppid() != parent:  # it died before the call
                    os._exit(1)

        try:
            # The function does nothing that a lock could hold up, and no thread is running here.
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self.command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - see above
            )
        except OSError as error:
            raise DemoError(f"{self.name} could not be started: {error}") from error

    def death(self) -> str | None:
        """How it ended, or None if it did not, or was not started."""
        status = self._process.poll() if self._process else None
        if status is None:
            return None
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with exit status {status}"

    def wait_until_listening(self, signals: "_Signals") -> None:
        """Wait for its port. Raises DemoError when it dies, or takes over START_TIMEOUT seconds."""
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if death := self.death():
                raise DemoError(f"{self.name} {death} while starting; what it says is above")
            with suppress(OSError), socket.create_connection(self.address, timeout=1.0):
                return
            signals.wait(0.05)
        host, port = self.address
        raise DemoError(f"{self.name} did not listen on {host}:{port} within {START_TIMEOUT:.0f} s")

    def ask_to_end(self) -> None:
        """Send SIGTERM, if it lives."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End it and whatever it started, at once."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def is_running(self) -> bool:
        """Whether it was started and lives."""
        return self._process is not None and self._process.poll() is None


class _Signals:
    """Turns SIGINT and SIGTERM into EndRequestedError, raised where `wait` is called.

    A child's death ends a wait too.
    """

    def __init__(self) -> None:
        self._asked = False
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def __enter__(self) -> "_Signals":
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._reader.close()
        self._writer.close()

    def wait(self, timeout: float | None) -> None:
        """Wait `timeout` seconds (None: without end) or until a child has died."""
        if select.select([self._reader], [], [], timeout)[0]:
            with suppress(BlockingIOError):
                self._reader.recv(4096)
        if self._asked:
            self._asked = False
            raise EndRequestedError

    def _ask(self, _: int, __: FrameType | None) -> None:
        self._asked = True


def _watch(sidecar: Child, services: Sequence[Child], signals: _Signals) -> None:
    """Bring dead services back until the sidecar dies (DemoError) or the end is asked for."""
    while True:
        now = time.monotonic()
        if death := sidecar.death():
            raise DemoError(f"the sidecar {death}; the demo ends")
        for child in services:
            if child.restart_at is None and (death := child.death()):
                print(f"{child.name} {death}; it is started again in 3 s", flush=True)
                child.restart_at = now + RESTART_DELAY
            elif child.restart_at is not None and child.restart_at <= now:
                child.start()
        restarts = [child.restart_at for child in services if child.restart_at is not None]
        signals.wait(max(0.0, min(restarts) - now) if restarts else None)


@contextmanager
def _ended(groups: Sequence[Sequence[Child]], signals: _Signals) -> Iterator[None]:
    """End all children when the block is left, one group after the other.

    Who asks for the end once more meanwhile gets it at once.
    """
    try:
        yield
    finally:
        try:
            for group, patience in zip(groups, (DRAIN_TIMEOUT, END_TIMEOUT), strict=True):
                for child in group:
                    child.ask_to_end()
                deadline = time.monotonic() + patience
                while (left := deadline - time.monotonic()) > 0 and any(
                    child.is_running for child in group
                ):
                    signals.wait(left)
        except EndRequestedError:
            print("planb demo: ending at once", file=sys.stderr, flush=True)
        for group in groups:
            for child in group:
                child.kill()


def _check_free(name: str, address: Address) -> None:
    """Raise DemoError if `address` is in use, before anything else is started."""
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            host, port = address
            if error.errno != errno.EADDRINUSE:
                raise DemoError(f"{name} can't have {host}:{port}: {error.strerror}") from error
            raise DemoError(
                f"port {port}, which {name} needs, is in use; end the program that listens there "
                f"(`ss -ltnp 'sport = :{port}'` shows it) and try again"
            ) from error


def _url(address: Address) -> str:
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _welcome(config: Path, shop: str, proxy: str, admin: str) -> str:
    return f"""
  the shop, through Plan B   {proxy}      open this page
  the shop, unprotected      {shop}
  Plan B's admin address     {admin}

  Flood it: `planb surge` (or `make surge`) in a second terminal sends ten times what it can serve.
  Meanwhile change {config} and see it take effect.
  Kill the shop, if you like: it comes back. Ctrl-C ends everything.
"""


_BREAK_COUPONS = """\
  The shop calls a coupon service through Plan B. Break that, and see an item's page go on without:
    curl -X POST {}/be/slow        or failing, refusing, well
"""
