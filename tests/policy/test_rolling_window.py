from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.rolling_window import BUCKETS, RollingWindow


def test_events_are_counted_by_kind() -> None:
    window = RollingWindow(10.0, 2)
    for kind in (0, 0, 1):
        window.add(kind, 100.0)
    assert window.totals == [2, 1]


def test_what_is_too_old_is_forgotten_a_tenth_at_a_time() -> None:
    window = RollingWindow(10.0, 1)
    for second in range(20):
        window.add(0, second + 0.5)
        assert window.totals == [min(second + 1, 10)]
    window.advance(24.9)
    assert window.totals == [5]
    window.advance(29.0)
    assert window.totals == [0]


def test_a_long_pause_forgets_all() -> None:
    window = RollingWindow(10.0, 2)
    window.add(1, 0.0)
    window.advance(1e9)
    assert window.totals == [0, 0]
    window.add(1, 1e9)
    assert window.totals == [0, 1]


def test_what_is_taken_back_goes_from_where_it_was_added() -> None:
    window = RollingWindow(10.0, 1)
    old = window.add(0, 0.0)
    window.add(0, 5.0)
    window.take_back(0, old, 5.0)
    window.advance(10.0)
    assert window.totals == [1]
    window.advance(15.0)
    assert window.totals == [0]


def test_what_is_forgotten_can_not_be_taken_back_again() -> None:
    window = RollingWindow(10.0, 1)
    old = window.add(0, 0.0)
    window.add(0, 10.5)
    window.take_back(0, old, 10.5)
    assert window.totals == [1]


def test_what_was_added_to_another_window_is_not_taken_back_from_this_one() -> None:
    stamp = RollingWindow(1.0, 1).add(0, 1000.05)
    window = RollingWindow(10.0, 1)
    window.add(0, 1000.05)
    window.take_back(0, stamp, 1000.05)
    assert window.totals == [1]


def test_all_can_be_forgotten_at_once() -> None:
    window = RollingWindow(10.0, 2)
    window.add(1, 3.0)
    window.clear()
    window.advance(8.0)
    assert window.totals == [0, 0]


steps = st.tuples(st.floats(0.0, 12.0), st.integers(0, 1), st.booleans())


@given(
    span=st.sampled_from([0.3, 1.0, 7.0, 120.0]),
    begins=st.sampled_from([0.0, 1e6]),
    events=st.lists(steps, max_size=60),
)
def test_nothing_older_than_the_span_counts_and_everything_younger_than_most_of_it(
    span: float, begins: float, events: list[tuple[float, int, bool]]
) -> None:
    window = RollingWindow(span, 2)
    now = begins
    added: list[tuple[float, int, int]] = []
    for pause, kind, again in events:
        now += pause * span / 10
        if again and added:
            _, its_kind, stamp = added.pop(0)
            window.take_back(its_kind, stamp, now)
        added.append((now, kind, window.add(kind, now)))
        for each in (0, 1):
            ages = [now - when for when, kind_of, _ in added if kind_of == each]
            total = window.totals[each]
            assert total <= sum(age <= span * (1 + 1e-9) for age in ages)
            assert total >= sum(age < span * (BUCKETS - 1) / BUCKETS * (1 - 1e-9) for age in ages)
