import pytest

from tests.bench.overload.cases import LOADS, cases, load_name
from tests.bench.overload.shop import CAPACITY


@pytest.mark.parametrize("quick", [True, False])
def test_what_is_looked_at_lies_in_the_run_and_so_does_recovery(quick: bool) -> None:
    for case in cases(quick=quick):
        assert 0 < case.begin < case.end < case.seconds - 0.2
        assert case.over is None or case.end <= case.over < case.seconds
        assert all(at < case.seconds for at, _ in case.events)
        assert 0 < case.reachable <= CAPACITY


def test_each_load_is_a_case() -> None:
    names = [case.name for case in cases()]
    assert [load_name(times) for times in LOADS] == names[: len(LOADS)]


def test_a_quick_run_has_the_same_cases_and_is_shorter() -> None:
    quick, whole = cases(quick=True), cases()
    assert [case.name for case in quick] == [case.name for case in whole]
    total = sum(case.seconds * case.rounds for case in whole)
    assert sum(case.seconds for case in quick) < 0.6 * total
