import pytest

from proxy.ops.gate_view import MOST_ROWS, breaker_words, callee, gate_rows, throttle_words
from proxy.ops.stats import BreakerReading, ThrottleReading
from tests.ops.fake_stats import FakeStats

CAUSE = "20 requests in a row failed"


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (BreakerReading("shop", "", "closed", 1.0), "closed: all let through"),
        (
            BreakerReading("shop", "", "open", 0.0, 3, CAUSE, next_probe=4.7),
            "open, next probes in 5 s (20 requests in a row failed)",
        ),
        (
            BreakerReading("shop", "", "probing", 0.0, 3, CAUSE, probes=2),
            "half-open, 2 probes on their way (20 requests in a row failed)",
        ),
        (
            BreakerReading("shop", "", "recovering", 0.55, 3, CAUSE),
            "half-open, all is well so far: 55% let through",
        ),
    ],
)
def test_a_breaker_is_put_into_words(reading: BreakerReading, words: str) -> None:
    assert breaker_words(reading) == words


def test_a_throttle_is_put_into_words() -> None:
    assert throttle_words(ThrottleReading("shop", "", 0.0, 9, 9)) == "all let through"
    reading = ThrottleReading("shop", "", 0.6, 1000, 200)
    assert throttle_words(reading) == "40% let through (1000 asked for lately, 200 accepted)"


def test_whose_requests_are_meant_is_told() -> None:
    assert callee(BreakerReading("shop", "", "closed", 1.0)) == "shop"
    assert callee(ThrottleReading("shop", "orders", 0.0, 0, 0)) == "orders to shop"


def test_a_page_has_rows_for_so_many_and_no_more() -> None:
    stats = FakeStats(
        breaker_rows=[BreakerReading(str(n), "", "closed", 1.0) for n in range(MOST_ROWS + 1)],
        throttle_rows=[ThrottleReading(str(n), "", 0.0, 0, 0) for n in range(MOST_ROWS + 1)],
    )
    rows = gate_rows(stats)
    assert [len(each) for each in rows.values()] == [MOST_ROWS, MOST_ROWS]
    assert rows["breakers"][0]["words"] == "closed: all let through"
    assert rows["throttles"][7]["upstream"] == "7"
