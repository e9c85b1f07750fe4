from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.keys import BY_CALLER
from proxy.policy.shared_rate import FORGOTTEN, MOST_CALLERS, OTHERS, USE, SharedRateLimiter
from proxy.policy.snapshot import SharedRateSpec


def limiter(rate: float = 100.0, burst: int = 20) -> SharedRateLimiter:
    return SharedRateLimiter(SharedRateSpec("shared", rate, burst, int(rate), 1, BY_CALLER))


class Crowd:
    """Callers who ask at even distances, `rates` by key; `wants` is what each says."""

    def __init__(self, limit: SharedRateLimiter, now: float = 50.0) -> None:
        self.limit = limit
        self.now = now
        self.admitted: dict[bytes, int] = {}
        self._due: dict[bytes, float] = {}

    def go_on(
        self,
        seconds: float,
        rates: dict[bytes, float],
        wants: dict[bytes, float] | None = None,
    ) -> dict[bytes, float]:
        """For so long; what each was admitted in a second."""
        ends, before = self.now + seconds, dict(self.admitted)
        for key, rate in rates.items():
            self._due[key] = self.now + 0.37 / rate
        while True:
            key = min(rates, key=self._due.__getitem__)
            if self._due[key] >= ends:
                break
            self.now = self._due[key]
            self._due[key] += 1.0 / rates[key]
            if wants and key in wants:
                self.limit.told(key, wants[key], self.now)
            if self.limit.check(key, self.now) == 0.0:
                self.limit.charge(key, self.now)
                self.admitted[key] = self.admitted.get(key, 0) + 1
        self.now = ends
        return {key: (self.admitted.get(key, 0) - before.get(key, 0)) / seconds for key in rates}


def test_a_caller_alone_may_have_nearly_all() -> None:
    limit = limiter()
    crowd = Crowd(limit)
    crowd.go_on(2.0, {b"a": 300.0})
    assert limit.share == pytest.approx(100.0 * USE, rel=0.01)
    assert crowd.go_on(5.0, {b"a": 300.0})[b"a"] == pytest.approx(98.0, rel=0.02)


def test_who_asks_for_too_much_gets_an_equal_share_and_who_asks_for_less_all_of_it() -> None:
    crowd = Crowd(limiter())
    rates = {b"small": 10.0, b"large": 90.0, b"huge": 900.0}
    crowd.go_on(3.0, rates)
    admitted = crowd.go_on(10.0, rates)
    assert admitted[b"small"] == pytest.approx(10.0, rel=0.05)
    assert admitted[b"large"] == pytest.approx(44.0, rel=0.05)
    assert admitted[b"huge"] == pytest.approx(44.0, rel=0.05)


def test_a_caller_of_whom_nothing_is_known_has_a_share_at_once() -> None:
    crowd = Crowd(limiter())
    crowd.go_on(3.0, {b"a": 300.0, b"b": 300.0})
    limit, now = crowd.limit, crowd.now
    assert limit.check(b"new", now) == 0.0
    limit.charge(b"new", now)
    limit.check(b"a", now + 0.02)
    assert limit.share == pytest.approx(100.0 * USE / 3, rel=0.1), "and the others know it"


def test_what_a_caller_does_not_use_flows_back_in_two_seconds() -> None:
    limit = limiter()
    crowd = Crowd(limit)
    crowd.go_on(3.0, {b"a": 300.0, b"b": 300.0}, {b"a": 300.0, b"b": 300.0})
    assert limit.share == pytest.approx(49.0, rel=0.05)
    crowd.go_on(2.0, {b"a": 300.0}, {b"a": 300.0})
    assert limit.share > 90.0


def test_who_claims_to_want_everything_and_asks_for_little_keeps_little_from_the_others() -> None:
    crowd = Crowd(limiter())
    rates, wants = {b"liar": 5.0, b"a": 300.0}, {b"liar": 1e6, b"a": 300.0}
    crowd.go_on(3.0, rates, wants)
    admitted = crowd.go_on(10.0, rates, wants)
    assert admitted[b"liar"] <= 5.1
    assert admitted[b"a"] >= 85.0


def test_who_claims_to_want_nothing_and_asks_for_everything_gets_a_share() -> None:
    crowd = Crowd(limiter())
    rates, wants = {b"liar": 900.0, b"a": 300.0}, {b"liar": 0.0, b"a": 300.0}
    crowd.go_on(3.0, rates, wants)
    admitted = crowd.go_on(10.0, rates, wants)
    assert admitted[b"liar"] == pytest.approx(49.0, rel=0.05)
    assert admitted[b"a"] == pytest.approx(49.0, rel=0.05)


def test_all_who_do_not_say_who_they_are_are_one_caller() -> None:
    crowd = Crowd(limiter())
    rates = {OTHERS: 900.0, b"a": 300.0}
    crowd.go_on(3.0, rates)
    assert crowd.go_on(5.0, rates)[OTHERS] == pytest.approx(49.0, rel=0.05)


def test_a_refund_gives_the_share_back_too() -> None:
    limit = limiter(rate=1.0, burst=8)
    taken = []
    while limit.check(b"a", 0.0) == 0.0:
        taken.append(limit.charge(b"a", 0.0))
    assert len(taken) == 8
    limit.refund(b"a", taken[-1], 0.0)
    assert limit.check(b"a", 0.0) == 0.0
    limit.charge(b"a", 0.0)
    limit.refund(b"a", taken[0], 0.0)
    assert limit.check(b"a", 0.0) > 0.0, "somebody has charged since"


def test_however_many_callers_come_their_number_is_bounded() -> None:
    limit = limiter()
    for number in range(MOST_CALLERS + 500):
        limit.told(b"%d" % number, 5.0, 0.0)
        if limit.check(b"%d" % number, 0.0) == 0.0:
            limit.charge(b"%d" % number, 0.0)
    assert limit.keys <= MOST_CALLERS + 1
    limit.check(b"late", FORGOTTEN + 1.0)
    assert limit.keys == 1


def test_the_busiest_are_shown() -> None:
    crowd = Crowd(limiter())
    crowd.go_on(3.0, {b"a": 10.0, b"b": 40.0, b"c": 20.0}, {b"b": 60.0})
    (first, asks, wants), (second, _, unsaid) = crowd.limit.busiest(crowd.now, 2)
    assert (first, second) == (b"b", b"c")
    assert asks == pytest.approx(40.0, rel=0.1)
    assert (wants, unsaid) == (60.0, None)


_STEPS = st.lists(
    st.tuples(
        st.floats(0.0, 0.2),
        st.sampled_from([b"", b"a", b"b", b"c"]),
        st.none() | st.floats(0.0, 1e6),
    ),
    min_size=1,
    max_size=300,
)


@given(_STEPS)
@settings(max_examples=50)
def test_whatever_callers_do_and_say_the_rate_holds(
    steps: Sequence[tuple[float, bytes, float | None]],
) -> None:
    limit, now, admitted = limiter(rate=50.0, burst=10), 0.0, 0
    for pause, key, wants in steps:
        now += pause
        if wants is not None and key:
            limit.told(key, wants, now)
        if limit.check(key, now) == 0.0:
            limit.charge(key, now)
            admitted += 1
        assert 0.0 < limit.share <= 50.0
    assert admitted <= 10 + 50.0 * now + 1
