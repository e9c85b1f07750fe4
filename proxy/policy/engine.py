"""Decides about requests and settles what was decided."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from proxy.policy.admission import Slot, charge, enter_upstream, leave_gates
from proxy.policy.coalescing import Coalescing
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.deadline import time_left
from proxy.policy.gates import Gates
from proxy.policy.keeping import Lookup
from proxy.policy.outcome import of_answer, of_silence
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.readmission import Readmission
from proxy.policy.reasons import Reason
from proxy.policy.request import NO_PARAMETERS, Request
from proxy.policy.rules import UNMATCHED, Rules, build
from proxy.policy.shedder import Shedder
from proxy.policy.snapshot import ConcurrencySpec, PaceSpec, RateSpec, Snapshot
from proxy.policy.verdict import (
    FAIL,
    FORWARD,
    REFUSE,
    SERVE,
    SETTLED,
    WAIT,
    Completion,
    Verdict,
)

__all__ = ["UNMATCHED", "Engine", "Rules"]

# As hot as the states: see `proxy.policy.verdict`.
_RATE: Final = Reason.RATE
_PACE: Final = Reason.PACE


class Engine(Readmission):
    """All decisions of one process.

    `jitter` returns a number in [0, 1) and spreads `Retry-After`. Not thread-safe: it belongs to
    one event loop.

    What most requests need is kept short: what a waiting one needs besides is made when it waits.
    """

    def __init__(self, snapshot: Snapshot, now: float, jitter: Callable[[], float]) -> None:
        super().__init__(jitter)
        self.shedder = Shedder()
        self.coalescing = Coalescing()
        self.rules = Rules(Snapshot((), {}), Gates(jitter))
        *_, rules = self.build(snapshot)
        self.swap(rules, now)

    # ------------------------------------------------------------------ rules

    def build(self, snapshot: Snapshot) -> Iterator[Rules]:
        """Prepares `snapshot` for `swap`, in steps: what they yield is complete after the last.

        Between steps the caller may go on with other work; nothing is in force before `swap`.
        A limit keeps its state when its name, kind and `per` stay.
        """
        return build(snapshot, self.rules, self._jitter)

    def swap(self, rules: Rules, now: float) -> None:
        """Puts `rules` into force, for all requests to come, at once.

        Waiters that fit under a raised limit are admitted before it returns.
        """
        self.rules = rules
        self.shedder.configure(rules.snapshot, now)
        rules.stored.configure(rules.snapshot.stored)
        rules.gates.configure(now)
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
        for name, adaptive in rules.adaptive.items():
            bounds = rules.snapshot.upstreams[name].adaptive_concurrency
            if bounds is not None and adaptive.spec != bounds:
                adaptive.reconfigure(bounds)
                self._admit_queue(adaptive, now)
        for name, retrying in rules.retrying.items():
            retry = rules.snapshot.upstreams[name].retry
            if retry is not None and retrying.spec != retry:
                retrying.reconfigure(retry, now)

    # --------------------------------------------------------------- requests

    def decide(self, way: str, request: Request, now: float, wake: Callable[[], None]) -> Verdict:
        """What is to be done with `request`. `way` is the name of the listener that it came in on;
        or, if that has several upstreams, what `proxy.policy.rules.way_to` calls it.

        The route is that of its `path`; the limits of what routes its `other_paths` have hold too.
        A response that is stored and fresh is served, and takes nothing. Else every limit is asked
        before any is charged, so a refusal takes nothing either. `wake` is called when a waiting
        verdict's `state` or `wait_until` changes: from within another call.
        """
        rules = self.rules
        found = rules.tables[way].find(request.method, request.host, request.path)
        if found is None:
            guard, request.parameters = rules.unmatched[way], NO_PARAMETERS
        else:
            place, request.parameters = found
            guard = rules.guards[way][place]
        if request.other_paths:
            guard = rules.with_other_readings(guard, way, request)
        verdict = Verdict(guard, now)
        if request.caller:
            verdict.shared = guard.shared
        lookup: Lookup | None = None
        if guard.keeping is not None:
            lookup = verdict.lookup = guard.keeping.lookup(request)
        if self.draining:
            return self._refuse(verdict, Reason.DRAINING, now)
        if guard.deadline_header is not None:
            self._read_deadline(verdict, guard.deadline_header, request)
            if now >= verdict.deadline:
                return self._refuse(verdict, Reason.DEADLINE, now)
        most = guard.max_body_bytes
        if most is not None and request.length is not None and request.length > most:
            return self._refuse(verdict, Reason.BODY_TOO_LARGE, now)
        if lookup is not None and self.coalescing.serves(verdict, lookup, now, wake):
            return verdict
        return self._ask(verdict, request, now, wake)

    def _ask(
        self, verdict: Verdict, request: Request, now: float, wake: Callable[[], None]
    ) -> Verdict:
        """Whether the shop may be asked: by its load, by the limits, and by what is known of it."""
        guard = verdict.guard
        shedder = self.shedder
        if shedder.active and shedder.sheds(guard, request, now):
            return self._refuse(verdict, Reason.SHED, now)
        # Of several that refuse, the one with the longest wait tells the truth.
        spread = 0.0
        keys: list[bytes] = []
        for rate in guard.rates:
            per = rate.per
            key = b"" if per is None else per.key(request)
            keys.append(key)
            limiter = rate.limiter
            wait = limiter.check(key, now)
            if wait > 0.0:
                rate.counters.refused += 1
                spec = limiter.spec
                if (share := rate.spread(spec.rate, now)) > spread:
                    spread = share
                if wait > verdict.wait:
                    verdict.reason, verdict.limit, verdict.wait = _RATE, spec, wait
        if guard.only_rates and verdict.reason is None:
            adaptive = guard.adaptive
            if adaptive is None:
                charge(guard.rates, keys, now)
                guard.counters.in_flight += 1
                return verdict
            if adaptive.has_room():
                charge(guard.rates, keys, now)
                enter_upstream(verdict, adaptive)
                return verdict
        start = now
        slots: Sequence[Slot] = ()
        if guard.paces:
            slots, start, spread = self._ask_paces(verdict, request, now, spread)
        if verdict.reason is not None:
            return self._refuse(verdict, verdict.reason, now, spread)
        for gate in guard.gates:
            if (wait := gate.wait(now)) > 0.0:
                return self._refuse_by_gate(verdict, gate, wait, now)
        return self._enter(verdict, request, now, keys, slots, start, wake)

    def reject(self, listener: str, reason: Reason, now: float) -> Verdict:
        """The refusal of what never became a request that could be judged; settle it as well."""
        return self._refuse(Verdict(self.rules.unmatched[listener], now), reason, now)

    def resume(self, verdict: Verdict, now: float) -> None:
        """What `verdict` waited for has come: its slot, or the end of its patience in a queue."""
        waiting = verdict.waiting
        if waiting is None or verdict.state is not WAIT:
            return
        if now >= verdict.deadline:
            verdict.give_back(now)
            self._refuse(verdict, Reason.DEADLINE, now)
            return
        if waiting.flight is not None:
            lookup = self.coalescing.leave(verdict, waiting, now)
            if lookup is not None and self.draining:
                self._refuse(verdict, Reason.DRAINING, now)
            elif lookup is not None:
                self._ask(verdict, lookup.request, now, waiting.wake)
            return
        if (adaptive := waiting.queued_for) is not None:
            self._end_patience(verdict, waiting, adaptive, now)
            return
        if waiting.queued_in is None:
            if verdict.attempts:
                self._admit_again(verdict, waiting, now)
            else:
                self._admit(verdict, waiting, now)
            return
        concurrency = waiting.queued_in[0]
        verdict.give_back(now)
        self._refuse_by(verdict, concurrency, Reason.QUEUE_TIMEOUT, now)

    def dismiss(self, verdict: Verdict, now: float) -> None:
        """Whatever `verdict` waits for, the process ends before it comes."""
        if verdict.state is WAIT:
            verdict.give_back(now)
            self._refuse(verdict, Reason.DRAINING, now)

    def answered(self, verdict: Verdict, status: int, latency: float, now: float) -> None:
        """The head of the upstream's response is there, `latency` seconds after the request's end.

        Called once at most for each attempt, for a forwarded verdict that is not settled yet.
        """
        if verdict.stamps:
            leave_gates(verdict, of_answer(status, verdict.guard.failures), latency, now)
        if verdict.attempts > 1:
            retrying = verdict.guard.retrying
            if retrying is not None and status not in retrying.spec.statuses:
                retrying.answered += 1
        adaptive, verdict.adaptive = verdict.adaptive, None
        if adaptive is not None:
            adaptive.answered(status, latency, verdict.began_with, now)
            if adaptive.queue.waiting:
                self._admit_queue(adaptive, now)

    def settle(self, verdict: Verdict, completion: Completion, now: float) -> None:
        """Ends `verdict`: releases its permits, or what a waiter had taken, and counts.

        Called exactly once for every verdict, on every exit. Raises AssertionError otherwise.
        """
        state, verdict.state = verdict.state, SETTLED
        counters = verdict.guard.counters
        reason = completion.reason
        forwarded = state is FORWARD or state is FAIL
        if state is FORWARD:
            counters.in_flight -= 1
        elif state is REFUSE:
            reason = verdict.reason
        elif state is WAIT:
            verdict.waited = now - verdict.decided_at
            verdict.give_back(now)
        elif state is not SERVE and state is not FAIL:
            raise AssertionError("a verdict settles once")
        if verdict.stamps:
            outcome = of_silence(reason, verdict.guard.failures)
            leave_gates(verdict, outcome, completion.silence, now)
        adaptive = verdict.adaptive
        if adaptive is not None:
            # All is given back before anybody is offered a part of it, and lacks another.
            self._unanswered(verdict, adaptive, completion, now)
        holds = verdict.holds
        if holds:
            for concurrency, key in holds:
                concurrency.limiter.release(key)
            for concurrency, key in holds:
                if concurrency.limiter.waiting:
                    self._admit_waiters(concurrency.limiter, key, now)
        if adaptive is not None and adaptive.queue.waiting:
            self._admit_queue(adaptive, now)
        if state is SERVE:
            counters.record_stored(completion.status, verdict.waited)
        else:
            counters.record(
                forwarded,
                reason,
                completion.status,
                completion.duration,
                completion.own,
                verdict.waited,
            )
        lookup = verdict.lookup
        if lookup is not None:
            counters.last_good += lookup.stands_in
            # One caller's hurry says nothing to the others, who may wait for longer.
            failed = forwarded and reason is not Reason.DEADLINE
            self._end_flight(lookup, reason if failed else None)

    # ------------------------------------------------------------------ limits

    def _ask_paces(
        self, verdict: Verdict, request: Request, now: float, spread: float
    ) -> tuple[list[Slot], float, float]:
        """What to charge, when all the slots have come, and over how long to spread the refused.

        What refuses for longer than `verdict.wait` takes its place.
        """
        slots: list[Slot] = []
        start = now
        for pace in verdict.guard.paces:
            pacer, key = pace.limiter, pace.key(request)
            slot = pacer.check(key, now)
            if (wait := pacer.retry_after(slot)) > 0.0:
                pace.counters.refused += 1
                spread = max(spread, pace.spread(pacer.spec.rate, now))
                if wait > verdict.wait:
                    verdict.reason, verdict.limit, verdict.wait = _PACE, pacer.spec, wait
            start = max(start, now + slot)
            slots.append((pace, key))
        if verdict.reason is None and start >= verdict.deadline:
            verdict.reason = Reason.DEADLINE
        return slots, start, spread

    def _end_flight(self, lookup: Lookup, failed: Reason | None) -> None:
        if lookup.leads:
            self.coalescing.end(lookup, failed)

    def _read_deadline(self, verdict: Verdict, field: bytes, request: Request) -> None:
        """When the caller waits no longer, if `field` says so; what it says oddly is nothing."""
        value = request.header(field)
        left = None if value is None else time_left(value)
        if left is not None:
            verdict.deadline = verdict.decided_at + left
