import math

import pytest

from tests.bench.overload.cases import LEAK, WAVE, Case, cases, load_name
from tests.bench.overload.customers import KINDS
from tests.bench.overload.figures import Figures, KindFigures
from tests.bench.overload.goals import GOALS
from tests.bench.overload.report import report
from tests.bench.overload.results import Outcome, Results

CASES = {case.name: case for case in cases()}
NGINX, PLANB = "nginx limit_req", "planb adaptive"


def outcome(
    goodput: float,
    *,
    critical: float = 1.0,
    late: float = 0.0,
    others: float = 0.0,
    recovery: float = math.nan,
) -> Outcome:
    kinds = tuple(KindFigures(critical if number == 0 else 0.5, 0.002) for number in range(4))
    found = Figures(10_000, goodput, 0.1, kinds, 0.08, 9000, 0.0004, 0.004, 3, 0, 0, late)
    return Outcome(found, 0.25, others, recovery, [goodput], 0.1)


def results(*names: str) -> Results:
    return Results([NGINX, PLANB], [CASES[name] for name in names])


def add(found: Results, name: str, who: str, *outcomes: Outcome) -> Case:
    for each in outcomes:
        found.add(CASES[name], who, each)
    return CASES[name]


def test_goodput_is_a_share_of_capacity_also_when_less_was_offered() -> None:
    found = results(load_name(0.5), load_name(2))
    for who in found.contenders:
        add(found, load_name(0.5), who, outcome(500))
        add(found, load_name(2), who, outcome(900))
    assert f"| {PLANB} | 50% | 90% |" in report(found).splitlines()


def test_details_are_medians_and_what_did_not_happen_is_a_dash() -> None:
    found = results(LEAK)
    add(found, LEAK, NGINX, outcome(0, recovery=math.inf))
    add(found, LEAK, PLANB, outcome(300), outcome(100), outcome(310))
    rows = [line for line in report(found).splitlines() if line.startswith("| n")]
    assert "| never | 10% |" in rows[0]
    (row,) = (line for line in report(found).splitlines() if line.startswith(f"| {PLANB}"))
    assert row.startswith(f"| {PLANB} | 90.0% | 100.0% | 50.0% |")
    assert row.endswith("| 80.0 | 0.40 | 4.0 | 3 | 0.25 | - | 10% |")


def test_runs_in_which_the_generator_was_late_do_not_count_beside_better_ones() -> None:
    found = results(load_name(1))
    for who in found.contenders:
        add(found, load_name(1), who, outcome(100, late=0.006), outcome(900))
    assert f"| {PLANB} | 90% |" in report(found).splitlines()
    assert "invalid" not in report(found)


@pytest.mark.parametrize("spoilt", [outcome(900, late=0.006), outcome(900, others=0.2)])
def test_a_case_without_a_valid_run_is_marked(spoilt: Outcome) -> None:
    found = results(load_name(1))
    add(found, load_name(1), NGINX, spoilt)
    add(found, load_name(1), PLANB, outcome(900))
    assert f"| {NGINX} | 90% (invalid) |" in report(found).splitlines()
    assert "(invalid):" in report(found)


@pytest.mark.parametrize(("goodput", "word"), [(950, "reached"), (949, "**not reached**")])
def test_each_goal_says_whether_it_was_reached(goodput: float, word: str) -> None:
    found = results(load_name(10))
    for who in found.contenders:
        add(found, load_name(10), who, outcome(goodput))
    goal = "goodput at 10x, of capacity: 95 % or more"
    assert f"| {goal} | {word}: {goodput / 1000:.1%} |" in report(found).splitlines()


def test_a_recovery_that_never_came_reaches_nothing() -> None:
    (goal,) = (goal for goal in GOALS if goal.case == WAVE and goal.most == 1.0)
    assert not goal.reached(goal.value(outcome(800, recovery=math.inf)))
    assert not goal.reached(math.nan)
    assert goal.reached(goal.value(outcome(800, recovery=1.0)))


def test_every_goal_is_of_a_case() -> None:
    assert {goal.case for goal in GOALS} <= CASES.keys()
    assert KINDS[0].name == "critical"
