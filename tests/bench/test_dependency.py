import math

from proxy.surge.result import Stretch
from tests.bench.dependency import report
from tests.bench.dependency_run import DEAD, DIRECT, HANGS, PLAN_B, WELL, Outcome, p99


def outcome(p99: float, back: float = math.nan) -> Outcome:
    return Outcome(0.05, p99, 0.5, 0.25, back, 0.002)


def test_the_report_names_the_states_in_which_the_goal_is_missed() -> None:
    outcomes = {
        (WELL, DIRECT): [outcome(0.06)],
        (WELL, PLAN_B): [outcome(0.06), outcome(0.05), outcome(0.09)],
        (DEAD, DIRECT): [outcome(0.06)],
        (DEAD, PLAN_B): [outcome(0.066, 4.2)],
        (HANGS, DIRECT): [outcome(math.inf)],
        (HANGS, PLAN_B): [outcome(0.09, math.inf)],
    }
    text = report(outcomes, 3, 30)
    assert "| dead | 50 | 60 | 1.00 | 50 | 66 | 1.10 |" in text
    assert "| hangs (2 s) | 50 | never |  | 50 | 90 | 1.50 |" in text
    assert "missed: hangs (2 s) (1.50)." in text
    assert "| dead | 50% | 50% | 0.25 | 0.25 | 4.2 |" in text
    assert "| hangs (2 s) | 50% | 50% | 0.25 | 0.25 | never |" in text
    assert "left at most 2.0 ms late" in text
    met = {key: outcomes[key] for key in outcomes if key[0] != HANGS}
    assert "met in every state" in report(met, 3, 30)


def test_pages_that_do_not_come_are_the_slowest_of_all() -> None:
    def pages(left: int) -> Stretch:
        return Stretch(1.0, 1000, 1000 - left, 0, 0, left, 0, 0.05, 0.06, math.nan, math.nan)

    assert p99(pages(10)) == 0.06
    assert p99(pages(11)) == math.inf
