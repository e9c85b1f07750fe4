from dataclasses import replace

import pytest

from proxy.ops.shed_notice import QUIET_SAMPLES, ShedNotice
from proxy.policy.shedder import Shedder
from proxy.policy.signals import DEFAULT_THRESHOLDS, Signals
from proxy.policy.snapshot import SheddingSpec, Snapshot, UpstreamSpec


class Watched:
    def __init__(self) -> None:
        self.shedder = Shedder()
        self.notice = ShedNotice(self.shedder)
        self.now = 0.0
        spec = SheddingSpec({"cpu": DEFAULT_THRESHOLDS["cpu"]})
        self.rules = Snapshot((), {"shop": UpstreamSpec("shop", "::1", 1)}, shedding=spec)
        self.shedder.configure(self.rules, 0.0)

    def sample(self, cpu: float, samples: int) -> None:
        for _ in range(samples):
            self.now += 0.25
            self.shedder.update(Signals(self.now, 0.0, {"cpu": cpu}, {}))
            self.notice.tell()


def test_shedding_is_told_when_it_begins_reaches_further_and_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched()
    watched.sample(0.5, 40)
    watched.sample(0.82, 40)
    watched.sample(0.1, 200)
    assert caplog.messages == [
        "shedding 12% of low (upstream shop): cpu 82%",
        "shedding low and 12% of normal (upstream shop): cpu 82%",
        "shedding low, normal and 10% of high (upstream shop): cpu 82%",
        "nothing is shed any more",
    ]


def test_a_short_rest_is_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    watched.sample(0.76, 10)
    for _ in range(3):
        watched.sample(0.1, QUIET_SAMPLES - 1)
        assert not watched.shedder.active
        watched.sample(0.76, 10)
    assert caplog.messages == ["shedding 12% of low (upstream shop): cpu 76%"]


def test_what_rounds_to_nothing_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    level = watched.shedder.levels["shop"]
    level.level = 3.004
    watched.notice.tell()
    level.level = 3.02
    watched.notice.tell()
    assert caplog.messages == [
        "shedding low, normal and high (upstream shop): ",
        "shedding low, normal, high and 2% of critical (upstream shop): ",
    ]


def test_rules_that_shed_nobody_are_the_end_at_once(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched()
    watched.sample(0.76, 10)
    for _ in range(2):
        watched.shedder.configure(replace(watched.rules, shedding=None), watched.now)
        watched.notice.tell()
    watched.shedder.configure(watched.rules, watched.now)
    watched.notice.tell()
    watched.sample(0.76, 10)
    begun = "shedding 12% of low (upstream shop): cpu 76%"
    assert caplog.messages == [begun, "nothing is shed any more", begun]


def test_rules_without_upstreams_are_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    ShedNotice(Shedder()).tell()
    assert caplog.messages == []
