from tests.bench.contenders import PLANB
from tests.bench.report import report
from tests.bench.results import NO_PROXY, Flooded, Memory, Results, Speed, Wait


def two_contenders() -> Results:
    return Results(["nginx", PLANB], rounds=3, seconds=1)


def test_speeds_are_medians_with_their_spread_and_ratios() -> None:
    results = two_contenders()
    for nginx, planb in ((1000.0, 700.0), (9000.0, 100.0), (2000.0, 800.0)):
        results.add_speed("forward", "nginx", Speed(nginx, 0.5))
        results.add_speed("forward", PLANB, Speed(planb, 1.0))
    lines = report(results).splitlines()
    assert "| forward | 2,000 (1,000 to 9,000) | 700 (100 to 800) |" in lines
    assert "| ratios of the medians | planb / nginx |" in lines
    assert "| forward | 0.35 |" in lines
    assert "| forward | 4,000 (50%) | 700 (100%) |" in lines


def test_every_peer_is_compared_with_the_first_and_with_plan_b() -> None:
    results = Results(["nginx", "envoy", PLANB], rounds=1, seconds=1)
    for who, per_second in (("nginx", 1000.0), ("envoy", 250.0), (PLANB, 500.0)):
        results.add_speed("forward", who, Speed(per_second, 1.0))
    lines = report(results).splitlines()
    assert "| ratios of the medians | envoy / nginx | planb / nginx | planb / envoy |" in lines
    assert "| forward | 0.25 | 0.50 | 2.00 |" in lines


def test_what_no_proxy_takes_is_taken_off_the_latency() -> None:
    results = two_contenders()
    results.add_wait(500, NO_PROXY, Wait(0.001, 0.002))
    results.add_wait(500, PLANB, Wait(0.0015, 0.001))
    assert "| planb | 1.50 | 1.00 | +0.50 | -1.00 |" in report(results).splitlines()


def test_a_flood_stands_beside_its_absence() -> None:
    results = two_contenders()
    results.floods[PLANB] = [Flooded(Wait(0.001, 0.002), Wait(0.003, 0.004), 19_999.6)]
    assert "| planb | 1.00 | 2.00 | 3.00 | 4.00 | 20,000 |" in report(results).splitlines()


def test_connections_and_memory_are_told_for_each() -> None:
    results = two_contenders()
    for who in results.contenders:
        results.add_opened(who, 60, 20_000)
        results.add_opened(who, 4, 12_000)
        results.memory[who] = Memory(5_000_000, 25_000_000, 10_000)
    lines = report(results).splitlines()
    assert "| upstream connections per 1,000 requests | 2.00 | 2.00 |" in lines
    assert "| with 10,000 idle connections, MB | 25.0 | 25.0 |" in lines
    assert "| for each, kB | 2.0 | 2.0 |" in lines


def test_parts_that_were_not_measured_are_left_out() -> None:
    assert report(two_contenders()).count("|") == 0
