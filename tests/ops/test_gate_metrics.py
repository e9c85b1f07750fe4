from proxy.ops.gate_metrics import MOST_ROWS, gate_families
from proxy.ops.stats import BreakerReading, BreakerStateWord, ThrottleReading
from tests.ops.fake_stats import FakeStats


def samples(stats: FakeStats) -> dict[tuple[str, str, str], float]:
    return {
        (sample.name, sample.labels["upstream"], sample.labels["route"]): sample.value
        for family in gate_families(stats)
        for sample in family.samples
    }


def test_breakers_and_throttles_are_told_by_upstream_and_route() -> None:
    states: list[BreakerStateWord] = ["closed", "probing", "recovering", "open"]
    stats = FakeStats(
        breaker_rows=[
            BreakerReading("shop", f"route{n}", state, n / 4, n) for n, state in enumerate(states)
        ],
        throttle_rows=[ThrottleReading("shop", "", 0.25, 100, 30)],
    )
    told = samples(stats)
    state = [told["planb_breaker_state", "shop", f"route{n}"] for n in range(4)]
    assert state == [0, 1, 1, 2]
    assert told["planb_breaker_share", "shop", "route3"] == 0.75
    assert told["planb_breaker_opened_total", "shop", "route3"] == 3
    assert told["planb_throttle_probability", "shop", ""] == 0.25


def test_no_rules_make_a_scrape_grow_without_end() -> None:
    stats = FakeStats(
        breaker_rows=[BreakerReading(str(n), "", "closed", 1.0) for n in range(MOST_ROWS + 5)],
        throttle_rows=[ThrottleReading(str(n), "", 0.0, 0, 0) for n in range(MOST_ROWS + 5)],
    )
    assert len(samples(stats)) == 4 * MOST_ROWS
