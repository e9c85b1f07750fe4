import json
from collections import Counter
from dataclasses import replace

import pytest

from proxy.surge.plan import Plan
from proxy.surge.result import Result
from proxy.surge.summary import Visit, as_data, summary

PLAN = Plan("http://shop.test:80", rate=1600, seconds=10, patience=1, retries=2, capacity=160)


def _protected() -> Result:
    result = Result(sent=16000, sending=10.0, elapsed=10.1)
    for _ in range(1580):
        result.answer(200, 0.042)
    for _ in range(14420):
        result.answer(429, 0.0006)
    result.lateness.extend([0.001] * 16000)
    return result


def test_a_shop_that_holds() -> None:
    assert summary(PLAN, _protected(), (200, 0.041)).splitlines() == [
        "http://shop.test:80 can serve 160/s. You sent 1,600/s, 10 times that, for 10 s.",
        "      158/s were served within 250 ms, 99 % of that: half in 42 ms, 99 % in 42 ms",
        "    1,442/s were refused: half in 0.6 ms, 99 % in 0.6 ms",
        "A visitor who came after it was served in 41 ms.",
    ]


def test_a_shop_that_breaks_down() -> None:
    result = Result(sent=46000, retried=30000, sending=10.0, elapsed=11.0)
    result.answer(200, 0.2)
    result.answer(200, 2.0)
    result.answer(502, 0.1)
    result.failures = Counter(timeout=45995, closed=2)
    result.lateness.extend([0.001] * 16000)
    lines = summary(PLAN, result, ("timeout", 5.0)).splitlines()
    assert lines[1:-1] == [
        "3,000/s more came from those who tried again.",
        "      0.1/s were served within 250 ms, 0 % of that: half in 200 ms, 99 % in 2.0 s",
        "      0.1/s were served later than that",
        "      0.3/s met errors (502: 1, closed: 2)",
        "    4,600/s left after 1.0 s without an answer",
    ]
    assert lines[-1].startswith("A visitor who came after it waited 5.0 s in vain")


def test_without_a_measured_capacity_nothing_is_compared() -> None:
    plan = replace(PLAN, capacity=None)
    assert summary(plan, _protected(), None).splitlines()[:2] == [
        "You sent 1,600/s to http://shop.test:80, for 10 s.",
        "      158/s were served within 250 ms: half in 42 ms, 99 % in 42 ms",
    ]


def test_where_nobody_was_served_there_are_no_times() -> None:
    result = Result(sent=10, sending=1.0)
    result.failures["timeout"] = 10
    assert "      0/s were served within 250 ms, 0 % of that\n" in summary(PLAN, result, None)


@pytest.mark.parametrize(
    ("visit", "words"),
    [
        ((200, 0.0414), "was served in 41 ms."),
        ((503, 0.0006), "was refused in 0.6 ms."),
        ((502, 0.1), "met an error (502)."),
        (("closed", 0.1), "met an error (closed)."),
    ],
)
def test_what_a_visitor_after_it_got(visit: Visit, words: str) -> None:
    assert summary(PLAN, _protected(), visit).endswith(words)


def test_a_late_generator_says_so() -> None:
    result = _protected()
    result.lateness.extend([0.2] * 1000)
    assert "Beware: this program itself was up to 200 ms late" in summary(PLAN, result, None)
    result.failures["not sent"] = 1234
    assert "and had no connection free for 1,234 requests" in summary(PLAN, result, None)


def test_the_data_can_be_written_as_json_and_says_none_for_what_there_was_none_of() -> None:
    result = _protected()
    result.failures["closed"] = 1
    data = json.loads(json.dumps(as_data(PLAN, result, (200, 0.041)), allow_nan=False))
    assert data["plan"]["capacity"] == 160
    assert data["result"]["good"] == 1580
    assert data["result"]["refused_p50"] == 0.0006
    assert data["result"]["statuses"] == {"200": 1580, "429": 14420}
    assert data["result"]["failures"] == {"closed": 1}
    assert data["visit"] == {"outcome": 200, "seconds": 0.041}
    assert data["lateness"]["p99"] == 0.001
    empty = as_data(PLAN, Result(), None)
    assert empty["result"]["served_p50"] is None
    assert empty["visit"] is None
