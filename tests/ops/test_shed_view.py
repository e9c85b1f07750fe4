import pytest

from proxy.ops.shed_view import blamed, shed_priorities, signal_rows
from proxy.policy.shedder import Shedder
from proxy.policy.signals import DEFAULT_THRESHOLDS, Signals
from proxy.policy.snapshot import SheddingSpec, Snapshot, UpstreamSpec


def shedder(*names: str) -> Shedder:
    made = Shedder()
    upstreams = {name: UpstreamSpec(name, "::1", 1) for name in ("shop", "coupons")}
    spec = SheddingSpec({name: DEFAULT_THRESHOLDS[name] for name in names})
    made.configure(Snapshot((), upstreams, shedding=spec), 0.0)
    return made


def test_a_signal_of_upstreams_is_shown_for_each() -> None:
    made = shedder("cpu", "reported_cpu")
    made.update(Signals(1.0, 0.0, {"cpu": 0.8765}, {"shop": {"reported_cpu": 0.95}}))
    rows = [(row.name, row.upstream, row.shown, row.pressure) for row in signal_rows(made)]
    assert rows == [
        ("cpu", "", "87.6%", pytest.approx(3.53)),
        ("reported_cpu", "shop", "95%", 4.0),
        ("reported_cpu", "coupons", "", 0.0),
    ]


def test_before_the_first_sample_there_are_thresholds() -> None:
    assert [row.value for row in signal_rows(shedder("cpu"))] == [None]
    assert list(signal_rows(Shedder())) == []


@pytest.mark.parametrize(
    ("level", "words"),
    [
        (0.0, ""),
        (0.001, ""),
        (0.1, "10% of low"),
        (0.999, "low"),
        (1.0, "low"),
        (1.5, "low and 50% of normal"),
        (3.0, "low, normal and high"),
        (3.25, "low, normal, high and 25% of critical"),
        (4.0, "low, normal, high and critical"),
    ],
)
def test_who_is_shed_is_told_in_words(level: float, words: str) -> None:
    assert shed_priorities(level) == words


def test_the_signal_to_blame_is_told_with_its_value() -> None:
    made = shedder("cpu", "upstream_latency")
    for step in range(1, 5):
        latency = {"shop": {"upstream_latency": 2.25}, "coupons": {"upstream_latency": 0.01}}
        made.update(Signals(step / 4, 0.0, {"cpu": 0.5}, latency))
    assert blamed(made, "shop") == "upstream_latency 2.25s"
    assert blamed(made, "coupons") == ""


def test_while_the_level_falls_it_is_told_to_let_go() -> None:
    made = shedder("cpu")
    for step in range(40):
        made.update(Signals(step / 4, 0.0, {"cpu": 0.80}, {}))
    assert blamed(made, "shop") == "cpu 80%"
    made.update(Signals(10.0, 0.0, {"cpu": 0.12}, {}))
    assert blamed(made, "shop") == "letting go, cpu 12%"
