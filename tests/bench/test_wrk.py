import pytest

from tests.bench.cases import Case
from tests.bench.wrk import Report, read

OUTPUT = """Running 1s test @ http://127.0.0.1:1
  1 threads and 64 connections
Requests/sec:  59086.12
Transfer/sec:      9.69MB
measured microseconds=2000000 answered=59086 refused=59080 broken=10 p50=310 p99=9330
"""
MIXED = Case("mixed", ("/a", "/b"), admitted_ratio=0.2)
FORWARD = Case("forward", ("/a",))


def answered(refused: int, broken: int = 0) -> Report:
    return Report(1.0, answered=1000, refused=refused, broken=broken, p50=0.0, p99=0.0)


def test_the_line_of_the_script_is_read() -> None:
    assert read(OUTPUT) == Report(
        per_second=29543.0, answered=59086, refused=59080, broken=10, p50=0.00031, p99=0.00933
    )


def test_output_without_that_line_is_no_report() -> None:
    with pytest.raises(SystemExit, match="unable to connect"):
        read("unable to connect to 127.0.0.1:1 Connection refused\n")


@pytest.mark.parametrize(("case", "refused"), [(FORWARD, 0), (MIXED, 790), (MIXED, 815)])
def test_what_came_back_as_wanted_passes(case: Case, refused: int) -> None:
    answered(refused).check(case, "planb")


@pytest.mark.parametrize(("case", "refused"), [(FORWARD, 1), (MIXED, 700), (MIXED, 1000)])
def test_other_answers_than_wanted_end_the_run(case: Case, refused: int) -> None:
    with pytest.raises(SystemExit, match="not the answers that were wanted"):
        answered(refused).check(case, "planb")


def test_a_broken_connection_ends_the_run() -> None:
    with pytest.raises(SystemExit, match="broken"):
        answered(0, broken=1).check(FORWARD, "planb")


def test_no_answer_at_all_ends_the_run() -> None:
    with pytest.raises(SystemExit, match="no answers"):
        Report(0.0, answered=0, refused=0, broken=0, p50=0.0, p99=0.0).check(FORWARD, "planb")
