"""Which endpoint is asked, and that no sequence of events breaks what is promised."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.endpoint_health import EJECTED, RETURNING, SERVING, EndpointHealth
from proxy.policy.endpoint_spec import EjectionSpec, most_ejected
from proxy.policy.endpoints import Endpoints

SPEC = EjectionSpec(consecutive_failures=2, duration=10.0)


class One:
    """An endpoint that is told how many requests it has."""

    def __init__(self, in_flight: int = 0) -> None:
        self.in_flight = in_flight
        self.health = EndpointHealth(0.0)


def made(
    count: int, spec: EjectionSpec = SPEC, seed: int = 1
) -> tuple[Endpoints[One], Sequence[One]]:
    ones = [One() for _ in range(count)]
    return Endpoints(spec, ones, random.Random(seed).random), ones


def eject(endpoints: Endpoints[One], one: One, now: float) -> float:
    seconds = 0.0
    while not seconds:
        seconds = endpoints.failed(one, now)
    return seconds


def test_of_two_the_one_with_less_to_do_is_asked() -> None:
    endpoints, (one, other) = made(2)
    one.in_flight = 1
    assert {endpoints.choose(0.0) for _ in range(50)} == {other}


def test_equals_are_asked_equally_often() -> None:
    endpoints, ones = made(5)
    asked = Counter(endpoints.choose(0.0) for _ in range(10_000))
    # 2,000 each; the deviation is 40.
    assert all(1800 < asked[one] < 2200 for one in ones)


def test_two_choices_leave_far_less_to_the_busiest_than_one() -> None:
    """100 requests that stay, at 10 endpoints: a blind choice gives the busiest 16 or so."""
    endpoints, ones = made(10)
    for _ in range(100):
        chosen = endpoints.choose(0.0)
        assert chosen is not None
        chosen.in_flight += 1
    assert max(one.in_flight for one in ones) <= 12
    assert min(one.in_flight for one in ones) >= 8


def test_one_that_hangs_is_avoided_before_anything_has_timed_out() -> None:
    endpoints, (hanging, *well) = made(3)
    for _ in range(1000):
        chosen = endpoints.choose(0.0)
        assert chosen is not None
        # The others answer at once.
        if chosen is hanging:
            hanging.in_flight += 1
    assert hanging.in_flight == 1
    assert [one.in_flight for one in well] == [0, 0]


def test_an_ejected_one_is_not_asked_until_its_time() -> None:
    endpoints, (bad, *well) = made(4)
    assert endpoints.failed(bad, 0.0) == 0.0
    assert endpoints.failed(bad, 1.0) == 10.0
    assert {endpoints.choose(10.9) for _ in range(100)} == set(well)
    assert endpoints.ejected == 1
    assert bad in {endpoints.choose(11.0) for _ in range(100)}
    assert endpoints.ejected == 0


def test_one_that_returns_has_one_request_at_a_time() -> None:
    endpoints, (bad, well) = made(2)
    eject(endpoints, bad, 0.0)
    # A tunnel from before is no trial.
    bad.in_flight, well.in_flight = 1, 5
    assert endpoints.choose(10.0) is bad
    bad.in_flight = 2
    assert {endpoints.choose(10.0) for _ in range(20)} == {well}
    # Nor does its end make room for a second one.
    bad.in_flight = 1
    assert endpoints.choose(10.0) is bad
    assert not endpoints.succeeded(bad, 11.0)
    assert endpoints.succeeded(bad, 11.0)
    well.in_flight = 100
    bad.in_flight = 99
    assert endpoints.choose(11.0) is bad


def test_the_last_one_is_never_ejected() -> None:
    endpoints, (only,) = made(1, EjectionSpec(consecutive_failures=1, most_ratio=1.0))
    assert [endpoints.failed(only, 0.0) for _ in range(10)] == [0.0] * 10
    assert endpoints.choose(0.0) is only


def test_another_is_another_that_may_be_asked() -> None:
    endpoints, (one, two, out) = made(3, EjectionSpec(consecutive_failures=1))
    eject(endpoints, out, 0.0)
    assert {endpoints.choose(0.0, one) for _ in range(50)} == {two}
    single, (only,) = made(1)
    assert single.choose(0.0, only) is None


def test_who_stays_keeps_its_record_and_who_goes_changes_nothing_any_more() -> None:
    endpoints, (gone, bad, three, four) = made(4)
    eject(endpoints, bad, 0.0)
    fresh = One()
    endpoints.put(SPEC, [bad, three, four, fresh])
    assert bad.health.standing is EJECTED
    assert {endpoints.choose(1.0) for _ in range(100)} == {three, four, fresh}
    for _ in range(5):
        assert endpoints.failed(gone, 1.0) == 0.0
    assert endpoints.ejected == 1


def test_of_fewer_endpoints_fewer_may_be_out() -> None:
    endpoints, ones = made(4)
    eject(endpoints, ones[0], 0.0)
    eject(endpoints, ones[1], 1.0)
    endpoints.put(SPEC, ones[:3])
    assert [one.health.standing for one in ones[:3]] == [RETURNING, EJECTED, SERVING]
    endpoints.put(EjectionSpec(most_ratio=0.0), ones[:3])
    assert endpoints.ejected == 0


Event = tuple[str, int, float]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "fail", "fail", "succeed", "break", "leave", "put"]),
        st.integers(0, 9),
        st.floats(0.0, 15.0),
    ),
    max_size=80,
)


@given(
    count=st.integers(1, 7), ratio=st.sampled_from([0.0, 0.1, 0.34, 0.5, 0.8, 1.0]), events=EVENTS
)
def test_whatever_happens_the_share_holds_and_everyone_comes_back(
    count: int, ratio: float, events: list[Event]
) -> None:
    spec = EjectionSpec(
        consecutive_failures=2, min_requests=4, duration=5.0, longest=20.0, most_ratio=ratio
    )
    endpoints, _ = made(count, spec)
    now = 0.0
    for event, index, passed in events:
        now += passed
        one = endpoints.all[index % len(endpoints.all)]
        if event == "ask":
            chosen = endpoints.choose(now)
            assert chosen in endpoints.all
            assert chosen is not None
            assert chosen.health.standing is not EJECTED
            chosen.in_flight += 1
        elif event == "put":
            endpoints.put(spec, [One(), *endpoints.all][: index + 1])
        elif one.in_flight:
            one.in_flight -= 1
            if event == "succeed":
                endpoints.succeeded(one, now)
            elif event in ("fail", "break"):
                seconds = endpoints.failed(one, now, answered=event == "break")
                assert 0.0 <= seconds <= 20.0
        out = [each for each in endpoints.all if each.health.standing is EJECTED]
        assert len(out) == endpoints.ejected <= most_ejected(len(endpoints.all), ratio)
        assert all(each.health.until <= now + 20.0 for each in out)

    # From here on all are well: each is asked again, and serves.
    for each in endpoints.all:
        each.in_flight = 0
    for turn in range(1000):
        chosen = endpoints.choose(now + 20.0 + turn)
        assert chosen is not None
        endpoints.succeeded(chosen, now + 20.0 + turn)
    assert all(each.health.standing is SERVING for each in endpoints.all)


@pytest.mark.parametrize("count", [2, 3, 256])
def test_the_ends_of_the_lottery_are_endpoints(count: int) -> None:
    for drawn in (0.0, 1.0 - 2**-53):
        ones = [One() for _ in range(count)]
        endpoints = Endpoints(SPEC, ones, iter([drawn] * 2).__next__)
        assert endpoints.choose(0.0) in set(ones)
