"""What holds of a breaker in whatever order requests come and end, and time passes."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from proxy.policy.breaker import JITTER, PROBE_PATIENCE, Breaker, BreakerState
from proxy.policy.outcome import Outcome
from proxy.policy.snapshot import BreakerSpec

seconds = st.sampled_from([0.0, 0.01, 0.3, 1.0, 4.0, 11.0])

specs = st.builds(
    BreakerSpec,
    st.just("shop/breaker"),
    window=st.sampled_from([0.5, 10.0]),
    min_requests=st.integers(1, 4),
    error_ratio=st.sampled_from([0.1, 0.5, 1.0]),
    slow=st.sampled_from([None, 0.5]),
    slow_ratio=st.sampled_from([0.3, 1.0]),
    consecutive_failures=st.integers(1, 5),
    consecutive_slow=st.sampled_from([None, 1, 3]),
    open=st.sampled_from([0.1, 3.0]),
    longest_open=st.sampled_from([3.0, 8.0]),
    probes=st.integers(1, 3),
    recovery=st.sampled_from([0.0, 2.0]),
)


class BreakerMachine(RuleBasedStateMachine):
    @initialize(spec=specs, seed=st.integers(0, 9))
    def start(self, spec: BreakerSpec, seed: int) -> None:
        self.now = 1000.0
        self.breaker = Breaker(spec, random.Random(seed).random)
        # What is out: the stamp, when it was sent, and after how many openings.
        self.out: list[tuple[int, float, int]] = []
        self.opened_at = 0.0

    @rule()
    def ask(self) -> None:
        """A request comes, and is sent if it may."""
        state = self.breaker.state_at(self.now)
        wait = self.breaker.wait(self.now)
        assert wait >= 0.0
        assert (wait > 0.0) or state is not BreakerState.OPEN
        assert (wait == 0.0) or state is not BreakerState.CLOSED
        if wait == 0.0:
            stamp = self.breaker.sent(self.now)
            self.out.append((stamp, self.now, self.breaker.opened))

    @rule()
    def come_again(self) -> None:
        """One that had waited in a queue."""
        state = self.breaker.state_at(self.now)
        if self.breaker.wait_again(self.now) == 0.0:
            assert state is not BreakerState.OPEN
            self.out.append((self.breaker.sent(self.now), self.now, self.breaker.opened))

    @precondition(lambda self: self.out)
    @rule(
        data=st.data(),
        outcome=st.sampled_from([*Outcome, Outcome.FAILURE]),
        latency=st.sampled_from([0.0, 0.7]),
    )
    def end(self, data: st.DataObject, outcome: Outcome, latency: float) -> None:
        each = data.draw(st.sampled_from(self.out))
        self.out.remove(each)
        stamp, _, opened = each
        before, state = self.breaker.opened, self.breaker.state_at(self.now)
        self.breaker.ended(stamp, outcome, latency, self.now)
        if opened < before:
            # It is from before it last opened.
            assert self.breaker.opened == before
            assert self.breaker.state_at(self.now) is state
        if self.breaker.opened > before:
            self.opened_at = self.now

    @rule(by=seconds)
    def wait(self, by: float) -> None:
        self.now += by

    @rule(spec=specs)
    def reload(self, spec: BreakerSpec) -> None:
        # As many probes as before, or those in flight could be more than the new rules let be.
        spec = BreakerSpec(
            **{
                **{name: getattr(spec, name) for name in BreakerSpec.__dataclass_fields__},
                "probes": self.breaker.goes_by.probes,
                "open": max(spec.open, self.breaker.goes_by.open),
            }
        )
        self.breaker.reconfigure(spec, self.now)

    @invariant()
    def there_are_never_more_probes_than_allowed(self) -> None:
        breaker = self.breaker
        if breaker.state_at(self.now) is BreakerState.PROBING:
            patience = max(PROBE_PATIENCE, breaker.goes_by.open)
            waited_for = [
                stamp
                for stamp, sent_at, opened in self.out
                if opened == breaker.opened and self.now - sent_at < patience
            ]
            assert len(waited_for) <= breaker.goes_by.probes

    @invariant()
    def it_is_open_no_longer_than_the_longest_time(self) -> None:
        assert self.breaker.opens_for(self.now) <= self.breaker.goes_by.longest_open * (1 + JITTER)

    @invariant()
    def a_share_is_a_share(self) -> None:
        state, share = self.breaker.state_at(self.now), self.breaker.share_at(self.now)
        assert 0.0 <= share <= 1.0
        assert (share == 1.0) or state is not BreakerState.CLOSED
        assert (share == 0.0) or state not in {BreakerState.OPEN, BreakerState.PROBING}

    def teardown(self) -> None:
        """Whatever has happened: when the callee is well, and somebody asks, it closes."""
        if not hasattr(self, "breaker"):
            return
        spec = self.breaker.goes_by
        latest = self.now + spec.longest_open * (1 + JITTER) + PROBE_PATIENCE + spec.recovery + 2.0
        while self.breaker.state_at(self.now) is not BreakerState.CLOSED:
            assert self.now < latest, self.breaker.state_at(self.now)
            self.now += 0.25
            if self.breaker.wait(self.now) == 0.0:
                stamp = self.breaker.sent(self.now)
                self.breaker.ended(stamp, Outcome.SUCCESS, 0.1, self.now)


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
