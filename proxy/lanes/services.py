"""What every lane works with, put together by the composition root."""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from time import time
from types import MappingProxyType
from typing import Protocol

from proxy.lanes.balanced_upstream import BalancedUpstream
from proxy.lanes.deadlines import DeadlineWheel
from proxy.lanes.full_upstream import Upstream
from proxy.lanes.resolving import Found
from proxy.lanes.tap import Taps
from proxy.policy.engine import Engine
from proxy.policy.outcome import USUAL_FAILURES
from proxy.policy.snapshot import ListenerSpec, UpstreamSpec
from proxy.policy.stored_response import StoredResponse
from proxy.policy.verdict import Completion, Kind, Verdict
from proxy.wire.answer import http_date
from proxy.wire.prepared import PreparedAnswers
from proxy.wire.request_head import RequestHead


@dataclass(slots=True)
class Entry:
    """One exchange, for the access log. `head` is None when none could be read.

    `client` is the client's address, behind trusted proxies too; `upstream_wait` the seconds from
    the request's last byte to the response's head; `detail` says what went wrong.
    """

    verdict: Verdict
    completion: Completion
    head: RequestHead | None
    client: str
    upstream_wait: float
    bytes_in: int
    bytes_out: int
    detail: str


class ExchangeLog(Protocol):
    """Where exchanges are written down."""

    def wants(self, kind: Kind, now: float) -> bool:
        """Whether the next exchange is to be written: asked before an entry is made."""

    def write(self, entry: Entry) -> None:
        """Writes it down. Never waits."""


class Shelf(Protocol):
    """Where stored responses outlive the process."""

    errors: int
    """Those that could not be kept."""

    def put(self, key: bytes, full_key: bytes, response: StoredResponse) -> None:
        """Keeps a response: see `StoredResponses.put`. Never waits."""

    def drop(self, full_key: bytes) -> None:
        """Forgets it. Never waits."""


AnyUpstream = Upstream | BalancedUpstream

_NOTHING: Mapping[str, Found] = MappingProxyType({})


class Upstreams:
    """The upstreams in force, by name."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._by_name: dict[str, AnyUpstream] = {}

    def __getitem__(self, name: str) -> AnyUpstream:
        return self._by_name[name]

    def __iter__(self) -> Iterator[AnyUpstream]:
        return iter(self._by_name.values())

    def unresolved(self, specs: Iterable[UpstreamSpec]) -> Iterator[UpstreamSpec]:
        """Those whose names `swap` must be told the places of."""
        for spec in specs:
            old = self._by_name.get(spec.name)
            kept = isinstance(old, BalancedUpstream) and old.can_become(spec)
            if spec.balance is not None and spec.balance.resolve is not None and not kept:
                yield spec

    def swap(self, specs: Iterable[UpstreamSpec], found: Mapping[str, Found] = _NOTHING) -> None:
        """Puts `specs` into force: an unchanged upstream keeps its connections, others end theirs
        when the exchanges on them are over. `found` are the places of those that are `unresolved`,
        by name. Raises OSError for a `ca_file` that can't be used; nothing has changed then.
        """
        specs = tuple(specs)
        new: dict[str, AnyUpstream] = {}
        adopting: list[tuple[BalancedUpstream, UpstreamSpec]] = []
        for spec in specs:
            old = self._by_name.get(spec.name)
            if isinstance(old, BalancedUpstream):
                keeps = old.can_become(spec)
                if keeps:
                    adopting.append((old, spec))
            else:
                keeps = old is not None and _without_policy(old.spec) == _without_policy(spec)
            new[spec.name] = old if old is not None and keeps else self._made(spec, found)
        for spec in specs:
            new[spec.name].limit_connections(None if spec.pool is None else spec.pool.concurrency)
        for name, upstream in self._by_name.items():
            if new.get(name) is not upstream:
                upstream.retire()
        for balanced, spec in adopting:
            balanced.adopt(spec)
        for name, each in found.items():
            followed = new[name]
            if isinstance(followed, BalancedUpstream):
                followed.follow(each.again_in)
        self._by_name = new

    def _made(self, spec: UpstreamSpec, found: Mapping[str, Found]) -> AnyUpstream:
        if spec.balance is None:
            return Upstream(spec, self.loop)
        places = spec.balance.endpoints or found[spec.name].places
        return BalancedUpstream(spec, places, self.loop, random.random)

    async def close(self) -> None:
        """Closes all connections of all upstreams."""
        for upstream in self._by_name.values():
            await upstream.close()


def _without_policy(spec: UpstreamSpec) -> UpstreamSpec:
    """What a connection depends on: not which requests policy lets through, or how often."""
    return replace(
        spec,
        adaptive_concurrency=None,
        pool=None,
        breaker=None,
        throttle=None,
        advice=None,
        failures=USUAL_FAILURES,
        retry=None,
    )


class Services:
    """What every lane works with.

    `connections` are the clients' that are open, of all lanes; at most `most_connections` are let
    in, which the composition root keeps up to date. `shelf` is None when there is none. The Unix
    time is what `wall` says.
    """

    def __init__(
        self,
        engine: Engine,
        upstreams: Upstreams,
        log: ExchangeLog,
        wall: Callable[[], float] = time,
    ) -> None:
        self.engine = engine
        self.upstreams = upstreams
        self.log = log
        # Asked about every request: found once.
        self.wants = log.wants
        self.wall = wall
        self.shelf: Shelf | None = None
        self.taps = Taps()
        self.connections = 0
        self.most_connections = engine.rules.snapshot.server.max_connections
        self.prepared = PreparedAnswers()
        self.deadlines = DeadlineWheel(upstreams.loop)
        self._none_left: asyncio.Future[None] | None = None
        self._date_of = 0
        self._date = b""

    @property
    def express(self) -> bool:
        """Whether new connections begin on the express lane, by the rules of now."""
        return self.engine.rules.snapshot.server.express

    def listener(self, name: str) -> ListenerSpec:
        """The rules of now for a listener. It exists: a reload can't take one away."""
        return self.engine.rules.listeners[name]

    def opened(self) -> None:
        """A lane has let a connection in."""
        self.connections += 1

    def closed(self) -> None:
        """A connection that was let in has ended."""
        self.connections -= 1
        if not self.connections and self._none_left is not None and not self._none_left.done():
            self._none_left.set_result(None)

    async def all_closed(self) -> None:
        """Until no connection is open."""
        if self.connections:
            self._none_left = asyncio.get_running_loop().create_future()
            await self._none_left

    def date(self) -> bytes:
        """The value of a `Date` field, made once a second."""
        second = int(self.wall())
        if second != self._date_of:
            self._date_of, self._date = second, http_date(second)
        return self._date
