import math
from collections import Counter

from proxy.surge.result import Result, quantile


def _result() -> Result:
    result = Result(sent=8, sending=2.0, elapsed=3.0)
    for status, latency in ((200, 0.1), (429, 0.002), (304, 0.25), (200, 0.3), (502, 0.01)):
        result.answer(status, latency)
    result.failures = Counter(timeout=2, closed=1)
    return result


def test_every_request_is_one_thing_and_no_other() -> None:
    whole = _result().whole()
    assert (whole.good, whole.late, whole.refused, whole.left, whole.wrong) == (2, 1, 1, 2, 2)
    assert whole.good + whole.late + whole.refused + whole.left + whole.wrong == whole.sent


def test_rates_are_by_the_seconds_of_sending() -> None:
    whole = _result().whole()
    assert whole.rate(whole.good) == 1.0


def test_quantiles_are_of_the_served_and_of_the_refused_apart() -> None:
    whole = _result().whole()
    assert (whole.served_p50, whole.served_p99) == (0.25, 0.3)
    assert (whole.refused_p50, whole.refused_p99) == (0.002, 0.002)
    assert _result().latency(1.0, 502) == 0.01
    assert _result().latency(0.5) == 0.1
    assert math.isnan(_result().latency(0.5, 404))


def test_a_stretch_holds_what_came_after_its_mark_alone() -> None:
    result = _result()
    mark = result.mark()
    result.sent += 3
    result.answer(200, 0.05)
    result.answer(503, 0.001)
    result.failures["timeout"] += 1
    stretch = result.since(mark, 0.5)
    assert (stretch.sent, stretch.good, stretch.late) == (3, 1, 0)
    assert (stretch.refused, stretch.left, stretch.wrong) == (1, 1, 0)
    assert stretch.served_p99 == 0.05
    assert stretch.rate(stretch.good) == 2.0
    assert mark.failures == {"timeout": 2, "closed": 1}


def test_of_nothing_there_is_no_quantile_and_no_rate() -> None:
    whole = Result().whole()
    assert math.isnan(whole.served_p50)
    assert whole.rate(whole.sent) == 0.0


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [quantile(values, share) for share in (0.01, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert quantile([7.0], 0.99) == 7.0


def test_the_table_has_a_line_for_each_outcome() -> None:
    lines = _result().table().splitlines()
    assert lines[0] == "8 requests in 3.0 s (3/s)"
    assert [line.split()[0] for line in lines[2:]] == [
        *("200", "304", "429", "502"),
        *("closed", "timeout"),
    ]
