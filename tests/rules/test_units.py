"""Numbers with units."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.rules import units
from proxy.rules.units import Rate


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.duration, "500ms", 0.5),
        (units.duration, "2s", 2.0),
        (units.duration, "0s", 0.0),
        (units.duration, "1.5h", 5400.0),
        (units.duration, "1m30s", 90.0),
        (units.duration, "1h2m3s4ms", 3723.004),
        (units.positive_duration, "1ms", 0.001),
        (units.duration_range, "2s..6s", (2.0, 6.0)),
        (units.duration_range, "500ms..1m", (0.5, 60.0)),
        (units.duration_range, "5s", (5.0, 5.0)),
        (units.rate, "800/s", Rate(800, 1)),
        (units.rate, "2.5/s", Rate(5, 2)),
        (units.rate, "30/m", Rate(30, 60)),
        (units.rate, "1000/h", Rate(1000, 3600)),
        (units.rate, "0.001/h", Rate(1, 3_600_000)),
        (units.size, "512B", 512),
        (units.size, "64KiB", 65536),
        (units.size, "10MB", 10_000_000),
        (units.size, "1GiB", 2**30),
        (units.speed, "500B/s", 500),
        (units.speed, "1MiB/s", 2**20),
        (units.positive_ratio, "0.5%", 0.005),
        (units.ratio, "1%", 0.01),
        (units.ratio, "12.5%", 0.125),
        (units.ratio, "100%", 1.0),
        (units.ratio, "0%", 0.0),
    ],
)
def test_a_number_with_its_unit_is_read(
    parse: Callable[[object], object], text: str, value: object
) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "value", "message"),
    [
        (units.duration, 30, "a duration needs a unit: did you mean 30s or 30ms?"),
        (units.duration, 2.5, "a duration needs a unit: did you mean 2.5s or 2.5ms?"),
        (units.duration, "30", "a duration needs a unit: did you mean 30s or 30ms?"),
        (units.duration, None, "has no value; write a duration such as 500ms, 2s, 1m30s or 1h"),
        (units.duration, True, "true is not a duration such as 500ms, 2s, 1m30s or 1h"),
        (units.duration, "", '"" is not a duration such as 500ms, 2s, 1m30s or 1h'),
        (units.duration, "2 s", '"2 s" is not a duration such as 500ms, 2s, 1m30s or 1h'),
        (units.duration, "-1s", '"-1s" is not a duration such as 500ms, 2s, 1m30s or 1h'),
        (units.duration, "30s1m", '"30s1m" is not a duration such as 500ms, 2s, 1m30s or 1h'),
        (units.duration, "٣s", '"\\u0663s" is not a duration such as 500ms, 2s, 1m30s or 1h'),
        (units.duration, "9000h", '"9000h" is longer than a year'),
        (units.positive_duration, "0ms", "must be longer than 0s"),
        (units.duration_range, "6s..2s", '"6s..2s" starts above its end'),
        (units.duration_range, "2..6", "a duration needs a unit: did you mean 2s or 2ms?"),
        (units.duration_range, 2, "a range needs a unit: did you mean 2s or 2s..6s?"),
        (units.rate, 800, "a rate needs a unit: did you mean 800/s or 800/m?"),
        (units.rate, "0/s", "must be above 0"),
        (units.rate, "5/d", '"5/d" is not a rate such as 800/s, 2.5/s, 30/m or 1000/h'),
        (units.rate, [5], "a list is not a rate such as 800/s, 2.5/s, 30/m or 1000/h"),
        (units.size, 64, "a size needs a unit: did you mean 64KiB or 64MiB?"),
        (units.size, "64kb", '"64kb" is not a size such as 512B, 64KiB or 10MB'),
        (units.speed, "500B", '"500B" is not bytes per second such as 500B/s or 64KiB/s'),
        (units.ratio, 0.5, "a percentage needs a unit: did you mean 50% or 0.5%?"),
        (units.ratio, "1", "a percentage needs a unit: did you mean 100% or 1%?"),
        (units.ratio, 20, "a percentage needs a unit: did you mean 20%?"),
        (units.ratio, "101%", "must be at most 100%"),
    ],
)
def test_all_else_is_refused_with_a_sentence(
    parse: Callable[[object], object], value: object, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse(value)


@given(st.integers(1, 999_999_999), st.integers(0, 999), st.sampled_from("smh"))
def test_a_rate_is_kept_exactly(whole: int, thousandths: int, unit: str) -> None:
    rate = units.rate(f"{whole}.{thousandths:03}/{unit}")

    window = {"s": 1, "m": 60, "h": 3600}[unit]
    assert rate.quota * window * 1000 == (whole * 1000 + thousandths) * rate.window


@pytest.mark.parametrize(
    ("parse", "pattern"),
    [
        (units.duration, units.DURATION_PATTERN),
        (units.duration_range, units.RANGE_PATTERN),
        (units.rate, units.RATE_PATTERN),
        (units.size, units.SIZE_PATTERN),
        (units.speed, units.SPEED_PATTERN),
        (units.ratio, units.PERCENT_PATTERN),
    ],
)
@given(text=st.text("0123456789.smhkKMGiB/%", max_size=9))
def test_what_is_read_matches_the_pattern_that_editors_get(
    parse: Callable[[object], object], pattern: str, text: str
) -> None:
    try:
        parse(text)
    except ValueError:
        return
    assert re.search(pattern, text, re.ASCII)
