from pathlib import Path

import pytest

from proxy.policy.keys import BY_CLIENT_ADDRESS, KeyKind, KeySource
from proxy.policy.signals import BY_DEFAULT, DEFAULT_THRESHOLDS
from proxy.policy.snapshot import SheddingSpec, Threshold
from proxy.rules.thresholds import as_written
from tests.rules.documents import SHORTEST, loaded, report, write


def shedding(folder: Path, text: str) -> SheddingSpec:
    spec = loaded(folder, f"shedding: {text}\n").shedding
    assert spec is not None
    return spec


def test_nothing_is_shed_unless_the_rules_say_so(tmp_path: Path) -> None:
    assert loaded(tmp_path, "").shedding is None


def test_an_empty_section_sheds_by_what_every_system_can_tell(tmp_path: Path) -> None:
    spec = shedding(tmp_path, "{}")
    assert spec.signals == {name: DEFAULT_THRESHOLDS[name] for name in BY_DEFAULT}
    assert (spec.per, spec.cgroup) == (BY_CLIENT_ADDRESS, None)


def test_a_signal_without_thresholds_has_the_default_ones(tmp_path: Path) -> None:
    spec = shedding(tmp_path, "{signals: {upstream_latency: {}, cpu: {full: 80%}}}")
    assert spec.signals == {
        "cpu": Threshold(0.75, 0.80, 0.90),
        "upstream_latency": DEFAULT_THRESHOLDS["upstream_latency"],
    }


def test_every_signal_can_be_written(tmp_path: Path) -> None:
    names = ", ".join(f"{name}: {{}}" for name in DEFAULT_THRESHOLDS)
    metric = "reported_metrics: {pool: {start: 5, full: 7.5, refuse: 10}}"
    spec = shedding(tmp_path, f"{{signals: {{{names}, {metric}}}}}")
    assert spec.signals == {
        **DEFAULT_THRESHOLDS,
        "reported_metrics.pool": Threshold(5.0, 7.5, 10.0),
    }


def test_values_are_in_the_unit_of_their_signal(tmp_path: Path) -> None:
    text = """{signals: {load: {start: 1, full: "1.5", refuse: 2.5},
                         loop_lag: {start: 5ms, full: 1s, refuse: 1m}},
               per: "cookie:sid", cgroup: system.slice/shop.service}"""
    assert shedding(tmp_path, text) == SheddingSpec(
        {"load": Threshold(1.0, 1.5, 2.5), "loop_lag": Threshold(0.005, 1.0, 60.0)},
        KeySource(KeyKind.COOKIE, "sid"),
        "system.slice/shop.service",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{signals: {}}",
            "21: shedding.signals: names no signal: leave it out for the default ones",
        ),
        (
            "{signals: {cpu: {start: 90%, full: 80%, refuse: 95%}}}",
            "46: shedding.signals.cpu.full: must be above start, 90%",
        ),
        (
            "{signals: {cpu: {start: 90%, full: 90%}}}",
            "46: shedding.signals.cpu.full: must be above start, 90%",
        ),
        (
            "{signals: {cpu: {start: 90%}}}",
            "35: shedding.signals.cpu.start: must be below full, 85% by default",
        ),
        (
            "{signals: {loop_lag: {refuse: 50ms}}}",
            "41: shedding.signals.loop_lag.refuse: must be above full, 100ms by default",
        ),
        (
            "{signals: {cpu: {refuse: 120%}}}",
            "36: shedding.signals.cpu.refuse: must be at most 100%",
        ),
        (
            "{signals: {cpu: {start: 0.7}}}",
            (
                "35: shedding.signals.cpu.start: a percentage needs a unit: did you mean 70% or "
                "0.7%?"
            ),
        ),
        (
            "{signals: {load: {start: 70%}}}",
            '36: shedding.signals.load.start: "70%" is not a number',
        ),
        (
            "{signals: {load: {start: -1}}}",
            "36: shedding.signals.load.start: must be more than 0.0",
        ),
        (
            "{signals: {cqu: {}}}",
            '22: shedding.signals.cqu: unknown key; did you mean "cpu"?',
        ),
        (
            "{signals: {reported_metrics: {a: {start: 1, full: 1, refuse: 2}}}}",
            "61: shedding.signals.reported_metrics.a.full: must be above start, 1",
        ),
        (
            "{signals: {reported_metrics: {a: {start: 1, full: 2}}}}",
            "44: shedding.signals.reported_metrics.a.refuse: is missing",
        ),
        ('{per: "path:id"}', "17: shedding.per: a part of the path is no client"),
    ],
)
def test_mistakes_are_explained(tmp_path: Path, text: str, expected: str) -> None:
    found = report(write(tmp_path, f"{SHORTEST}shedding: {text}\n"))
    assert [line.removeprefix("4:") for line in found] == [expected]


@pytest.mark.parametrize("signals", ["[]", "5", "{cpu: 5}", "{cpu: [1]}", "{reported_metrics: []}"])
def test_another_shape_is_no_crash(tmp_path: Path, signals: str) -> None:
    assert report(write(tmp_path, f"{SHORTEST}shedding: {{signals: {signals}}}\n"))
    assert report(write(tmp_path, f"{SHORTEST}shedding: {signals}\n"))


def test_a_value_is_shown_as_it_would_be_written() -> None:
    shown = [
        as_written(name, value)
        for name, value in {
            "cpu": 0.885,
            "load": 1.25,
            "loop_lag": 0.02,
            "upstream_latency": 2.5,
            "reported_metrics.a": 7.0,
        }.items()
    ]
    assert shown == ["88.5%", "1.25", "20ms", "2.5s", "7"]
