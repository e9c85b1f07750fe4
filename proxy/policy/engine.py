"""Decides about requests and settles what was decided."""

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Final

from proxy.policy.answers import Answer
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.gcra import Receipt
from proxy.policy.guard import LiveLimit
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.reasons import Reason
from proxy.policy.request import NO_PARAMETERS, Request
from proxy.policy.rules import UNMATCHED, Rules, build
from proxy.policy.shadows import ask_shadows
from proxy.policy.snapshot import ConcurrencySpec, PaceSpec, RateSpec, Snapshot
from proxy.policy.verdict import (
    FORWARD,
    REFUSE,
    SETTLED,
    WAIT,
    Completion,
    Permit,
    Shadow,
    Verdict,
    Waiting,
)

__all__ = ["UNMATCHED", "Engine", "Rules"]

# As hot as the states: see `proxy.policy.verdict`.
_RATE: Final = Reason.RATE
_PACE: Final = Reason.PACE
_CONCURRENCY: Final = Reason.CONCURRENCY

_Slot = tuple[LiveLimit[PaceLimiter], bytes]
_Charged = _Slot | tuple[LiveLimit[RateLimiter], bytes]


class Engine:
    """All decisions of one process.

    `jitter` returns a number in [0, 1) and spreads `Retry-After`. Not thread-safe: it belongs to
    one event loop.

    What most requests need is kept short: what a waiting one needs besides is made when it waits.
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
        return build(snapshot, self.rules)

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
        rules = self.rules
        found = rules.table.find(request.method, request.host, request.path)
        if found is None:
            guard, request.parameters = rules.unmatched[listener], NO_PARAMETERS
        else:
            place, request.parameters = found
            guard = rules.guards[listener][place]
        if request.other_paths:
            guard = rules.with_other_readings(guard, request)
        verdict = Verdict(guard, now)
        if self.draining:
            return self._refuse(verdict, Reason.DRAINING, now)
        most = guard.max_body_bytes
        if most is not None and request.length is not None and request.length > most:
            return self._refuse(verdict, Reason.BODY_TOO_LARGE, now)

        # Of several that refuse, the one with the longest wait tells the truth.
        spread = 0.0
        keys: list[bytes] = []
        for rate in guard.rates:
            per = rate.per
            key = b"" if per is None else per.key(request)
            keys.append(key)
            wait = rate.limiter.check(key, now)
            if wait > 0.0:
                rate.counters.refused += 1
                if (share := rate.spread(now)) > spread:
                    spread = share
                if wait > verdict.wait:
                    verdict.reason, verdict.limit, verdict.wait = _RATE, rate.limiter.spec, wait
        if guard.only_rates and verdict.reason is None:
            _charge(guard.rates, keys, now)
            guard.counters.in_flight += 1
            return verdict
        start = now
        slots: Sequence[_Slot] = ()
        if guard.paces:
            slots, start, spread = self._ask_paces(verdict, request, now, spread)
        if verdict.reason is not None:
            return self._refuse(verdict, verdict.reason, now, spread)
        return self._enter(verdict, request, now, keys, slots, start, wake)

    def reject(self, listener: str, reason: Reason, now: float) -> Verdict:
        """The refusal of what never became a request that could be judged; settle it as well."""
        return self._refuse(Verdict(self.rules.unmatched[listener], now), reason, now)

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
        waiting = verdict.waiting
        if waiting is None or verdict.state is not WAIT:
            return
        if waiting.queued_in is None:
            self._admit(verdict, waiting, now)
            return
        concurrency = waiting.queued_in[0]
        _give_back(verdict, now)
        self._refuse_by(verdict, concurrency, Reason.QUEUE_TIMEOUT, now)

    def dismiss(self, verdict: Verdict, now: float) -> None:
        """Whatever `verdict` waits for, the process ends before it comes."""
        if verdict.state is WAIT:
            _give_back(verdict, now)
            self._refuse(verdict, Reason.DRAINING, now)

    def settle(self, verdict: Verdict, completion: Completion, now: float) -> None:
        """Ends `verdict`: releases its permits, or what a waiter had taken, and counts.

        Called exactly once for every verdict, on every exit. Raises AssertionError otherwise.
        """
        state, verdict.state = verdict.state, SETTLED
        counters = verdict.guard.counters
        reason = completion.reason
        if state is FORWARD:
            counters.in_flight -= 1
        elif state is REFUSE:
            reason = verdict.reason
        elif state is WAIT:
            verdict.waited = now - verdict.decided_at
            _give_back(verdict, now)
        else:
            raise AssertionError("a verdict settles once")
        holds = verdict.holds
        if holds:
            for concurrency, key in holds:
                concurrency.limiter.release(key)
            for concurrency, key in holds:
                if concurrency.limiter.waiting:
                    self._admit_waiters(concurrency.limiter, key, now)
        counters.record(
            state is FORWARD,
            reason,
            completion.status,
            completion.duration,
            completion.own,
            verdict.waited,
        )

    # ------------------------------------------------------------------ limits

    def _ask_paces(
        self, verdict: Verdict, request: Request, now: float, spread: float
    ) -> tuple[list[_Slot], float, float]:
        """What to charge, when all the slots have come, and over how long to spread the refused.

        What refuses for longer than `verdict.wait` takes its place.
        """
        slots: list[_Slot] = []
        start = now
        for pace in verdict.guard.paces:
            pacer, key = pace.limiter, pace.key(request)
            slot = pacer.check(key, now)
            if (wait := pacer.retry_after(slot)) > 0.0:
                pace.counters.refused += 1
                spread = max(spread, pace.spread(now))
                if wait > verdict.wait:
                    verdict.reason, verdict.limit, verdict.wait = _PACE, pacer.spec, wait
            start = max(start, now + slot)
            slots.append((pace, key))
        return slots, start, spread

    def _enter(
        self,
        verdict: Verdict,
        request: Request,
        now: float,
        keys: Sequence[bytes],
        slots: Sequence[_Slot],
        start: float,
        wake: Callable[[], None],
    ) -> Verdict:
        """Asks the concurrency limits, then charges all the limits, or none."""
        guard = verdict.guard
        wanted: Sequence[Permit] = ()
        at_once = start <= now
        if guard.concurrencies:
            permits: list[Permit] = []
            for concurrency in guard.concurrencies:
                per = concurrency.per
                key = b"" if per is None else per.key(request)
                if not concurrency.limiter.has_room(key):
                    if not concurrency.limiter.can_queue(key):
                        return self._refuse_by(verdict, concurrency, _CONCURRENCY, now)
                    at_once = False
                permits.append((concurrency, key))
            wanted = permits
        receipts = _charge(guard.rates, keys, now)
        for pace, key in slots:
            pace.counters.admitted += 1
            receipts.append(pace.limiter.charge(key, now))
        shadows: Sequence[Shadow] = ()
        if guard.shadows:
            shadows = [(shadow, shadow.key(request)) for shadow in guard.shadows]
        if at_once:
            _forward(verdict, wanted, shadows, now)
            return verdict
        waiting = verdict.waiting = Waiting(wanted, shadows, start, wake)
        charged: list[_Charged] = [*zip(guard.rates, keys, strict=True), *slots]
        for (limit, key), receipt in zip(charged, receipts, strict=True):
            waiting.charges.append((limit.limiter, key, receipt))
        if start > now:
            verdict.state = WAIT
        else:
            self._admit(verdict, waiting, now)
        return verdict

    def _admit(
        self, verdict: Verdict, waiting: Waiting, now: float, offered: Permit | None = None
    ) -> None:
        """Takes all the permits it needs at once; or none, and a place in a queue; or refuses.

        `offered` is the one that it has waited for: it is free, though others may wait for it.
        """
        for permit in waiting.wanted:
            concurrency, key = permit
            if permit != offered and not concurrency.limiter.has_room(key):
                self._queue(verdict, waiting, permit, now)
                return
        _forward(verdict, waiting.wanted, waiting.shadows, now)

    def _queue(self, verdict: Verdict, waiting: Waiting, lacking: Permit, now: float) -> None:
        concurrency, key = lacking
        limiter = concurrency.limiter
        if not limiter.can_queue(key):
            _give_back(verdict, now)
            self._refuse_by(verdict, concurrency, _CONCURRENCY, now)
            return
        if waiting.queued_at is None:
            waiting.queued_at = now
        verdict.state = WAIT
        waiting.until = waiting.queued_at + limiter.spec.queue_timeout
        waiting.queued_in = lacking
        limiter.enqueue(key, verdict, now)

    def _admit_waiters(self, limiter: ConcurrencyLimiter, key: bytes, now: float) -> None:
        """Hands free permits to who waits for them.

        A waiter takes all its permits at once or goes on to the queue of the limit that lacks
        one: nobody waits with a permit in hand, so limits shared by routes can't deadlock.
        """
        while (waiter := limiter.next_waiter(key, now)) is not None:
            if not isinstance(waiter, Verdict) or (waiting := waiter.waiting) is None:
                raise AssertionError("only waiting verdicts are queued")
            offered, waiting.queued_in = waiting.queued_in, None
            if offered is None:
                raise AssertionError("who is queued knows where")
            if waiting.until <= now:
                _give_back(waiter, now)
                self._refuse_by(waiter, offered[0], Reason.QUEUE_TIMEOUT, now)
            else:
                self._admit(waiter, waiting, now, offered)
            waiting.wake()

    # --------------------------------------------------------------- refusing

    def _refuse(self, verdict: Verdict, reason: Reason, now: float, spread: float = 0.0) -> Verdict:
        verdict.state = REFUSE
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


def _charge(
    rates: Sequence[LiveLimit[RateLimiter]], keys: Sequence[bytes], now: float
) -> list[Receipt]:
    """Takes a token of each of `rates`, by its key."""
    receipts: list[Receipt] = []
    place = 0
    for rate in rates:
        rate.counters.admitted += 1
        receipts.append(rate.limiter.charge(keys[place], now))
        place += 1  # noqa: SIM113 - `enumerate` and a strict `zip` take as long as a charge
    return receipts


def _forward(
    verdict: Verdict, permits: Sequence[Permit], shadows: Sequence[Shadow], now: float
) -> None:
    """Takes `permits`, which are free, and lets it go."""
    if permits:
        for concurrency, key in permits:
            concurrency.counters.admitted += 1
            concurrency.limiter.acquire(key)
        verdict.holds = permits
    if shadows:
        verdict.holds = [*permits, *ask_shadows(shadows, now)]
    verdict.guard.counters.in_flight += 1
    verdict.state = FORWARD
    verdict.waited = now - verdict.decided_at


def _give_back(verdict: Verdict, now: float) -> None:
    """Returns what a request that was never forwarded had taken: tokens, slots, its place."""
    waiting = verdict.waiting
    if waiting is None:
        return
    if waiting.queued_in is not None:
        concurrency, key = waiting.queued_in
        concurrency.limiter.remove(key, verdict)
        waiting.queued_in = None
    for limiter, key, receipt in waiting.charges:
        limiter.refund(key, receipt, now)
    waiting.charges = []
