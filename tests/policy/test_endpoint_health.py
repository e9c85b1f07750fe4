from proxy.policy.endpoint_health import EJECTED, RETURNING, SERVING, EndpointHealth
from proxy.policy.endpoint_spec import EjectionSpec

SPEC = EjectionSpec(
    consecutive_failures=3, min_requests=10, window=10.0, duration=10.0, longest=25.0
)


def test_failures_in_a_row_are_what_counts() -> None:
    health = EndpointHealth(0.0)
    assert not health.failed(SPEC, 1.0)
    assert not health.failed(SPEC, 2.0)
    assert not health.succeeded(SPEC, 1, 3.0)
    assert not health.failed(SPEC, 4.0)
    assert not health.failed(SPEC, 5.0)
    assert health.failed(SPEC, 6.0)
    assert health.failures == 5


def test_of_enough_requests_in_a_window_a_share_counts() -> None:
    health = EndpointHealth(0.0)
    asked = [
        health.failed(SPEC, 1.0 + turn / 10)
        if turn % 2
        else health.succeeded(SPEC, 0, 1.0 + turn / 10)
        for turn in range(10)
    ]
    assert asked == [False] * 9 + [True]


def test_a_new_window_counts_anew() -> None:
    health = EndpointHealth(0.0)
    for _ in range(4):
        health.succeeded(SPEC, 0, 1.0)
        health.failed(SPEC, 1.0)
    health.succeeded(SPEC, 0, 1.0)
    assert not health.failed(SPEC, 11.0)


def test_answers_that_break_off_are_failures_though_they_began_well() -> None:
    health = EndpointHealth(0.0)
    found = []
    for _ in range(10):
        health.succeeded(SPEC, 1, 1.0)
        found.append(health.failed(SPEC, 1.0, answered=True))
    assert found == [False] * 9 + [True]


def test_it_is_out_for_longer_each_time_in_a_row_up_to_a_longest() -> None:
    health = EndpointHealth(0.0)
    assert health.eject(SPEC, 100.0) == 10.0
    assert (health.standing, health.until) == (EJECTED, 110.0)
    for times, seconds in enumerate((20.0, 25.0, 25.0), 2):
        health.let_return(0)
        assert health.failed(SPEC, 200.0)
        assert health.eject(SPEC, 200.0) == seconds
        assert health.ejections == times


def test_time_in_service_makes_up_for_ejections() -> None:
    health = EndpointHealth(0.0)
    for _ in range(3):
        health.eject(SPEC, 100.0)
        health.let_return(0)
    assert not health.succeeded(SPEC, 1, 200.0)
    assert health.succeeded(SPEC, 1, 200.0)
    # 29 s: twice as long as one ejection lasts, and not three times.
    assert health.eject(SPEC, 229.0) == 20.0
    health.let_return(0)
    health.succeeded(SPEC, 1, 300.0)
    health.succeeded(SPEC, 1, 300.0)
    assert health.eject(SPEC, 1300.0) == 10.0


def test_one_that_returns_serves_after_two_answers_and_goes_at_the_first_failure() -> None:
    health = EndpointHealth(0.0)
    health.eject(SPEC, 0.0)
    health.let_return(4)
    assert (health.standing, health.floor) == (RETURNING, 4)
    assert not health.succeeded(SPEC, 5, 10.0)
    # A download or a tunnel goes on, and leaves room for the next one.
    assert health.floor == 5
    assert health.failed(SPEC, 11.0)
    health.eject(SPEC, 11.0)
    health.let_return(0)
    assert not health.succeeded(SPEC, 1, 40.0)
    assert health.succeeded(SPEC, 1, 41.0)
    assert health.standing is SERVING
    assert not health.failed(SPEC, 42.0)


def test_late_results_of_requests_from_before_say_nothing_while_it_is_out() -> None:
    health = EndpointHealth(0.0)
    health.eject(SPEC, 0.0)
    assert not health.succeeded(SPEC, 3, 1.0)
    assert not health.succeeded(SPEC, 3, 1.0)
    assert not health.failed(SPEC, 1.0)
    assert (health.standing, health.until) == (EJECTED, 10.0)
