"""What holds in whatever order requests come, wait, leave and end, and rules change."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.guard import AnyLimit
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.rules import Rules
from proxy.policy.snapshot import (
    AdaptiveSpec,
    ConcurrencySpec,
    GateSpec,
    LimitSpec,
    QueueOrder,
    Snapshot,
)
from proxy.policy.verdict import Permit, State
from proxy.version import compiled
from tests.policy.gated import ToldGate, put_before
from tests.policy.guarded import CLIENT, Call, Guarded, concurrency, pace, rate, snapshot

ROUTES = {
    "order": ["rate", "small", "large"],
    "item": ["large", "by-client", "small"],
    "paced": ["pace", "small"],
    "dry": ["dry-rate", "dry-places", "large"],
    "free": [],
}
EVERYWHERE = ["whole"]

# Few and small numbers: the corners are met more often.
counts = st.integers(1, 3)
orders = st.sampled_from(QueueOrder)
shadows = st.booleans()
seconds = st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.0])


@st.composite
def all_limits(draw: st.DrawFn) -> tuple[LimitSpec, ...]:
    def places(name: str, **more: object) -> ConcurrencySpec:
        queue = draw(st.integers(0, 3))
        timeout = draw(st.sampled_from([0.1, 0.5]))
        spec = concurrency(name, draw(counts), queue, timeout, order=draw(orders))
        return replace(spec, **more)  # type: ignore[arg-type]

    return (
        replace(rate("rate", draw(counts), draw(counts)), shadow=draw(shadows)),
        replace(pace("pace", draw(counts), 0.6), shadow=draw(shadows)),
        places("small", shadow=draw(shadows)),
        places("large"),
        places("by-client", per=CLIENT),
        rate("dry-rate", 1, shadow=True),
        places("dry-places", shadow=draw(shadows)),
        places("whole"),
    )


@st.composite
def rules(draw: st.DrawFn) -> Snapshot:
    limits = draw(all_limits())
    routes: dict[str, Sequence[str]] = {
        name: names for name, names in ROUTES.items() if name != "item" or draw(st.booleans())
    }
    return snapshot(*limits, routes=routes, everywhere=EVERYWHERE)


class EngineMachine(RuleBasedStateMachine):
    """Requests of four routes that share limits, on one clock, over changing rules."""

    @initialize(first=rules(), gated=st.booleans())
    def start(self, first: Snapshot, gated: bool) -> None:
        self.now = 100.0
        self.gates = [ToldGate(), ToldGate()] if gated and not compiled() else []
        self.engine = Guarded(first, self.now)
        self.live: list[Call] = []
        self.settled: list[Call] = []
        self.limits: dict[int, AnyLimit] = {}
        self._remember()

    def _remember(self) -> None:
        """All limits that ever were, for those that are gone must drain."""
        if self.gates:
            put_before(self.engine, *self.gates)
        self.limits |= {id(each): each for each in self.engine.rules.limits.values()}

    @rule(
        route=st.sampled_from([*ROUTES, "unmatched"]),
        client=st.sampled_from(["192.0.2.1", "192.0.2.2"]),
    )
    def ask(self, route: str, client: str) -> None:
        before = _tokens(self.engine.rules, client, self.now)
        in_flight = _in_flight(self.engine.rules)
        call = self.engine.ask(self.now, f"/{route}", client=client)
        self.live.append(call)
        assert call.woken == 0
        if call.state is State.REFUSE:
            assert _tokens(self.engine.rules, client, self.now) == before
        if call.state is not State.FORWARD:
            assert _in_flight(self.engine.rules) == in_flight

    @rule(by=seconds)
    def wait(self, by: float) -> None:
        """Time passes; a lane resumes what is due, in order, as its timers would."""
        end = self.now + by
        while due := [each for each in self._waiting() if each.verdict.wait_until <= end]:
            call = min(due, key=lambda each: each.verdict.wait_until)
            self.now = max(self.now, call.verdict.wait_until)
            woken, until = call.woken, call.verdict.wait_until
            call.resume(self.now)
            # It may wait on, in a queue behind its slot; but never for the same moment again.
            assert call.state is not State.WAIT or call.verdict.wait_until > until
            assert call.woken == woken
        self.now = end

    @rule(by=seconds)
    def wait_with_late_timers(self, by: float) -> None:
        self.now += by

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Any may end at any time: forwarded or refused, and a waiter's client leaves."""
        call = data.draw(st.sampled_from(self.live))
        self.live.remove(call)
        call.settle(self.now, status=0 if call.state is State.WAIT else 200)
        self.settled.append(call)

    @rule(fresh=rules())
    def swap(self, fresh: Snapshot) -> None:
        self.engine.reload(fresh, self.now)
        self._remember()

    @precondition(lambda self: self.gates)
    @rule(which=st.integers(0, 1), newcomers=seconds, waiters=seconds)
    def turn_a_gate(self, which: int, newcomers: float, waiters: float) -> None:
        self.gates[which].closed_for = newcomers
        self.gates[which].again_for = waiters

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """The shop answers one that was forwarded, if it has not yet; the end is still to come."""
        call = data.draw(st.sampled_from(self.live))
        if call.state is State.FORWARD and call.verdict.stamps:
            self.engine.engine.answered(call.verdict, 200, 0.1, self.now)

    @rule(draining=st.booleans())
    def drain(self, draining: bool) -> None:
        self.engine.engine.draining = draining

    def _waiting(self) -> list[Call]:
        return [each for each in self.live if each.state is State.WAIT]

    @invariant()
    def no_wake_up_is_lost(self) -> None:
        for limit in self.limits.values():
            if isinstance(limit.limiter, ConcurrencyLimiter):
                for key in limit.limiter.keys_with_waiters():
                    assert limit.limiter.next_waiter(key, self.now) is None

    @invariant()
    def what_is_counted_is_what_is_held(self) -> None:
        for limit in self.limits.values():
            if isinstance(limit.limiter, ConcurrencyLimiter):
                holders = sum(
                    any(held is limit for held, _ in call.verdict.holds) for call in self.live
                )
                queued = sum(
                    place is not None and place[0] is limit for place in map(_queued_in, self.live)
                )
                assert limit.limiter.in_flight == holders
                assert limit.limiter.waiting == queued

    @invariant()
    def only_those_forwarded_hold_permits(self) -> None:
        for call in self.live:
            if call.state is not State.FORWARD:
                assert not call.verdict.holds
            if call.state is not State.WAIT:
                assert _queued_in(call) is None

    @invariant()
    def gates_know_of_those_that_are_sent_and_not_answered(self) -> None:
        for place, gate in enumerate(self.gates):
            stamps = [each.verdict.stamps[place] for each in self.live if each.verdict.stamps]
            assert gate.out == set(stamps)
        for call in self.live:
            assert call.state is State.FORWARD or not call.verdict.stamps

    @invariant()
    def a_shadow_refuses_nobody(self) -> None:
        for call in self.live:
            limit = call.verdict.limit
            if call.state is State.REFUSE and limit is not None:
                assert not isinstance(limit, AdaptiveSpec)
                assert isinstance(limit, GateSpec) or not limit.shadow

    @invariant()
    def a_refusal_has_its_reason_and_its_time(self) -> None:
        for call in self.live:
            if call.state is State.REFUSE:
                assert call.reason is not None
                assert call.verdict.retry_after is not None
                assert call.verdict.retry_after >= call.verdict.wait
            else:
                assert call.reason is None

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        for call in [*self.live]:
            call.settle(self.now, status=0 if call.state is State.WAIT else 200)
        for gate in self.gates:
            assert not gate.out
        for limit in self.limits.values():
            if isinstance(limit.limiter, ConcurrencyLimiter):
                assert (limit.limiter.in_flight, limit.limiter.waiting) == (0, 0)
                assert not limit.limiter.keys_with_waiters()
        # A route that was gone for a while counts anew; the listener's own is always there.
        assert all(route.in_flight == 0 for route in self.engine.rules.routes.values())
        calls = [*self.live, *self.settled]
        unmatched = [each for each in calls if each.verdict.guard.route == "unmatched"]
        assert self.engine.rules.routes["unmatched"].total == len(unmatched)


def _queued_in(call: Call) -> Permit | None:
    waiting = call.verdict.waiting
    return None if waiting is None else waiting.queued_in


def _tokens(rules: Rules, client: str, now: float) -> dict[str, float]:
    """What a key of every limit could have now."""
    found: dict[str, float] = {}
    for name, limit in rules.limits.items():
        key = b"" if limit.limiter.spec.per is None else b"@" + client.encode()
        if isinstance(limit.limiter, RateLimiter):
            found[name] = limit.limiter.remaining(key, now)
        elif isinstance(limit.limiter, PaceLimiter):
            found[name] = limit.limiter.check(key, now)
    return found


def _in_flight(rules: Rules) -> dict[str, int]:
    return {
        name: limit.limiter.in_flight
        for name, limit in rules.limits.items()
        if isinstance(limit.limiter, ConcurrencyLimiter)
    }


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
