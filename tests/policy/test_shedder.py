from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from math import inf, nan

import pytest

from proxy.policy.keys import BY_CLIENT_ADDRESS, KeyKind, KeySource
from proxy.policy.priority import Priority
from proxy.policy.reasons import Reason
from proxy.policy.shedder import PROBE_SHARE, STALE, TURN
from proxy.policy.signals import Signals
from proxy.policy.snapshot import (
    ListenerSpec,
    RouteSpec,
    SheddingSpec,
    Snapshot,
    Threshold,
    UpstreamSpec,
)
from proxy.policy.verdict import State
from tests.policy.guarded import ANSWERS, FRONT, Call, Guarded, rate, request

CPU = Threshold(0.75, 0.85, 0.90)
ALL_BUT_CRITICAL = 0.85
LOW_AND_HALF_OF_NORMAL = 0.80
STEP = 0.25


def rules(
    signals: Mapping[str, Threshold] | None = None, *, per: KeySource = BY_CLIENT_ADDRESS
) -> Snapshot:
    """A listener before each of two upstreams, and a route for each priority; `signals` {} for
    rules without shedding."""
    wanted = {"cpu": CPU} if signals is None else signals
    spec = SheddingSpec(wanted, per)
    return Snapshot(
        (ListenerSpec(FRONT, "::1", 1, "shop"), ListenerSpec("side", "::1", 2, "coupons")),
        {name: UpstreamSpec(name, "::1", 3) for name in ("shop", "coupons")},
        tuple(
            RouteSpec(
                each.name.lower(),
                f"/{each.name.lower()}/**",
                answers=ANSWERS,
                priority=each,
                limits=("one",) if each is Priority.LOW else (),
            )
            for each in Priority
        ),
        {"one": rate("one", 1000, burst=1000)},
        ANSWERS,
        shedding=spec if wanted else None,
    )


class Shop(Guarded):
    """An engine with a clock that samples move."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        super().__init__(rules() if snapshot is None else snapshot)
        self.now = 0.0
        self.wall = 0.0

    def sample(
        self, seconds: float = STEP, *, of_shop: float | None = None, **values: float
    ) -> None:
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            self.wall += STEP
            upstreams = {} if of_shop is None else {"shop": {"upstream_latency": of_shop}}
            self.engine.shedder.update(Signals(self.now, self.wall, values, upstreams))

    def call(self, priority: str, client: int = 0) -> Call:
        call = self.ask(self.now, f"/{priority}/", client=f"192.0.2.{client}")
        call.settle(self.now)
        return call

    def share_shed(self, priority: str, clients: int = 200) -> float:
        """Of that many clients, how many are refused; probes are not of interest here."""
        self.engine.shedder._probes_left = 0
        calls = [self.call(priority, client) for client in range(clients)]
        return sum(call.reason is Reason.SHED for call in calls) / clients


def test_without_pressure_nobody_is_shed() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=0.7)
    assert not shop.engine.shedder.active
    assert {shop.share_shed(each.name.lower()) for each in Priority} == {0.0}


def test_the_lowest_priorities_go_first_and_of_one_a_share() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=LOW_AND_HALF_OF_NORMAL)
    shares = [shop.share_shed(each.name.lower()) for each in Priority]
    assert shares == [1.0, pytest.approx(0.5, abs=0.1), 0.0, 0.0]


def test_at_full_only_critical_stays_and_at_refuse_nobody() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=ALL_BUT_CRITICAL)
    assert [shop.share_shed(each.name.lower()) for each in Priority] == [1.0, 1.0, 1.0, 0.0]
    shop.sample(10.0, cpu=0.95)
    assert {shop.share_shed(each.name.lower()) for each in Priority} == {1.0}


def test_who_is_shed_is_refused_at_once_and_nothing_is_taken() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=ALL_BUT_CRITICAL)
    call = shop.ask(shop.now, "/low/")
    assert (call.state, call.reason) == (State.REFUSE, Reason.SHED)
    assert call.verdict.guard.answers[Reason.SHED].status == 503
    assert call.verdict.retry_after == 2
    assert shop.counts("one") == (0, 0, 0)
    assert shop.engine.shedder.shed[Priority.LOW] == 1


def test_the_worst_of_several_signals_counts() -> None:
    shop = Shop(rules({"cpu": CPU, "load": Threshold(1.2, 1.6, 2.0)}))
    shop.sample(10.0, cpu=0.1, load=1.6)
    level = shop.engine.shedder.levels["shop"]
    assert (level.level, level.blame) == (3.0, "load")


def test_one_upstream_s_trouble_is_no_other_listener_s() -> None:
    shop = Shop(rules({"upstream_latency": Threshold(1.0, 2.0, 3.0)}))
    shop.sample(10.0, of_shop=9.0)
    assert shop.share_shed("critical") == 1.0
    elsewhere = shop.engine.decide("side", request("/low/"), shop.now, lambda: None)
    assert elsewhere.state is State.FORWARD


def test_of_a_priority_the_same_clients_are_shed_for_minutes() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=LOW_AND_HALF_OF_NORMAL)
    shop.engine.shedder._probes_left = 0
    first = [shop.call("normal", client).reason for client in range(200)]
    shop.sample(60.0, cpu=LOW_AND_HALF_OF_NORMAL)
    shop.engine.shedder._probes_left = 0
    later = [shop.call("normal", client).reason for client in range(200)]
    # Of a fifth the turn has ended, and half of those are where they were.
    assert sum(a is not b for a, b in zip(first, later, strict=True)) < 30


def test_who_is_served_at_a_higher_level_is_served_at_a_lower_one() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=0.81)
    shop.engine.shedder._probes_left = 0
    served = {each for each in range(200) if shop.call("normal", each).reason is None}
    shop.sample(20.0, cpu=0.79)
    shop.wall = 10.0 - STEP  # nobody's turn has ended
    shop.sample(cpu=0.79)
    shop.engine.shedder._probes_left = 0
    later = {each for each in range(200) if shop.call("normal", each).reason is None}
    assert served < later


def test_nobody_is_the_loser_for_ever() -> None:
    shop = Shop()
    clients = [request(client=f"192.0.2.{each}") for each in range(500)]
    turns: list[list[bool]] = []
    for turn in range(4):
        shop.wall = turn * TURN
        shop.sample(cpu=0.0)
        turns.append([shop.engine.shedder.place(each) < 0.5 for each in clients])
    for losers, next_losers in pairwise(turns):
        assert sum(losers) == pytest.approx(250, abs=50)
        twice = sum(a and b for a, b in zip(losers, next_losers, strict=True))
        assert twice == pytest.approx(125, abs=40)


def test_each_has_its_turn_at_a_moment_of_its_own() -> None:
    """Not all at once, or every visit under way would be torn then."""
    shop = Shop()
    clients = [request(client=f"192.0.{each // 250}.{each % 250}") for each in range(300)]
    place = shop.engine.shedder.place
    shop.wall = 1e9 + 7.0
    shop.sample(cpu=0.0)
    places = [place(each) for each in clients]
    moved_at: list[list[int]] = [[] for _ in clients]
    for second in range(2 * int(TURN)):
        shop.sample(1.0, cpu=0.0)
        was, places = places, [place(each) for each in clients]
        moved = [number for number in range(300) if was[number] != places[number]]
        assert len(moved) < 10, "one of three hundred, give or take a few"
        for number in moved:
            moved_at[number].append(second)
    assert {len(each) for each in moved_at} == {2}
    assert {after - before for before, after in moved_at} == {int(TURN)}


def test_all_sidecars_of_a_shop_shed_the_same_clients() -> None:
    places = []
    for started in (0.0, 100.0):
        shop = Shop()
        shop.now, shop.wall = started, 1e9
        shop.sample(cpu=0.0)
        places.append(shop.engine.shedder.place(request(client="192.0.2.7")))
    assert places[0] == places[1]


def test_a_client_is_what_the_rules_say() -> None:
    shop = Shop(rules(per=KeySource(KeyKind.COOKIE, "sid")))
    shop.sample(cpu=0.0)
    place = shop.engine.shedder.place
    one = request(client="192.0.2.1", fields=[(b"Cookie", b"sid=a")])
    moved = request(client="192.0.2.2", fields=[(b"Cookie", b"sid=a")])
    other = request(client="192.0.2.1", fields=[(b"Cookie", b"sid=b")])
    assert place(one) == place(moved) != place(other)


def test_a_sample_that_nobody_renews_opens_the_door() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=1.0)
    assert shop.share_shed("critical") == 1.0
    shop.now += STALE
    assert shop.share_shed("low") == 0.0
    assert not shop.engine.shedder.active
    # Who comes back from the dead begins anew.
    shop.sample(cpu=1.0)
    assert shop.share_shed("low") == 0.0


@pytest.mark.parametrize("value", [nan, inf, -1.0, 1e300])
def test_what_can_t_be_measured_sheds_nobody(value: float) -> None:
    shop = Shop()
    shop.sample(10.0, cpu=value)
    assert not shop.engine.shedder.active


def test_a_signal_that_is_missing_sheds_nobody() -> None:
    shop = Shop()
    shop.sample(10.0, load=9.0)
    assert not shop.engine.shedder.active


@pytest.mark.parametrize("wall", [nan, inf, -1e9, 1e300])
def test_a_wall_clock_gone_mad_only_changes_who_is_shed(wall: float) -> None:
    shop = Shop()
    shop.wall = wall
    shop.sample(10.0, cpu=LOW_AND_HALF_OF_NORMAL)
    assert shop.share_shed("normal") == pytest.approx(0.5, abs=0.1)


def test_one_in_a_hundred_is_let_in_to_see() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=1.0)
    shedder = shop.engine.shedder
    for _ in range(400):
        shop.sample(cpu=1.0)
        for client in range(10):
            shop.call("critical", client)
    assert shedder.probes == pytest.approx(4000 * PROBE_SHARE, abs=2)
    assert shedder.shed[Priority.CRITICAL] == 4000 - shedder.probes


def test_the_important_are_let_in_first() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=1.0)
    admitted = {"low": 0, "critical": 0}
    for _ in range(400):
        shop.sample(cpu=1.0)
        for client in range(10):
            for priority in ("low", "critical"):
                admitted[priority] += shop.call(priority, client).reason is None
    assert admitted["critical"] > 70
    assert admitted["low"] == 0


def test_a_flood_is_not_let_in_as_its_own_hundredth() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=1.0)
    for _ in range(4):
        shop.sample(cpu=1.0)
        for client in range(2500):
            shop.call("critical", client % 250)
    assert shop.engine.shedder.probes <= 12


def test_higher_thresholds_hold_at_once_and_lower_ones_as_the_level_rises() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=0.87)
    assert shop.share_shed("high") == 1.0
    shop.reload(rules({"cpu": Threshold(0.95, 0.97, 0.99)}), shop.now)
    assert shop.share_shed("low") == 0.0
    shop.reload(rules({"cpu": Threshold(0.10, 0.20, 0.30)}), shop.now)
    assert shop.share_shed("low") == 0.0
    shop.sample(10.0, cpu=0.87)
    assert shop.share_shed("critical") == 1.0
    shop.reload(rules({}), shop.now)
    assert shop.share_shed("low") == 0.0
    shop.sample(10.0, cpu=1.0)
    assert not shop.engine.shedder.active


def test_rules_that_say_the_same_change_nothing() -> None:
    shop = Shop()
    shop.sample(2.0, cpu=0.87)
    level = shop.engine.shedder.levels["shop"].level
    assert 0.0 < level < 3.0
    shop.reload(replace(rules(), version="new"), shop.now)
    assert shop.engine.shedder.levels["shop"].level == level


def _level(shop: Shop) -> float:
    return shop.engine.shedder.levels["shop"].level


def test_another_per_is_no_change_of_the_level() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=ALL_BUT_CRITICAL)
    shop.sample(cpu=0.1)
    assert _level(shop) == 3.0
    shop.reload(rules(per=KeySource(KeyKind.COOKIE, "sid")), shop.now)
    assert _level(shop) == 3.0


def test_a_signal_that_is_new_does_not_open_the_door() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=ALL_BUT_CRITICAL)
    shop.reload(rules({"load": Threshold(1.2, 1.6, 2.0)}), shop.now)
    assert _level(shop) == 3.0
    shop.sample(10.0, load=1.6)
    assert _level(shop) == 3.0
    shop.sample(20.0, load=0.1)
    assert _level(shop) == 0.0


def test_a_signal_that_the_rules_leave_out_sheds_nobody_any_more() -> None:
    both = {"cpu": CPU, "load": Threshold(1.2, 1.6, 2.0)}
    shop = Shop(rules(both))
    shop.sample(10.0, cpu=ALL_BUT_CRITICAL, load=0.1)
    shop.reload(rules({"load": both["load"]}), shop.now)
    assert _level(shop) == 0.0


def test_of_two_readings_of_a_path_the_less_important_counts() -> None:
    shop = Shop()
    shop.sample(10.0, cpu=ALL_BUT_CRITICAL)
    call = shop.ask(shop.now, "/critical/", other_paths=("/low/",))
    assert call.reason is Reason.SHED


def test_what_the_shop_calls_is_not_shed() -> None:
    made = rules()
    front, side = made.listeners
    calls = ListenerSpec("calls", "::1", 3, "shop", outbound=True)
    shop = Shop(replace(made, listeners=(front, replace(side, outbound=True), calls)))
    shedder = shop.engine.shedder
    for step in range(40):
        shedder.update(Signals(step / 4, 0.0, {"cpu": 1.0}, {}))
    assert list(shedder.levels) == ["shop"], "none is called coupons' by whom it does not hold for"
    for listener in ("side", "calls", FRONT):
        verdict = shop.engine.decide(listener, request("/low/x"), 10.0, lambda: None)
        assert verdict.state is (State.REFUSE if listener == FRONT else State.FORWARD)
