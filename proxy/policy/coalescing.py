"""Many requests for the same thing, of which one at a time asks the shop."""

from collections.abc import Callable
from typing import Final

from proxy.policy.keeping import Lookup
from proxy.policy.reasons import Reason
from proxy.policy.stored_response import StoredResponse
from proxy.policy.verdict import FORWARD, SERVE, WAIT, Flight, Verdict, Waiting

LONGEST_FOLLOW: Final = 5.0
"""Seconds that a request waits for another's answer before it goes on by itself: the default of
nginx's proxy_cache_lock_timeout."""

MOST_FOLLOWERS: Final = 10_000
"""Requests that wait for one answer; further ones go on by themselves."""

UNSHARED_FOR: Final = 10.0
"""Seconds for which requests go on by themselves where answers turned out to be nobody else's
(Varnish's hit-for-miss, with 120): once in so long is often enough to find out anew."""

MOST_UNSHARED: Final = 4096
"""Keys that are remembered for it, in each of two generations."""


class Coalescing:
    """The flights of one process: at most one for a key.

    Who leads one is decided about as any other request. Who follows has taken nothing: no token,
    no permit. When the leader's answer is there and may be stored, all followers get it. When the
    shop fails it, all get the last good answer that its client got. When it fails without one, or
    its client leaves, or it is refused, the next in line leads: nobody fails for another's sake. So
    does who has waited for too long, for all who come after. An answer that may
    not be stored (somebody's own, or an error that a strange request provoked) leads to the next,
    too; a second one in a row sends all on their own ways, and whoever comes for a while.
    """

    __slots__ = ("_flights", "_older", "_unshared")

    def __init__(self) -> None:
        self._flights: dict[bytes, Flight] = {}
        # When requests for a key may be one again; 0.0 after the first answer that was not shared.
        self._unshared: dict[bytes, float] = {}
        self._older: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def serves(
        self, verdict: Verdict, lookup: Lookup, now: float, wake: Callable[[], None]
    ) -> bool:
        """Whether a fresh response, or another request's answer, makes asking the shop needless:
        `verdict` is to serve, or to wait.
        """
        spec = lookup.keeping.spec
        if not spec.ttl or lookup.personal:
            return False
        fresh = lookup.fresh(now)
        if fresh is None:
            return spec.coalesce and self._joins(verdict, lookup, now, wake)
        lookup.served = fresh
        verdict.state = SERVE
        return True

    def leave(self, verdict: Verdict, waiting: Waiting, now: float) -> Lookup | None:
        """A follower waits no longer: `verdict` serves what has come, or else its lookup is
        returned, for it to be decided about as one of its own.
        """
        lookup, flight = verdict.lookup, waiting.flight
        if lookup is None or flight is None:
            raise AssertionError("only verdicts with a lookup follow")
        flight.followers.pop(verdict, None)
        waiting.flight = None
        verdict.waiting = None
        verdict.waited = now - verdict.decided_at
        # Whoever brought it: who waited for too long for one answer need not ask for another.
        fresh = lookup.fresh(now)
        response = flight.response
        if fresh is None and response is not None:
            # Of a slow one the time to live may have passed, but for these it has just come.
            found = lookup.keeping.store.find(lookup.key, lookup.request)
            fresh = response if found is response else None
        if fresh is not None:
            lookup.served = fresh
            lookup.collapsed = fresh is response
            verdict.state = SERVE
            return None
        failed = flight.failed
        if failed is not None and (last_good := lookup.last_good(now)) is not None:
            lookup.served = last_good
            lookup.stands_in = True
            lookup.because = failed
            verdict.state = SERVE
            return None
        self._leads_on(lookup, flight, now)
        verdict.state = FORWARD
        return lookup

    def _leads_on(self, lookup: Lookup, flight: Flight, now: float) -> None:
        """A follower asks the shop: it leads, if it is the heir or its leader had its time. Others
        then wait for an answer that is as late as theirs would be, not for one that never comes.
        """
        if lookup.leads:
            flight.late_at = now + LONGEST_FOLLOW
        elif (
            lookup.keepable
            and now >= flight.late_at
            and self._flights.get(lookup.full_key) is flight
        ):
            flight.leader.leads = False
            flight.leader = lookup
            flight.late_at = now + LONGEST_FOLLOW
            lookup.leads = True

    def _joins(
        self, verdict: Verdict, lookup: Lookup, now: float, wake: Callable[[], None]
    ) -> bool:
        """Whether the request waits for another's answer. If not it may lead: see `leads`."""
        key = lookup.keeping.store.full_key(lookup.key, lookup.request)
        if self._known(key) > now:
            return False
        flight = self._flights.get(key)
        if flight is None:
            if lookup.keepable:
                lookup.leads = True
                lookup.full_key = key
                self._flights[key] = Flight(lookup, now + LONGEST_FOLLOW)
            return False
        if len(flight.followers) >= MOST_FOLLOWERS:
            return False
        waiting = verdict.waiting = Waiting((), (), now + LONGEST_FOLLOW, wake)
        waiting.flight = flight
        verdict.state = WAIT
        lookup.full_key = key
        flight.followers[verdict] = None
        leader = flight.leader
        when_followed = leader.when_followed
        if when_followed is not None:
            leader.when_followed = None
            when_followed()
        return True

    def is_followed(self, lookup: Lookup) -> bool:
        """Whether others wait for its answer now."""
        return lookup.leads and len(self._flights[lookup.full_key].followers) > 0

    def keep(self, lookup: Lookup, response: StoredResponse) -> bytes:
        """Stores the answer to a request that was forwarded; the whole key that it has there."""
        full_key = lookup.keep(response)
        if lookup.leads:
            self._unshared.pop(lookup.full_key, None)
            self._older.pop(lookup.full_key, None)
            self._end(lookup, response)
        return full_key

    def not_kept(self, lookup: Lookup, now: float) -> None:
        """The answer to a request that was forwarded is not for others."""
        if not lookup.leads:
            return
        key = lookup.full_key
        before = self._known(key)
        if len(self._unshared) >= MOST_UNSHARED:
            self._older, self._unshared = self._unshared, {}
        if before < 0.0:
            self._unshared[key] = 0.0
            self.hand_on(lookup)
        else:
            self._unshared[key] = now + UNSHARED_FOR
            self._end(lookup, None)

    def end(self, lookup: Lookup, failed: Reason | None) -> None:
        """The request that leads has ended, before its answer was of use to others. Where the shop
        `failed` it, and it got the last good answer, so do all.
        """
        if failed is None or not lookup.stands_in:
            self.hand_on(lookup)
        else:
            self._flights[lookup.full_key].failed = failed
            self._end(lookup, None)

    def hand_on(self, lookup: Lookup) -> None:
        """The request that leads does so no longer: the next one does, if it may."""
        lookup.leads = False
        flight = self._flights[lookup.full_key]
        while flight.followers:
            verdict, _ = flight.followers.popitem(last=False)
            heir = verdict.lookup
            leads = heir is not None and heir.keepable
            if heir is not None and leads:
                heir.leads = True
                flight.leader = heir
            _wake(verdict)
            if leads:
                return
        del self._flights[lookup.full_key]

    def _end(self, lookup: Lookup, response: StoredResponse | None) -> None:
        lookup.leads = False
        flight = self._flights.pop(lookup.full_key)
        flight.response = response
        while flight.followers:
            _wake(flight.followers.popitem(last=False)[0])

    def _known(self, key: bytes) -> float:
        known = self._unshared.get(key)
        if known is None:
            known = self._older.get(key, -1.0)
        return known


def _wake(verdict: Verdict) -> None:
    """Its time has come: the lane calls `Engine.resume`."""
    waiting = verdict.waiting
    if waiting is None:
        raise AssertionError("only waiting verdicts follow")
    waiting.until = 0.0
    waiting.wake()
