"""A server with a fixed pool of threads and a queue without end: how legacy shops serve.

One thread watches all connections and puts those that can be read into a queue; the pool's
threads take them from there, as Tomcat's NIO connector does. So an idle connection costs no
thread. Nothing is ever turned away: connections are accepted without limit, the queue has no end,
and a request is worked on although its client has left long ago. Under too much load every answer
comes too late, which is what Plan B is there to prevent.
"""

import queue
import resource
import selectors
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

from proxy.demo.connection import Connection, Next
from proxy.demo.messages import HttpError, Request, Response

KEEP_ALIVE = 30.0
"""Seconds until an idle connection is closed; Plan B's pool gives them up sooner."""
_ACCEPTS_AT_ONCE = 64


class PoolServer:
    """Serves `answer` with `threads` threads on `address` once `listen` was called.

    The port is taken at once (OSError if it is in use), so that `adopt` can be used before any
    client can come. `answer` is called by the pool's threads; what it raises becomes a 500.
    """

    def __init__(
        self, address: tuple[str, int], answer: Callable[[Request], Response], threads: int
    ) -> None:
        self._answer = answer
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind(address)
        except OSError:
            self._listener.close()
            raise
        self._listener.setblocking(False)
        self._ready: queue.SimpleQueue[Connection | None] = queue.SimpleQueue()
        self._returned: deque[Connection] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake_up, self._waker = socket.socketpair()
        self._wake_up.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._wake_up, selectors.EVENT_READ)
        self._closing = False
        self._workers = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        for thread in (*self._workers, self._watcher):
            thread.start()

    @property
    def port(self) -> int:
        """The port that was taken."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def waiting(self) -> int:
        """How many requests wait for a thread."""
        return self._ready.qsize()

    def listen(self) -> None:
        """Let clients come."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(ValueError, OSError):  # macOS has a limit below its limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self._listener.listen(65535)  # the system's own limit is lower, and holds
        self._selector.register(self._listener, selectors.EVENT_READ)

    def adopt(self, sock: socket.socket) -> None:
        """Serve a connected socket."""
        self._give_back(Connection(sock))

    def close(self, patience: float = 2.0) -> None:
        """Stop. What is worked on has `patience` seconds to end; what waits is dropped."""
        self._closing = True
        self._wake()
        self._watcher.join()
        for _ in self._workers:
            self._ready.put(None)
        deadline = time.monotonic() + patience
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        while not self._ready.empty():
            if connection := self._ready.get():
                connection.close()
        for connection in self._returned:
            connection.close()
        self._waker.close()

    def _watch(self) -> None:
        next_sweep = time.monotonic() + 1.0
        while not self._closing:
            for key, _ in self._selector.select(1.0):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake_up:
                    self._wake_up.recv(65536)
                else:
                    self._selector.unregister(key.fileobj)
                    self._ready.put(key.data)
            while self._returned:
                connection = self._returned.popleft()
                self._selector.register(connection.sock, selectors.EVENT_READ, connection)
            if (now := time.monotonic()) >= next_sweep:
                next_sweep = now + 1.0
                self._close_idle(now - KEEP_ALIVE)
        self._close_idle(float("inf"))
        self._selector.close()
        self._listener.close()
        self._wake_up.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Out of descriptors: everything stands still for a moment.
                print(f"a connection could not be accepted: {error}", file=sys.stderr)
                time.sleep(0.1)
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(sock, selectors.EVENT_READ, Connection(sock))

    def _close_idle(self, before: float) -> None:
        connections = [key.data for key in self._selector.get_map().values() if key.data]
        for connection in connections:
            if connection.idle_since < before:
                self._selector.unregister(connection.sock)
                connection.close()

    def _work(self) -> None:
        while connection := self._ready.get():
            if self._closing:
                connection.close()
                continue
            try:
                self._settle(connection, self._serve(connection))
            except OSError:
                connection.close()  # the client left, or stopped reading

    def _serve(self, connection: Connection) -> Next:
        if (read := connection.receive()) is not Next.SERVE:
            return read
        try:
            request, kept = connection.read_request()
        except HttpError as error:
            return connection.refuse(error)
        try:
            response = self._answer(request)
        except Exception:  # a thread of the pool must outlive any page's fault
            traceback.print_exc()
            response = Response(HTTPStatus.INTERNAL_SERVER_ERROR)
        return connection.send(response, to_method=request.method, kept=kept and not self._closing)

    def _settle(self, connection: Connection, what: Next) -> None:
        if what is Next.SERVE:
            self._ready.put(connection)  # a pipelined request waits its turn like all others
        elif what is Next.WATCH:
            self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        self._returned.append(connection)
        self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # then it has been woken often enough
            self._waker.send(b".")
