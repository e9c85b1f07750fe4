"""Lets requests in, has them wait, or refuses them."""

from collections.abc import Callable, Sequence
from math import ceil
from typing import Final

from proxy.policy.adaptive import AdaptiveLimiter
from proxy.policy.answers import Answer
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.gate import Gate
from proxy.policy.gcra import Receipt
from proxy.policy.guard import LiveLimit
from proxy.policy.outcome import Outcome
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.reasons import Reason
from proxy.policy.request import Request
from proxy.policy.shadows import ask_shadows
from proxy.policy.verdict import FAIL, FORWARD, REFUSE, WAIT, Permit, Shadow, Verdict, Waiting

_CONCURRENCY: Final = Reason.CONCURRENCY
_DEADLINE: Final = Reason.DEADLINE
_QUEUE_TIMEOUT: Final = Reason.QUEUE_TIMEOUT

Slot = tuple[LiveLimit[PaceLimiter], bytes]
"""A pace and the key to charge it by."""

_Charged = Slot | tuple[LiveLimit[RateLimiter], bytes]


class Admission:
    """What becomes of a request that no rate and no pace refuses: the half of the engine that
    deals with permits and queues.

    Permits are those of the limits set by hand, and that of the upstream's adaptive limit. All
    are taken at once, or none: nobody waits with a permit in hand, so limits that are shared by
    routes can't deadlock. Who lacks one waits for it in its queue, and is offered it there.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter

    def retry_after(self, answer: Answer, wait: float = 0.0, spread: float = 0.0) -> int | None:
        """Whole seconds for `Retry-After`: `wait`, and on top a draw from the answer's range, of
        which the end is put off by `spread`.
        """
        if answer.retry_after is None:
            return None
        low, high = answer.retry_after
        return ceil(wait + low + (high + spread - low) * self._jitter())

    def _enter(
        self,
        verdict: Verdict,
        request: Request,
        now: float,
        keys: Sequence[bytes],
        slots: Sequence[Slot],
        start: float,
        wake: Callable[[], None],
    ) -> Verdict:
        """Asks the concurrency limits, then charges all the limits, or none."""
        guard = verdict.guard
        adaptive = guard.adaptive
        wanted: Sequence[Permit] = ()
        at_once = start <= now
        # First of all: who is let in by it may take the last permits of the other limits.
        if (
            adaptive is not None
            and at_once
            and adaptive.reap(now)
            and self._is_overtaken(verdict, adaptive, now)
        ):
            return verdict
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
        if adaptive is not None and at_once and not adaptive.has_room():
            if not adaptive.patience(guard.priority, now):
                return self._turn_away(verdict, adaptive, now)
            at_once = False
        receipts = charge(guard.rates, keys, now)
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
        self,
        verdict: Verdict,
        waiting: Waiting,
        now: float,
        offered: Permit | AdaptiveLimiter | None = None,
    ) -> None:
        """Takes all the permits it needs at once; or none, and a place in a queue; or refuses.

        `offered` is the one that it has waited for: it is free, though others may wait for it.
        """
        if now >= verdict.deadline:
            verdict.give_back(now)
            self._refuse(verdict, _DEADLINE, now)
            return
        adaptive = verdict.guard.adaptive
        if adaptive is not None and adaptive is not offered and adaptive.reap(now):
            self._admit_queue(adaptive, now)
        for permit in waiting.wanted:
            concurrency, key = permit
            limiter = concurrency.limiter
            # Who was let in just now may have taken what was offered.
            if not (limiter.is_free(key) if permit == offered else limiter.has_room(key)):
                self._queue(verdict, waiting, permit, now)
                return
        if adaptive is not None and adaptive is not offered and not adaptive.has_room():
            self._queue_for(adaptive, verdict, waiting, now)
            return
        if not self._held_back(verdict, now):
            _forward(verdict, waiting.wanted, waiting.shadows, now)

    def _queue(self, verdict: Verdict, waiting: Waiting, lacking: Permit, now: float) -> None:
        concurrency, key = lacking
        limiter = concurrency.limiter
        if not limiter.can_queue(key):
            verdict.give_back(now)
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
            # A reload may have made it a shadow, which refuses nobody.
            if waiting.until <= now and not limiter.spec.shadow:
                waiter.give_back(now)
                self._refuse_by(waiter, offered[0], _QUEUE_TIMEOUT, now)
            else:
                self._admit(waiter, waiting, now, offered)
            waiting.wake()

    # ---------------------------------------------------------------- adaptive

    def _queue_for(
        self, adaptive: AdaptiveLimiter, verdict: Verdict, waiting: Waiting, now: float
    ) -> None:
        priority = verdict.guard.priority
        patience = adaptive.patience(priority, now)
        if not patience:
            verdict.give_back(now)
            self._turn_away(verdict, adaptive, now)
            return
        verdict.state = WAIT
        waiting.until = now + patience
        waiting.queued_for = adaptive
        adaptive.queue.push(verdict, priority, now)
        while (displaced := adaptive.surplus(priority, now)) is not None:
            self._refuse_waiter(adaptive, displaced, _CONCURRENCY, now)

    def _end_patience(
        self, verdict: Verdict, waiting: Waiting, adaptive: AdaptiveLimiter, now: float
    ) -> None:
        """Refuses a waiter whose time is over; unless a place came back with nobody to tell."""
        if not adaptive.reap(now) or adaptive.in_flight >= adaptive.algorithm.places:
            adaptive.queue.expire(verdict, verdict.guard.priority, now)
            waiting.queued_for = None
            verdict.give_back(now)
            self._refuse_by_adaptive(verdict, adaptive, _QUEUE_TIMEOUT, now)
            return
        adaptive.queue.remove(verdict, verdict.guard.priority)
        waiting.queued_for = None
        self._admit(verdict, waiting, now, adaptive)
        self._admit_queue(adaptive, now)

    def _turn_away(self, verdict: Verdict, adaptive: AdaptiveLimiter, now: float) -> Verdict:
        """Refuses one that can't wait; those who have waited for too long before it as well."""
        while (stale := adaptive.queue.stale(verdict.guard.priority)) is not None:
            self._refuse_waiter(adaptive, stale, _QUEUE_TIMEOUT, now)
        return self._refuse_by_adaptive(verdict, adaptive, _CONCURRENCY, now)

    def _admit_queue(self, adaptive: AdaptiveLimiter, now: float) -> None:
        """Hands free permits to who waits for them, as `_admit_waiters` does."""
        adaptive.reap(now)
        while (waiter := adaptive.next_waiter(now)) is not None:
            if not isinstance(waiter, Verdict) or (waiting := waiter.waiting) is None:
                raise AssertionError("only waiting verdicts are queued")
            waiting.queued_for = None
            if waiting.until <= now:
                waiter.give_back(now)
                self._refuse_by_adaptive(waiter, adaptive, _QUEUE_TIMEOUT, now)
            else:
                self._admit(waiter, waiting, now, adaptive)
            waiting.wake()

    def _refuse_waiter(
        self, adaptive: AdaptiveLimiter, waiter: object, reason: Reason, now: float
    ) -> None:
        """Refuses one that was taken out of the queue."""
        if not isinstance(waiter, Verdict) or (waiting := waiter.waiting) is None:
            raise AssertionError("only waiting verdicts are queued")
        waiting.queued_for = None
        waiter.give_back(now)
        self._refuse_by_adaptive(waiter, adaptive, reason, now)
        waiting.wake()

    def _refuse_by_adaptive(
        self, verdict: Verdict, adaptive: AdaptiveLimiter, reason: Reason, now: float
    ) -> Verdict:
        adaptive.counters.refused += 1
        verdict.limit = adaptive.spec
        return self._refuse(verdict, reason, now)

    # --------------------------------------------------------------- refusing

    def _refuse(self, verdict: Verdict, reason: Reason, now: float, spread: float = 0.0) -> Verdict:
        verdict.waited = now - verdict.decided_at
        if verdict.attempts:
            self._hold_back(verdict)
            return verdict
        verdict.state = REFUSE
        verdict.reason = reason
        answer = verdict.guard.answers[reason]
        verdict.retry_after = self.retry_after(answer, verdict.wait, spread)
        return verdict

    def _hold_back(self, verdict: Verdict) -> None:
        """What was to be sent once more is not: what counts is how it failed before."""
        verdict.state = FAIL
        if (retrying := verdict.guard.retrying) is not None:
            retrying.held_back += 1

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

    def _is_overtaken(self, verdict: Verdict, adaptive: AdaptiveLimiter, now: float) -> bool:
        """Admits who goes first; whether those were the last that a gate lets through."""
        self._admit_queue(adaptive, now)
        return self._held_back(verdict, now)

    def _held_back(self, verdict: Verdict, now: float) -> bool:
        """Refuses one that its gates had let through, if they do so no longer."""
        for gate in verdict.guard.gates:
            if (wait := gate.wait_again(now)) > 0.0:
                verdict.give_back(now)
                self._refuse_by_gate(verdict, gate, wait, now)
                return True
        return False

    def _refuse_by_gate(self, verdict: Verdict, gate: Gate, wait: float, now: float) -> Verdict:
        verdict.limit, verdict.wait = gate.spec, wait
        return self._refuse(verdict, gate.reason, now)


def charge(
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
        # Before another attempt it has let go of all but the shadows'.
        verdict.holds = [*verdict.holds, *permits] if verdict.holds else permits
    if shadows:
        verdict.holds = [*permits, *ask_shadows(shadows, now)]
    guard = verdict.guard
    if guard.adaptive is None:
        guard.counters.in_flight += 1
    else:
        enter_upstream(verdict, guard.adaptive)
    if guard.gates:
        verdict.stamps = [gate.sent(now) for gate in guard.gates]
    if (retrying := guard.retrying) is not None:
        if not verdict.attempts:
            retrying.budget.earn(now)
        verdict.attempts += 1
    verdict.state = FORWARD
    verdict.waited = now - verdict.decided_at


def enter_upstream(verdict: Verdict, adaptive: AdaptiveLimiter) -> None:
    """Takes a permit of `adaptive`, which is free, and counts."""
    adaptive.counters.admitted += 1
    verdict.adaptive = adaptive
    verdict.began_with = adaptive.acquire()
    verdict.guard.counters.in_flight += 1


def leave_gates(verdict: Verdict, outcome: Outcome, latency: float, now: float) -> None:
    """Tells the gates what became of what was sent: see `Gate.ended`."""
    stamps, verdict.stamps = verdict.stamps, ()
    for gate, stamp in zip(verdict.guard.gates, stamps, strict=True):
        gate.ended(stamp, outcome, latency, now)
