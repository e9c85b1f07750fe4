"""One lane with everything around it, in this process: a client, a listener, a shop.

The listener is the real one on real sockets, on uvloop as the sidecar itself. What a case brought
about is told as an `Outcome`; the same case must have the same outcome on both lanes.
"""

import asyncio
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from proxy.lanes.listener import Listener
from proxy.lanes.services import Entry, Services, Upstreams
from proxy.policy.engine import Engine
from proxy.policy.verdict import Kind
from proxy.readings import Readings
from proxy.rules.load import load
from tests.parity.cases import Case
from tests.parity.client import Client
from tests.parity.messages import Message
from tests.parity.shop import Shop

RULES = """\
version: 1
server: {{express: {express}}}
admin: {{bind: "127.0.0.1:0"}}
listeners:
  - {{name: storefront, bind: "127.0.0.1:0", upstream: shop, max_head_size: 1KiB}}
  - {{name: behind-proxy, bind: "127.0.0.1:0", upstream: shop, trusted_proxies: [127.0.0.0/8]}}
  - {{name: impatient, bind: "127.0.0.1:0", upstream: slow,
     timeouts: {{head: 60ms, body: 60ms, idle: 300ms}}}}
  - {{name: deserted, bind: "127.0.0.1:0", upstream: nobody}}
upstreams:
  nobody: {{url: "http://127.0.0.1:1"}}
  shop: {{url: "http://127.0.0.1:{port}", timeouts: {{response: 1h}}}}
  slow: {{url: "http://127.0.0.1:{port}", timeouts: {{response: 60ms, body: 60ms}}}}
routes:
  - {{name: closed, match: {{path: "/closed/**"}},
     limits: [{{name: none, rate: 1/h, burst: 1}}]}}
  - {{name: held, match: {{path: "/held/**"}}, limits: [{{name: one, concurrency: 1}}]}}
  - {{name: queued, match: {{path: "/queued/**"}},
     limits: [{{name: line, concurrency: 1, queue: 1, queue_timeout: 30ms}}]}}
  - {{name: paced, match: {{path: "/paced/**"}},
     limits: [{{name: even, pace: 100/s, max_wait: 1s}}]}}
  - {{name: watched, match: {{path: "/watched/**"}},
     limits: [{{name: seen, rate: 1/h, burst: 1, mode: shadow}}]}}
  - {{name: kept, match: {{path: "/kept/**"}}, cache: {{ttl: 90m, coalesce: true}}}}
  - {{name: stands-in, match: {{path: "/stands-in/**"}}, fallback: {{snapshot: 1h}},
     limits: [{{rate: 2/h, burst: 2, per: "header:limit"}}]}}
  - {{name: small, match: {{path: "/small/**"}}, max_body_size: 8B}}
  - {{name: orders, match: {{methods: [POST], hosts: [orders.test], path: "/orders"}}}}
  - {{name: others, match: {{path: "/**"}},
     limits: [{{name: each, rate: 1000000/s, burst: 1000000, per: client_address}}]}}
"""
"""Whatever comes to /closed/, /held/ or /queued/ is refused: what there is, is taken."""

AFTER = b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n"
"""Sent in the end, to a connection that is still open: it shows what is left of it."""

TURNS_TO_READ = 3
"""Turns of the event loop after which what was written to a loopback socket has been read: the
kernel hands it over at once. If ever it has not, two pieces are read as one, on either lane."""

LONGEST_PAUSE = 0.2
"""Seconds without an event after which those that were expected will not come."""

QUIET = 0.02
"""Seconds without an event after which there will be none, unless something is under way."""

LONGEST_WORK = 0.25
"""Seconds without an event after which there will be none, even though something is under way:
it waits for bytes that the case does not have."""

LONGEST_LEAVE = 2.0
"""Seconds that the proxy may take to notice that its client has left."""

_DATE = re.compile(rb"Date: ([A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT)")
_COUNTDOWN = re.compile(rb"(?<!w=)\b[3-6][0-9]{3}\b")


@dataclass(frozen=True, slots=True)
class Shape:
    """How much has happened: enough to know when all of it has."""

    messages: int
    requests: int
    content: int
    entries: int
    ended: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case brought about, in lines to be compared; `shapes` after each of its steps."""

    lines: tuple[str, ...]
    shapes: tuple[Shape, ...]


class _Errors(logging.Handler):
    """What is logged because something went wrong in the proxy itself."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Lane:
    """`await start()`, then `await send(case)` any number of times, then `await stop()`."""

    def __init__(self, directory: Path, *, express: bool, rules: str = RULES) -> None:
        self._directory = directory
        self._express = express
        self._rules = rules
        self.shop = Shop(self._moment)
        self._entries: list[tuple[Kind, Entry]] = []
        self._kind: Kind = "admitted"
        self._held: list[Client] = []
        self._at_rest: dict[str, float] = {}
        self._errors = _Errors(logging.ERROR)

    # ------------------------------------------------------- of `ExchangeLog`

    def wants(self, kind: Kind, now: float) -> bool:
        self._kind = kind
        return True

    def write(self, entry: Entry) -> None:
        self._entries.append((self._kind, entry))
        self.shop.activity += 1

    # -------------------------------------------------------------- life cycle

    async def start(self) -> None:
        """Serve, and use up what the rules have of /closed/, /held/ and /queued/."""
        logging.getLogger().addHandler(self._errors)
        await self.shop.open()
        file = self._directory / "planb.yaml"
        express = str(self._express).lower()
        file.write_text(self._rules.format(express=express, port=self.shop.port))
        snapshot = load(file, {})
        loop = asyncio.get_running_loop()
        self._upstreams = Upstreams(loop)
        self._upstreams.swap(snapshot.upstreams.values())
        self.engine = Engine(snapshot, time.monotonic(), lambda: 0.5)
        self._services = Services(self.engine, self._upstreams, self)
        self.listeners = {
            spec.name: Listener(self._services, spec, loop) for spec in snapshot.listeners
        }
        self._readings = Readings(self._services, list(self.listeners.values()))
        for listener in self.listeners.values():
            await listener.bind()
        self._counted = self._counts()
        for target in (b"/closed/", b"/watched/"):
            await self.send(Case(((b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target,),)))
        self.shop.begin(None)
        self.shop.silent = True
        for target in (b"/held/", b"/queued/"):
            client = await self._connect("storefront")
            client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            self._held.append(client)
            while len(self.shop.requests) < len(self._held):
                await asyncio.sleep(0)
        self.shop.silent = False
        self._at_rest = self._gauges()

    async def stop(self) -> None:
        """Leave nothing behind."""
        logging.getLogger().removeHandler(self._errors)
        for client in self._held:
            client.leave()
        for listener in self.listeners.values():
            listener.close()
        await self._services.all_closed()
        await self._upstreams.close()
        self.shop.close()
        await asyncio.sleep(0.01)

    # ------------------------------------------------------------------ a case

    async def send(self, case: Case, like: Outcome | None = None) -> Outcome:
        """What `case` brings about. Where as much has happened as in `like`, or where a while has
        passed in which nothing did, its next step is sent.
        """
        self.shop.begin(case.reply)
        self._entries.clear()
        self._errors.records.clear()
        client = await self._connect(case.listener, case.methods)
        shapes: list[Shape] = []
        lines: list[str] = []
        seen = 0
        for step in case.steps if case.resets else (*case.steps, (AFTER,)):
            if client.ended:
                break
            for index, piece in enumerate(step):
                if index:
                    await self._moment()
                client.send(piece)
            expected = like.shapes[len(shapes)] if like and len(shapes) < len(like.shapes) else None
            await self._consequences(client, expected, case.watch)
            shapes.append(self._shape(client))
            messages = client.messages()
            lines += [f"client: {line}" for each in messages[seen:] for line in self._text(each)]
            lines.append(f"client: ({client.ended or 'open'})")
            # One that is not complete may be so after the next step.
            seen = len(messages) - (bool(messages) and not messages[-1].complete)
        if case.resets:
            client.reset()
        else:
            client.leave()
        lines += await self._rest()
        lines += self._traces()
        self.shop.hang_up()
        await self._moment()
        return Outcome(tuple(lines), tuple(shapes))

    def _traces(self) -> list[str]:
        """What the shop, the log and the counters know of the case."""
        before, self._counted = self._counted, self._counts()
        return [
            *(f"shop: {line}" for each in self.shop.requests for line in self._text(each)),
            *(f"error: {record.getMessage()}" for record in self._errors.records),
            *(_entry_line(kind, entry) for kind, entry in self._entries),
            *(
                f"counted: {name} {count - before[name]:+}"
                for name, count in self._counted.items()
                if count != before[name]
            ),
        ]

    async def _connect(self, listener: str, methods: Sequence[bytes] = ()) -> Client:
        taking = self.listeners[listener]
        accepted = taking.accepted
        host, _, port = taking.address.rpartition(":")
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: Client(self.shop, methods), host, int(port)
        )
        while taking.accepted == accepted:
            await asyncio.sleep(0)
        return client

    async def _moment(self) -> None:
        for _ in range(TURNS_TO_READ):
            await asyncio.sleep(0)

    async def _consequences(self, client: Client, expected: Shape | None, watch: float) -> None:
        if expected is not None and await self._until(client, expected):
            return
        shop, began, last = self.shop, time.monotonic(), -1
        while shop.activity != last or time.monotonic() - began < watch:
            last = shop.activity
            await asyncio.sleep(QUIET)
            while shop.activity == last and self._is_busy():
                await asyncio.sleep(QUIET)
                if time.monotonic() - began > LONGEST_WORK:
                    return

    async def _until(self, client: Client, expected: Shape) -> bool:
        """Wait until as much has happened as `expected`: False when it does not."""
        last, ends_at = -1, 0.0
        while True:
            if self.shop.activity != last:
                if self._shape(client) == expected:
                    await self._moment()
                    return True
                last, ends_at = self.shop.activity, time.monotonic() + LONGEST_PAUSE
            elif time.monotonic() > ends_at:
                return False
            await asyncio.sleep(0)

    async def _rest(self) -> list[str]:
        """Wait until nothing is under way that was not before the case; what is all the same."""
        ends_at = time.monotonic() + LONGEST_LEAVE
        while self._gauges() != self._at_rest and self._at_rest:
            await asyncio.sleep(0)
            if time.monotonic() > ends_at:
                held = f"(not given back: {self._gauges()} after {self._at_rest})"
                self._at_rest = self._gauges()
                return [held]
        return []

    # ----------------------------------------------------------------- readings

    def _shape(self, client: Client) -> Shape:
        messages, requests = client.messages(), self.shop.requests
        # A complete message counts twice, so that one differs from its beginning.
        return Shape(
            sum(1 + each.complete for each in messages),
            sum(1 + each.complete for each in requests),
            sum(len(each.body) for each in (*messages, *requests)),
            len(self._entries),
            bool(client.ended),
        )

    def open_on_lanes(self) -> tuple[int, int]:
        """The connections that are on the express lane now, and on the full lane."""
        listeners = self.listeners.values()
        return (
            sum(each._express.open for each in listeners),
            sum(each._full.open for each in listeners),
        )

    def _is_busy(self) -> bool:
        now, rest = self._gauges(), self._at_rest
        return any(now[each] > rest.get(each, 0) for each in now if each != "clients")

    def _gauges(self) -> dict[str, float]:
        """What a case raises while it is under way."""
        readings = self._readings
        return {
            "clients": sum(each.connections for each in readings.listeners()),
            "requests": sum(counters.in_flight for _, counters in readings.routes()),
            "upstream": sum(each.in_use for each in readings.upstreams()),
            "permits": sum(each.in_flight or 0 for each in readings.limits()),
            "waiting": sum(each.waiting or 0 for each in readings.limits()),
        }

    def _counts(self) -> dict[str, float]:
        """All counters but durations, of which the number is compared."""
        counts: dict[str, float] = {}
        for name, route in self._readings.routes():
            for reason in route.refused:
                counts[f"{name} refused {reason}"] = route.refused[reason]
                counts[f"{name} failed {reason}"] = route.failed[reason]
            for status_class, number in enumerate(route.responses):
                counts[f"{name} {status_class}xx"] = number
            counts[f"{name} forwarded"] = route.forwarded
            counts[f"{name} abandoned"] = route.abandoned
            counts[f"{name} stored"] = route.stored
            counts[f"{name} last good"] = route.last_good
            counts[f"{name} durations"] = sum(route.duration.counts)
            counts[f"{name} durations of refusals"] = sum(route.refusal_duration.counts)
            counts[f"{name} own shares"] = sum(route.own_share.counts)
            counts[f"{name} queue waits"] = sum(route.queue_wait.counts)
        for limit in self._readings.limits():
            counts[f"limit {limit.name} admitted"] = limit.counters.admitted
            counts[f"limit {limit.name} refused"] = limit.counters.refused
            counts[f"limit {limit.name} would refuse"] = limit.counters.shadow_refused
        for upstream in self._readings.upstreams():
            for reason, number in upstream.failures.items():
                counts[f"upstream {upstream.name} {reason}"] = number
        for each in self._readings.listeners():
            counts[f"listener {each.name} accepted"] = each.accepted
        return counts

    def _text(self, message: Message) -> list[str]:
        """`message` without what differs between any two runs: times, the shop's port."""
        lines = tuple(_timeless(line) for line in message.lines)
        plain = Message(
            message.start, lines, _timeless(message.body), message.trailers, message.complete
        )
        return [line.replace(f":{self.shop.port}", ":SHOP") for line in plain.text()]


def _timeless(line: bytes) -> bytes:
    """Without the present: a date of now, and seconds until a rate of one in an hour admits."""
    date = _DATE.fullmatch(line)
    if date and abs(parsedate_to_datetime(date[1].decode()).timestamp() - time.time()) < 60:
        return b"Date: (now)"
    return _COUNTDOWN.sub(b"(seconds)", line)


def _entry_line(kind: Kind, entry: Entry) -> str:
    verdict, completion = entry.verdict, entry.completion
    words = {
        "listener": verdict.guard.listener,
        "route": verdict.guard.route,
        "limit": verdict.limit.name if verdict.limit else "",
        "refused": verdict.reason or "",
        "failed": completion.reason or "",
        "status": completion.status,
        "request": f"{entry.head.method!r} {entry.head.target!r}" if entry.head else "none",
        "client": entry.client,
        "in": entry.bytes_in,
        "out": entry.bytes_out,
        "detail": entry.detail,
    }
    return f"log: {kind} " + " ".join(f"{name}={value}" for name, value in words.items())
