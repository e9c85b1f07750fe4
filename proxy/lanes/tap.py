"""Keeps a response while it is relayed."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.policy.keeping import Lookup
from proxy.wire.cache_control import Terms, response_of, terms
from proxy.wire.response_head import Framing, ResponseHead

if TYPE_CHECKING:
    from proxy.lanes.services import Services

Wake = Callable[[], object]

GONE = frozenset({404, 410})
"""What the shop says of something that it has taken away, whatever was kept of it."""

COLLECTED_SHARE = 4
"""What is collected takes at most a quarter of what is kept, on top of that. So does what is read
ahead of clients that do not take it, for others that wait for the same."""


class Taps:
    """All taps that collect now. When they hold too much the one that began first gives up: the
    shop's answers take milliseconds, unless their clients read slowly, which may be on purpose.
    """

    def __init__(self) -> None:
        self._taps: OrderedDict[Tap, None] = OrderedDict()
        self.bytes = 0
        self.ahead_bytes = 0

    def __len__(self) -> int:
        return len(self._taps)

    def add(self, tap: "Tap") -> None:
        """`tap` begins."""
        self._taps[tap] = None

    def grow(self, size: int, most_bytes: int) -> None:
        """One holds so many bytes more; together they may hold `most_bytes`."""
        self.bytes += size
        while self.bytes > most_bytes:
            next(iter(self._taps)).give_up()

    def remove(self, tap: "Tap", size: int) -> None:
        """`tap` holds nothing any more, of the `size` bytes that it held."""
        del self._taps[tap]
        self.bytes -= size

    def lend(self, size: int, most_bytes: int) -> bool:
        """Whether one may read so many bytes more ahead of its client; together `most_bytes`."""
        if self.ahead_bytes + size > most_bytes:
            return False
        self.ahead_bytes += size
        return True


class Tap:
    """Collects the body of one response, until it is complete or too large. `end` it with the
    exchange.
    """

    def __init__(
        self,
        services: "Services",
        lookup: Lookup,
        head: ResponseHead,
        agreed: Terms,
        arrived_at: float,
    ) -> None:
        self._services = services
        self._lookup = lookup
        self._head = head
        self._agreed = agreed
        # With the head: what a slow body takes makes it older (RFC 9111 section 4.2.3).
        self._arrived_at = arrived_at
        self._size = 0
        self._pieces: list[bytes] = []
        self._date = services.date()
        self._over = False
        self._ahead = 0
        services.taps.add(self)

    def runs_ahead(self, transport: asyncio.WriteTransport, when_followed: Wake) -> bool:
        """Whether more of the response is to be read, though its own client, on `transport`, takes
        it more slowly: while others wait for it. Without them `when_followed` is called once when
        one comes. Where too much is unsent already they wait for another response.
        """
        if self._over:
            return False
        services, lookup = self._services, self._lookup
        if not services.engine.coalescing.is_followed(lookup):
            # From within the decision about the one that comes.
            loop = services.upstreams.loop
            lookup.when_followed = lambda: loop.call_soon(when_followed)
            return False
        unsent = transport.get_write_buffer_size()
        most = services.engine.rules.stored.spec.memory_bytes // COLLECTED_SHARE
        if services.taps.lend(unsent - self._ahead, most):
            self._ahead = unsent
            return True
        self.give_up()
        return False

    def take(self, data: bytes, now: float, *, complete: bool) -> "Tap | None":
        """Takes more of the body; what takes the rest of it or is to be ended, None when nothing
        does, or is.
        """
        if self._over:
            return self._rest()
        services, lookup = self._services, self._lookup
        spec = services.engine.rules.stored.spec
        if self._size + len(data) > spec.largest_bytes:
            self._end()
            services.engine.coalescing.not_kept(lookup, now)
            return self._rest()
        self._size += len(data)
        self._pieces.append(data)
        if not complete:
            services.taps.grow(len(data), spec.memory_bytes // COLLECTED_SHARE)
            return self._rest()
        body = b"".join(self._pieces)
        self._size -= len(data)
        self._end()
        response = response_of(
            self._head, body, self._agreed, arrived_at=self._arrived_at, date=self._date
        )
        full_key = services.engine.coalescing.keep(lookup, response)
        if services.shelf is not None:
            services.shelf.put(lookup.key, full_key, response)
        return self._rest()

    def give_up(self) -> None:
        """Collects no more. Who waits for the response waits for another."""
        if not self._over:
            self._end()
            if self._lookup.leads:
                self._services.engine.coalescing.hand_on(self._lookup)

    def end(self) -> None:
        """The exchange is over: nothing more comes, nor is anything unsent."""
        self.give_up()
        self._services.taps.ahead_bytes -= self._ahead
        self._ahead = 0

    def _rest(self) -> "Tap | None":
        return None if self._over and not self._ahead else self

    def _end(self) -> None:
        self._over = True
        self._pieces = []
        self._lookup.when_followed = None
        self._services.taps.remove(self, self._size)


def tap_on(
    services: "Services",
    lookup: Lookup,
    head: ResponseHead,
    framing: Framing,
    data: bytes,
    now: float,
    *,
    delay: float,
    complete: bool,
) -> Tap | None:
    """What takes the rest of the body of a response that begins with `head` and `data`; None when
    nothing does.

    `delay` are the seconds from the request to the head. A body that its connection's end ends is
    not kept: nobody can tell whether it is complete.
    """
    if lookup.keepable and head.status in GONE:
        full_key = lookup.drop()
        if services.shelf is not None:
            services.shelf.drop(full_key)
    most = services.engine.rules.stored.spec.largest_bytes
    agreed: Terms | None = None
    if (
        lookup.wants(now)
        and (framing is Framing.LENGTH or framing is Framing.CHUNKED)
        and (head.length is None or head.length <= most)
    ):
        agreed = terms(head, delay=delay, wall=services.wall())
    if agreed is None or agreed.fresh_for <= 0.0:
        # Those who wait for this answer need wait no longer.
        services.engine.coalescing.not_kept(lookup, now)
        if agreed is None or lookup.keeping.spec.last_good_for is None:
            return None
    return Tap(services, lookup, head, agreed, now).take(data, now, complete=complete)
