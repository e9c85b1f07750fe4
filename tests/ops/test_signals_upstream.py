import pytest

from proxy.ops.signals_upstream import FRESH_SECONDS, LEAST_ANSWERS, SAMPLES, UpstreamSignals
from proxy.policy.counters import LATEST_REPORTS, UpstreamCounters


def answers(counters: UpstreamCounters, count: int, wait: float, status: int = 200) -> None:
    for _ in range(count):
        counters.answered(status, wait, None, 0.0)


def test_latency_is_what_nine_of_ten_answers_take_at_most() -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    signals.take(0.0)
    answers(counters, 80, 0.02)
    answers(counters, 20, 0.2)
    latency = signals.take(0.25)["upstream_latency"]
    assert 0.1 < latency <= 0.25


@pytest.mark.parametrize("wait", [0.0012, 0.02, 0.3, 1.05, 2.6, 14.0])
def test_latency_is_known_to_a_tenth(wait: float) -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    signals.take(0.0)
    answers(counters, 100, wait)
    assert signals.take(0.25)["upstream_latency"] == pytest.approx(wait, rel=0.1)


def test_answers_are_forgotten_after_two_seconds() -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    signals.take(0.0)
    answers(counters, 100, 9.0)
    for _ in range(SAMPLES):
        assert signals.take(0.0)["upstream_latency"] > 5.0
    assert "upstream_latency" not in signals.take(0.0)


def test_what_takes_longer_than_the_last_bound_is_that_at_least() -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    signals.take(0.0)
    answers(counters, 100, 600.0)
    assert 55.0 < signals.take(0.0)["upstream_latency"] < 60.0


def test_of_a_hung_shop_those_who_leave_tell() -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    signals.take(0.0)
    for _ in range(LEAST_ANSWERS):
        counters.unanswered(1.5)
    assert signals.take(0.25) == {"upstream_latency": pytest.approx(1.5, rel=0.1)}


@pytest.mark.parametrize(("wait", "latency"), [(0.01, 0.5), (0.5, 0.5), (3.0, 3.0)])
def test_waits_in_vain_raise_the_latency_and_never_lower_it(wait: float, latency: float) -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    signals.take(0.0)
    answers(counters, 100, 0.5)
    before = signals.take(0.25)["upstream_latency"]
    for _ in range(50):
        counters.unanswered(wait)
    after = signals.take(0.5)["upstream_latency"]
    assert after >= before
    assert after == pytest.approx(latency, rel=0.1)


def test_errors_are_failures_and_server_errors() -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    signals.take(0.0)
    answers(counters, 60, 0.01)
    answers(counters, 20, 0.01, status=503)
    counters.failures += 20
    assert signals.take(0.0)["upstream_errors"] == pytest.approx(0.4)


def test_a_few_answers_prove_nothing() -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    signals.take(0.0)
    answers(counters, LEAST_ANSWERS - 1, 9.0, status=500)
    assert signals.take(0.0) == {}


def test_a_report_is_believed_while_it_is_fresh() -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    counters.answered(
        200, 0.01, b"TEXT cpu_utilization=0.9, named_metrics.pool=7, mem_utilization=x", 100.0
    )
    told = {"reported_cpu": 0.9, "reported_metrics.pool": 7.0}
    assert signals.take(100.0 + FRESH_SECONDS) == told
    assert signals.take(100.1 + FRESH_SECONDS) == {}
    # A clock that went back.
    assert signals.take(99.0) == {}


def test_of_several_endpoints_a_hot_one_is_one_of_them_whoever_answered_last() -> None:
    counters = UpstreamCounters()
    for load in (b"1.0", b"0.2", b"0.3", b"0.1") * LATEST_REPORTS:
        counters.answered(200, 0.01, b"TEXT application_utilization=" + load, 5.0)
    counters.answered(200, 0.01, None, 6.0)
    signals = UpstreamSignals(counters)
    assert signals.take(6.0) == {"reported_utilization": 0.2}
    counters.answered(200, 0.01, b"TEXT application_utilization=1.0", 6.0)
    assert signals.take(6.0) == {"reported_utilization": 0.2}


@pytest.mark.parametrize("true", [b"0.2", b"0.95"])
@pytest.mark.parametrize("mistaken", [b"55", b"1e9", b"0"])
def test_one_mistaken_report_of_eight_neither_closes_the_shop_nor_hides_its_load(
    true: bytes, mistaken: bytes
) -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    counters.answered(200, 0.01, b"TEXT cpu_utilization=" + mistaken, 5.0)
    for _ in range(LATEST_REPORTS - 1):
        counters.answered(200, 0.01, b"TEXT cpu_utilization=" + true, 5.0)
    assert signals.take(5.0) == {"reported_cpu": float(true)}


def test_a_load_that_has_changed_is_told_by_as_many_answers_as_are_kept() -> None:
    counters = UpstreamCounters()
    for load in (b"0.9", b"0.2"):
        for _ in range(LATEST_REPORTS):
            counters.answered(200, 0.01, b"TEXT cpu_utilization=" + load, 5.0)
    assert UpstreamSignals(counters).take(5.0) == {"reported_cpu": 0.2}


def test_too_much_is_what_more_than_half_of_the_reports_say() -> None:
    counters = UpstreamCounters()
    signals = UpstreamSignals(counters)
    for load in (b"0.2", b"0.95") * (LATEST_REPORTS // 2):
        counters.answered(200, 0.01, b"TEXT cpu_utilization=" + load, 5.0)
    assert signals.take(5.0) == {"reported_cpu": 0.2}
    counters.answered(200, 0.01, b"TEXT cpu_utilization=0.95", 5.0)
    assert signals.take(5.0) == {"reported_cpu": 0.95}


def test_what_some_reports_leave_out_the_others_tell() -> None:
    counters = UpstreamCounters()
    for report in (b"TEXT mem_utilization=0.5, named_metrics.a=1", b"nonsense", b"TEXT x=1"):
        counters.answered(200, 0.01, report, 5.0)
    for value in (b"2", b"3"):
        counters.answered(200, 0.01, b"TEXT named_metrics.a=" + value, 5.0)
    told = UpstreamSignals(counters).take(5.0)
    assert told == {"reported_memory": 0.5, "reported_metrics.a": 2.0}
