"""An upstream with several endpoints: each is an `Upstream` with connections of its own."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic

from proxy.lanes.errors import ServerFailedError, UpstreamError
from proxy.lanes.full_upstream import Upstream, tls_context
from proxy.lanes.resolving import Resolution
from proxy.policy.counters import UpstreamCounters
from proxy.policy.endpoint_health import EndpointHealth
from proxy.policy.endpoint_spec import BalanceSpec, Place
from proxy.policy.endpoints import Endpoints
from proxy.policy.outcome import FAILURE, SUCCESS, of_answer, of_silence
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import UpstreamSpec
from proxy.wire.authority import named
from proxy.wire.response_head import ResponseHead

log = logging.getLogger(__name__)


class EndpointUpstream(Upstream):
    """One endpoint: what an `Upstream` is told of its exchanges goes into its record, too."""

    def __init__(
        self, group: "BalancedUpstream", spec: UpstreamSpec, place: Place, now: float
    ) -> None:
        super().__init__(spec, group.loop, tls=group.tls)
        self.place = place
        # Why it was ejected last.
        self.why = ""
        self.health = EndpointHealth(now)
        # What goes wrong with one of them, and how quick it is, is the upstream's as a whole.
        self.counters, self.failures = group.counters, group.failures
        self.title = f"{spec.name} ({place})"
        self._group = group

    def another(self, error: UpstreamError, now: float) -> Upstream | None:
        """See `Upstream`."""
        other = self._group.endpoints.choose(now, self)
        if other is not None:
            self._group.endpoint_failed(self, error, now)
        return other

    def failed(self, error: UpstreamError, now: float, status: int = 0) -> None:
        """See `Upstream`."""
        super().failed(error, now, status)
        if isinstance(error, ServerFailedError):
            return  # which `answered` has counted
        failures = self._group.spec.failures
        if of_silence(error.reason, failures) is FAILURE and (
            not status or of_answer(status, failures) is SUCCESS
        ):
            self._group.endpoint_failed(self, error, now, answered=bool(status))

    def answered(self, head: ResponseHead, wait: float, now: float) -> None:
        """See `Upstream`."""
        super().answered(head, wait, now)
        outcome = of_answer(head.status, self._group.spec.failures)
        if outcome is SUCCESS:
            if self._group.endpoints.succeeded(self, now):
                log.info("upstream %s is back", self.title)
        elif outcome is FAILURE or _is_no_refusal(head):
            self._group.endpoint_failed(self, f"answered {head.status}", now)


class BalancedUpstream:
    """The endpoints of one upstream. Its counters are theirs together; `connects` counts those of
    endpoints that are gone, too.

    `places` are where they are at first; `follow` keeps them up to date, where the rules want it.
    """

    def __init__(
        self,
        spec: UpstreamSpec,
        places: Sequence[Place],
        loop: asyncio.AbstractEventLoop,
        draw: Callable[[], float],
    ) -> None:
        self.spec = spec
        self.loop = loop
        self.tls = tls_context(spec.tls)
        self.counters = UpstreamCounters()
        self.failures = dict.fromkeys((Reason.UPSTREAM_ERROR, Reason.UPSTREAM_TIMEOUT), 0)
        self._connects_of_gone = 0
        self._most: int | None = None
        self._resolution: Resolution | None = None
        self._resolving: asyncio.Task[None] | None = None
        balance = _balance(spec)
        made = [self._endpoint(place) for place in places]
        self.endpoints: Endpoints[EndpointUpstream] = Endpoints(balance.ejection, made, draw)
        if balance.resolve is not None:
            self._resolution = Resolution(
                spec.name, (spec.host, spec.port), balance.resolve, self._put
            )

    def follow(self, again_in: float) -> None:
        """Has the name looked up again and again, for the first time in so many seconds."""
        if self._resolution is not None and self._resolving is None:
            self._resolving = self.loop.create_task(self._resolution.run(again_in))

    def _endpoint(self, place: Place) -> EndpointUpstream:
        spec, tls = self.spec, self.spec.tls
        looked_up = _balance(spec).resolve is not None
        if tls is not None and looked_up:
            # The certificate is the name's, not the address's that it has just now.
            tls = replace(tls, server_name=tls.server_name or spec.host)
        made = EndpointUpstream(
            self,
            replace(spec, host=place.host, port=place.port, unix_path=place.unix_path, tls=tls),
            place,
            monotonic(),
        )
        if looked_up:
            made.authority = named(spec.host, spec.port, tls=tls is not None)
        return made

    # ---------------------------------------------------------------- exchanges

    def endpoint(self, now: float) -> Upstream:
        """Where the next request goes. `now` is monotonic seconds, here and there."""
        return self.endpoints.choose(now) or self.endpoints.all[0]

    def endpoint_failed(
        self,
        endpoint: EndpointUpstream,
        why: UpstreamError | str,
        now: float,
        *,
        answered: bool = False,
    ) -> None:
        """It did not answer a request, or `answered` it and broke off, or could not be reached."""
        seconds = self.endpoints.failed(endpoint, now, answered=answered)
        if seconds:
            endpoint.why = str(why)
            log.warning("upstream %s gets no requests for %g s: %s", endpoint.title, seconds, why)

    # ------------------------------------------------------------------ changes

    def can_become(self, spec: UpstreamSpec) -> bool:
        """Whether `adopt` can put `spec` into force: whatever its connections depend on is the
        same, but which endpoints there are.
        """
        mine, old, new = self.spec, self.spec.balance, spec.balance
        if old is None or new is None or (mine.tls, mine.timeouts) != (spec.tls, spec.timeouts):
            return False
        if old.resolve is None or new.resolve is None:
            return old.resolve is new.resolve
        same_name = (mine.host, mine.port) == (spec.host, spec.port)
        return same_name and old.resolve.nameserver == new.resolve.nameserver

    def adopt(self, spec: UpstreamSpec) -> None:
        """New rules: endpoints that are in both keep their connections and their record."""
        self.spec = spec
        balance = _balance(spec)
        if self._resolution is not None and balance.resolve is not None:
            self._resolution.spec = balance.resolve
            self._put(tuple(each.place for each in self.endpoints.all))
        else:
            self._put(balance.endpoints)

    def limit_connections(self, most: int | None) -> None:
        """No endpoint has more connections than that, resting ones included; see `Upstream`."""
        self._most = most
        for each in self.endpoints.all:
            each.limit_connections(most)

    def _put(self, places: Sequence[Place]) -> None:
        old = {each.place: each for each in self.endpoints.all}
        new = [old.get(place) or self._endpoint(place) for place in places]
        for each in new:
            each.limit_connections(self._most)
        self.endpoints.put(_balance(self.spec).ejection, new)
        for gone in old.keys() - set(places):
            self._connects_of_gone += old[gone].connects
            old[gone].retire()

    def retire(self) -> None:
        """No longer in the rules: its endpoints close once nothing uses them."""
        self._end_resolving()
        for each in self.endpoints.all:
            each.retire()

    async def close(self) -> None:
        """Closes all connections."""
        self._end_resolving()
        for each in self.endpoints.all:
            await each.close()

    def _end_resolving(self) -> None:
        if self._resolving is not None:
            self._resolving.cancel()
            self._resolving = None

    # ------------------------------------------------------------------ reading

    @property
    def in_use(self) -> int:
        """See `Upstream`."""
        return sum(each.in_use for each in self.endpoints.all)

    @property
    def idle(self) -> int:
        """See `Upstream`."""
        return sum(each.idle for each in self.endpoints.all)

    @property
    def connects(self) -> int:
        """See `Upstream`."""
        return self._connects_of_gone + sum(each.connects for each in self.endpoints.all)


def _balance(spec: UpstreamSpec) -> BalanceSpec:
    assert spec.balance is not None  # noqa: S101 - what makes it one of these
    return spec.balance


def _is_no_refusal(head: ResponseHead) -> bool:
    """Whether a 503 does not tell when to come back (RFC 9110 section 10.2.3), as one that refuses
    on purpose does: so say gateways before an endpoint that is not there. It is quick, looks idle,
    and would get ever more.
    """
    return head.status == 503 and not any(name.lower() == b"retry-after" for name, _ in head.fields)
