"""Decides about requests and settles what was decided."""

from collections.abc import Callable, Iterator
from math import ceil

from proxy.policy.answers import Answer
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.counters import RouteCounters
from proxy.policy.guard import AnyLimit, Guard, LiveLimit
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.reasons import Reason
from proxy.policy.request import Request
from proxy.policy.routes import RouteTable
from proxy.policy.snapshot import (
    ConcurrencySpec,
    LimitSpec,
    ListenerSpec,
    PaceSpec,
    RateSpec,
    RouteSpec,
    Snapshot,
)
from proxy.policy.verdict import Completion, Permit, State, Verdict

UNMATCHED = "unmatched"
"""The route name of requests that no route takes: they are forwarded."""

BUILD_STEP = 20
"""Routes built between two yields of `Engine.build`: well under a millisecond's work."""


class Rules:
    """A snapshot and what was built for it: replaced as a whole, never changed."""

    __slots__ = ("guards", "limits", "listeners", "routes", "snapshot", "table", "unmatched")

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.table = RouteTable()
        self.listeners = {listener.name: listener for listener in snapshot.listeners}
        self.limits: dict[str, AnyLimit] = {}
        self.routes: dict[str, RouteCounters] = {}
        self.guards: dict[str, list[Guard]] = {}
        self.unmatched: dict[str, Guard] = {}

    def find(self, listener: str, request: Request, path: str) -> tuple[Guard, dict[str, str]]:
        """What holds for `request` on `listener` if this is its path, and the path's parameters."""
        found = self.table.find(request.method, request.host, path)
        if found is None:
            return self.unmatched[listener], {}
        return self.guards[listener][found[0]], found[1]


class Engine:
    """All decisions of one process.

    `jitter` returns a number in [0, 1) and spreads `Retry-After`. Not thread-safe: it belongs to
    one event loop.
    """

    def __init__(self, snapshot: Snapshot, now: float, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self.draining = False
        self.rules = Rules(Snapshot((), {}))
        *_, rules = self.build(snapshot)
        self.swap(rules, now)

    # ------------------------------------------------------------------ rules

    def build(self, snapshot: Snapshot) -> Iterator[Rules]:
        """Prepares `snapshot` for `swap`, in steps: what they yield is complete after the last.

        Between steps the caller may go on with other work; nothing is in force before `swap`.
        A limit keeps its state when its name, kind and `per` stay.
        """
        rules = Rules(snapshot)
        for count, route in enumerate(snapshot.routes):
            rules.table.add(route)
            if count % BUILD_STEP == 0:
                yield rules
        for count, (name, spec) in enumerate(snapshot.limits.items()):
            live = self.rules.limits.get(name)
            if live is None or not _keeps_state(live.limiter.spec, spec):
                live = _new_limit(spec)
            rules.limits[name] = live
            if count % BUILD_STEP == 0:
                yield rules
        names = (UNMATCHED, *(route.name for route in snapshot.routes))
        for count, name in enumerate(names):
            rules.routes[name] = self.rules.routes.get(name) or RouteCounters()
            if count % BUILD_STEP == 0:
                yield rules
        unmatched = RouteSpec(UNMATCHED, "/**", answers=snapshot.answers)
        for listener in snapshot.listeners:
            rules.unmatched[listener.name] = _guard(rules, listener, unmatched)
            guards = rules.guards[listener.name] = []
            for count, route in enumerate(snapshot.routes):
                guards.append(_guard(rules, listener, route))
                if count % BUILD_STEP == 0:
                    yield rules
        yield rules

    def swap(self, rules: Rules, now: float) -> None:
        """Puts `rules` into force, for all requests to come, at once.

        Waiters that fit under a raised limit are admitted before it returns.
        """
        self.rules = rules
        for name, live in rules.limits.items():
            spec = rules.snapshot.limits[name]
            if live.limiter.spec == spec:
                continue
            match live.limiter, spec:
                case RateLimiter() as limiter, RateSpec():
                    limiter.reconfigure(spec, now)
                case PaceLimiter() as limiter, PaceSpec():
                    limiter.reconfigure(spec, now)
                case ConcurrencyLimiter() as limiter, ConcurrencySpec():
                    limiter.reconfigure(spec)
                    for key in limiter.keys_with_waiters():
                        self._admit_waiters(limiter, key, now)

    # --------------------------------------------------------------- requests

    def decide(
        self, listener: str, request: Request, now: float, wake: Callable[[], None]
    ) -> Verdict:
        """What is to be done with `request`, which came in on `listener`.

        The route is that of its `path`; the limits of what routes its `other_paths` have hold too.
        Every limit is asked before any is charged, so a refusal takes nothing. `wake` is called
        when a waiting verdict's `state` or `wait_until` changes: from within `settle` or `swap`.
        """
        guard, request.parameters = self.rules.find(listener, request, request.path)
        for path in request.other_paths:
            other, parameters = self.rules.find(listener, request, path)
            guard = guard.with_limits_of(other)
            request.parameters = parameters | request.parameters
        verdict = Verdict(guard, now, wake)
        if self.draining:
            return self._refuse(verdict, Reason.DRAINING, now)
        most = guard.max_body_bytes
        if most is not None and request.length is not None and request.length > most:
            return self._refuse(verdict, Reason.BODY_TOO_LARGE, now)
        return self._ask(verdict, request, now)

    def reject(self, listener: str, reason: Reason, now: float) -> Verdict:
        """The refusal of what never became a request that could be judged; settle it as well."""
        verdict = Verdict(self.rules.unmatched[listener], now, _no_one_waits)
        return self._refuse(verdict, reason, now)

    def retry_after(self, answer: Answer, wait: float = 0.0, spread: float = 0.0) -> int | None:
        """Whole seconds for `Retry-After`: `wait`, and on top a draw from the answer's range, of
        which the end is put off by `spread`.
        """
        if answer.retry_after is None:
            return None
        low, high = answer.retry_after
        return ceil(wait + low + (high + spread - low) * self._jitter())

    def resume(self, verdict: Verdict, now: float) -> None:
        """What `verdict` waited for has come: its slot, or the end of its patience in a queue."""
        if verdict.state is not State.WAIT:
            return
        if verdict.queued_in is None:
            self._admit(verdict, now)
            return
        concurrency = verdict.queued_in[0]
        self._give_back(verdict, now)
        self._refuse_by(verdict, concurrency, Reason.QUEUE_TIMEOUT, now)

    def dismiss(self, verdict: Verdict, now: float) -> None:
        """Whatever `verdict` waits for, the process ends before it comes."""
        if verdict.state is State.WAIT:
            self._give_back(verdict, now)
            self._refuse(verdict, Reason.DRAINING, now)

    def settle(self, verdict: Verdict, completion: Completion, now: float) -> None:
        """Ends `verdict`: releases its permits, or what a waiter had taken, and counts.

        Called exactly once for every verdict, on every exit. Raises AssertionError otherwise.
        """
        state, verdict.state = verdict.state, State.SETTLED
        if state is State.SETTLED:
            raise AssertionError("a verdict settles once")
        if state is State.WAIT:
            verdict.waited = now - verdict.decided_at
            self._give_back(verdict, now)
        elif state is State.FORWARD:
            verdict.guard.counters.in_flight -= 1
        for concurrency, key in verdict.holds:
            concurrency.limiter.release(key)
        for concurrency, key in verdict.holds:
            self._admit_waiters(concurrency.limiter, key, now)
        verdict.guard.counters.record(
            forwarded=state is State.FORWARD,
            reason=verdict.reason if state is State.REFUSE else completion.reason,
            status=completion.status,
            duration=completion.duration,
            own=completion.own,
            waited=verdict.waited,
        )

    # ------------------------------------------------------------------ limits

    def _ask(self, verdict: Verdict, request: Request, now: float) -> Verdict:
        """Asks all the limits, then charges all of them, or none."""
        guard = verdict.guard
        # Of several that refuse, the one with the longest wait tells the truth.
        reason: Reason | None = None
        spread = 0.0
        rates = [(rate, rate.key(request)) for rate in guard.rates]
        for rate, key in rates:
            wait = rate.limiter.check(key, now)
            if wait > 0.0:
                rate.counters.refused += 1
                spread = max(spread, rate.spread(now))
                if wait > verdict.wait:
                    reason, verdict.limit, verdict.wait = Reason.RATE, rate.limiter.spec, wait
        paces: list[tuple[LiveLimit[PaceLimiter], bytes]] = []
        start = now
        for pace in guard.paces:
            pacer, key = pace.limiter, pace.key(request)
            slot = pacer.check(key, now)
            if (wait := pacer.retry_after(slot)) > 0.0:
                pace.counters.refused += 1
                spread = max(spread, pace.spread(now))
                if wait > verdict.wait:
                    reason, verdict.limit, verdict.wait = Reason.PACE, pacer.spec, wait
            start = max(start, now + slot)
            paces.append((pace, key))
        if reason is not None:
            return self._refuse(verdict, reason, now, spread)
        for concurrency in guard.concurrencies:
            limiter, key = concurrency.limiter, concurrency.key(request)
            if not limiter.has_room(key) and not limiter.can_queue(key):
                return self._refuse_by(verdict, concurrency, Reason.CONCURRENCY, now)
            verdict.wanted.append((concurrency, key))
        verdict.shadows = [(shadow, shadow.key(request)) for shadow in guard.shadows]

        for rate, key in rates:
            rate.counters.admitted += 1
            verdict.charges.append((rate.limiter, key, rate.limiter.charge(key, now)))
        for pace, key in paces:
            pace.counters.admitted += 1
            verdict.charges.append((pace.limiter, key, pace.limiter.charge(key, now)))
        if start > now:
            verdict.state = State.WAIT
            verdict.wait_until = start
        else:
            self._admit(verdict, now)
        return verdict

    def _admit(self, verdict: Verdict, now: float, offered: Permit | None = None) -> None:
        """Takes all the permits it needs at once; or none, and a place in a queue; or refuses.

        `offered` is the one that it has waited for: it is free, though others may wait for it.
        """
        for permit in verdict.wanted:
            concurrency, key = permit
            if permit != offered and not concurrency.limiter.has_room(key):
                self._queue(verdict, concurrency, key, now)
                return
        for concurrency, key in verdict.wanted:
            concurrency.counters.admitted += 1
            concurrency.limiter.acquire(key)
        verdict.holds = verdict.wanted
        if verdict.shadows:
            _ask_shadows(verdict, now)
        verdict.guard.counters.in_flight += 1
        verdict.state = State.FORWARD
        verdict.waited = now - verdict.decided_at

    def _queue(
        self, verdict: Verdict, concurrency: LiveLimit[ConcurrencyLimiter], key: bytes, now: float
    ) -> None:
        limiter = concurrency.limiter
        if not limiter.can_queue(key):
            self._give_back(verdict, now)
            self._refuse_by(verdict, concurrency, Reason.CONCURRENCY, now)
            return
        if verdict.queued_at is None:
            verdict.queued_at = now
        verdict.state = State.WAIT
        verdict.wait_until = verdict.queued_at + limiter.spec.queue_timeout
        verdict.queued_in = (concurrency, key)
        limiter.enqueue(key, verdict, now)

    def _admit_waiters(self, limiter: ConcurrencyLimiter, key: bytes, now: float) -> None:
        """Hands free permits to who waits for them.

        A waiter takes all its permits at once or goes on to the queue of the limit that lacks
        one: nobody waits with a permit in hand, so limits shared by routes can't deadlock.
        """
        while (waiter := limiter.next_waiter(key, now)) is not None:
            if not isinstance(waiter, Verdict) or waiter.queued_in is None:
                raise AssertionError("only waiting verdicts are queued")
            offered, waiter.queued_in = waiter.queued_in, None
            if waiter.wait_until <= now:
                self._give_back(waiter, now)
                self._refuse_by(waiter, offered[0], Reason.QUEUE_TIMEOUT, now)
            else:
                self._admit(waiter, now, offered)
            waiter.wake()

    def _give_back(self, verdict: Verdict, now: float) -> None:
        """Returns what a request that was never forwarded had taken: tokens, slots, its place."""
        if verdict.queued_in is not None:
            concurrency, key = verdict.queued_in
            concurrency.limiter.remove(key, verdict)
            verdict.queued_in = None
        for limiter, key, receipt in verdict.charges:
            limiter.refund(key, receipt, now)
        verdict.charges = []

    # --------------------------------------------------------------- refusing

    def _refuse(self, verdict: Verdict, reason: Reason, now: float, spread: float = 0.0) -> Verdict:
        verdict.state = State.REFUSE
        verdict.reason = reason
        verdict.waited = now - verdict.decided_at
        answer = verdict.guard.answers[reason]
        verdict.retry_after = self.retry_after(answer, verdict.wait, spread)
        return verdict

    def _refuse_by(
        self,
        verdict: Verdict,
        concurrency: LiveLimit[ConcurrencyLimiter],
        reason: Reason,
        now: float,
    ) -> Verdict:
        concurrency.counters.refused += 1
        verdict.limit = concurrency.limiter.spec
        return self._refuse(verdict, reason, now)


def _ask_shadows(verdict: Verdict, now: float) -> None:
    """Counts what limits in shadow mode would have refused of what is forwarded.

    Each lives as if it were enforced: what it would refuse is not charged. A concurrency limit
    that has a queue is taken to hold `concurrency` + `queue`, since nobody really waits for it.
    """
    for shadow, key in verdict.shadows:
        match shadow.limiter:
            case ConcurrencyLimiter() as limiter:
                fits = limiter.in_flight_of(key) < limiter.spec.concurrency + limiter.spec.queue
                if fits:
                    limiter.acquire(key)
                    verdict.holds.append((shadow, key))
            case RateLimiter() as limiter:
                fits = limiter.check(key, now) == 0.0
                if fits:
                    limiter.charge(key, now)
            case PaceLimiter() as limiter:
                fits = limiter.retry_after(limiter.check(key, now)) == 0.0
                if fits:
                    limiter.charge(key, now)
        if fits:
            shadow.counters.admitted += 1
        else:
            shadow.counters.shadow_refused += 1


def _guard(rules: Rules, listener: ListenerSpec, route: RouteSpec) -> Guard:
    """What holds for `route` on `listener`, whose own limits come first."""
    # What is shadow is read from the new rules: a limiter has its old spec until the swap.
    specs = rules.snapshot.limits
    enforced: list[AnyLimit] = []
    shadows: list[AnyLimit] = []
    for name in dict.fromkeys((*listener.limits, *route.limits)):
        (shadows if specs[name].shadow else enforced).append(rules.limits[name])
    return Guard(
        listener.name,
        route.name,
        enforced,
        shadows,
        rules.routes[route.name],
        route.answers,
        listener.max_body_bytes if route.max_body_bytes is None else route.max_body_bytes,
    )


def _new_limit(spec: LimitSpec) -> AnyLimit:
    match spec:
        case RateSpec():
            return LiveLimit(RateLimiter(spec))
        case PaceSpec():
            return LiveLimit(PaceLimiter(spec))
        case ConcurrencySpec():
            return LiveLimit(ConcurrencyLimiter(spec))


def _keeps_state(old: LimitSpec, new: LimitSpec) -> bool:
    return type(old) is type(new) and old.per == new.per


def _no_one_waits() -> None:
    raise AssertionError("a rejected request never waits")
