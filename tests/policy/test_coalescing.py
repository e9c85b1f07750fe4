"""Many requests for the same thing: who asks the shop, and what becomes of those who wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy import coalescing
from proxy.policy.coalescing import LONGEST_FOLLOW, UNSHARED_FOR
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import KeepSpec
from proxy.policy.verdict import Completion, State
from tests.policy.guarded import Call, Guarded, concurrency, rate
from tests.policy.kept import answer, lookup, shop

COOKIE = [(b"Cookie", b"sid=1")]


def not_for_others(engine: Guarded, call: Call, now: float) -> None:
    engine.engine.coalescing.not_kept(lookup(call), now)


def states(calls: list[Call]) -> list[str]:
    return [call.state.value for call in calls]


def test_one_asks_and_all_others_get_its_answer() -> None:
    engine = shop(rate("few", 1, burst=1))
    leader, *followers = [engine.ask(0.0) for _ in range(1000)]
    assert leader.state is State.FORWARD
    assert {call.state for call in followers} == {State.WAIT}
    response = answer(engine, leader, 0.5)
    for call in followers:
        assert call.woken == 1
        call.resume(0.5)
        assert call.state is State.SERVE
        assert lookup(call).served is response
        assert lookup(call).collapsed
        call.settle(0.6)
    counters = engine.rules.routes["all"]
    assert (counters.forwarded, counters.stored, counters.total) == (1, 999, 1000)
    # They have taken nothing.
    assert engine.counts("few") == (1, 0, 0)
    assert len(engine.engine.coalescing) == 0


def test_a_fresh_answer_is_served_without_asking_or_taking_anything() -> None:
    engine = shop(rate("few", 1, burst=1))
    answer(engine, engine.ask(0.0), 0.1)
    again = engine.ask(1.0)
    assert again.state is State.SERVE
    assert not lookup(again).collapsed
    again.settle(1.0)
    assert engine.counts("few") == (1, 0, 0)
    late = engine.ask(1.1)
    assert late.state is State.FORWARD
    late.settle(1.2, status=0)


def test_what_is_somebody_s_own_does_not_wait() -> None:
    engine = shop()
    leader, own = engine.ask(0.0), engine.ask(0.0, fields=COOKIE)
    assert states([leader, own]) == ["forward", "forward"]
    answer(engine, leader, 0.1)
    assert engine.ask(0.2, fields=COOKIE).state is State.FORWARD


def test_a_leader_that_fails_or_leaves_leads_to_the_next_and_to_no_other() -> None:
    engine = shop()
    leader, second, third = [engine.ask(0.0) for _ in range(3)]
    leader.settle(0.1, status=0)
    assert (second.woken, third.woken) == (1, 0)
    second.resume(0.1)
    assert states([second, third]) == ["forward", "wait"]
    engine.engine.settle(second.verdict, Completion(502, 0.1, 0.1, Reason.UPSTREAM_ERROR), 0.2)
    assert third.woken == 1
    third.resume(0.2)
    assert third.state is State.FORWARD
    answer(engine, third, 0.3)
    assert len(engine.engine.coalescing) == 0


STANDS_IN = KeepSpec(ttl=1.0, coalesce=True, last_good_for=60.0)


def test_when_the_shop_fails_all_get_the_last_good_answer_at_once() -> None:
    engine = shop(keep=STANDS_IN)
    last_good = answer(engine, engine.ask(0.0), 0.0)
    leader, *followers = [engine.ask(2.0) for _ in range(100)]
    lookup(leader).stands_in = True
    engine.engine.settle(leader.verdict, Completion(200, 0.1, 0.1, Reason.UPSTREAM_TIMEOUT), 2.1)
    for call in followers:
        assert call.woken == 1
        call.resume(2.1)
        found = lookup(call)
        assert call.state is State.SERVE
        assert (found.served, found.stands_in) == (last_good, True)
        assert (found.because, found.collapsed) == (Reason.UPSTREAM_TIMEOUT, False)
        call.settle(2.1)
    counters = engine.rules.routes["all"]
    assert (counters.last_good, counters.stored) == (100, 99)
    assert counters.failed[Reason.UPSTREAM_TIMEOUT] == 1
    assert len(engine.engine.coalescing) == 0
    # Who comes then asks anew.
    assert engine.ask(2.1).state is State.FORWARD


def test_a_last_good_answer_that_is_too_old_meanwhile_is_nobody_s() -> None:
    engine = shop(keep=STANDS_IN)
    answer(engine, engine.ask(0.0), 0.0)
    leader, follower = engine.ask(59.0), engine.ask(59.0)
    lookup(leader).stands_in = True
    engine.engine.settle(leader.verdict, Completion(200, 1.1, 0.1, Reason.UPSTREAM_ERROR), 60.1)
    follower.resume(60.1)
    assert follower.state is State.FORWARD
    assert lookup(follower).because is None
    follower.settle(60.2)


def test_a_leader_that_is_refused_a_new_one_leads_to_the_next() -> None:
    engine = shop(concurrency("one", 1), keep=STANDS_IN)
    answer(engine, engine.ask(0.0), 0.0)
    held = engine.ask(2.0, "/other")
    leader, follower = engine.ask(2.0), engine.ask(2.0)
    assert (leader.state, follower.state) == (State.REFUSE, State.WAIT)
    lookup(leader).stands_in = True
    leader.settle(2.0)
    held.settle(2.1)
    follower.resume(2.1)
    assert follower.state is State.FORWARD
    follower.settle(2.2)


def test_an_heir_that_leaves_before_it_could_lead_leads_to_the_next() -> None:
    engine = shop()
    leader, second, third = [engine.ask(0.0) for _ in range(3)]
    leader.settle(0.1, status=0)
    second.settle(0.1, status=0)
    assert third.woken == 1
    third.resume(0.2)
    assert third.state is State.FORWARD
    third.settle(0.2)
    assert len(engine.engine.coalescing) == 0


def test_a_follower_that_leaves_is_forgotten() -> None:
    engine = shop()
    leader, second, third = [engine.ask(0.0) for _ in range(3)]
    second.settle(0.1, status=0)
    leader.settle(0.2, status=0)
    assert (second.woken, third.woken) == (0, 1)
    third.settle(0.2, status=0)
    assert len(engine.engine.coalescing) == 0


def test_who_leads_is_decided_about_as_any_other() -> None:
    engine = shop(concurrency("one", 1))
    leader, second, third = [engine.ask(0.0) for _ in range(3)]
    held = engine.ask(0.0, "/other")
    assert held.reason is Reason.CONCURRENCY
    held.settle(0.0, status=503)
    # Its place goes to somebody else before the next leads.
    leader.settle(0.1, status=0)
    other = engine.ask(0.1, "/other")
    assert other.state is State.FORWARD
    second.resume(0.1)
    assert (second.state, second.reason) == (State.REFUSE, Reason.CONCURRENCY)
    second.settle(0.1, status=503)
    other.settle(0.2, status=0)
    third.resume(0.2)
    assert third.state is State.FORWARD
    third.settle(0.3)
    assert engine.concurrency("one").in_flight == 0


def test_a_leader_may_wait_for_its_turn() -> None:
    engine = shop(concurrency("one", 1, queue=1))
    busy = engine.ask(0.0, "/other")
    leader, second = engine.ask(0.0), engine.ask(0.0)
    assert states([leader, second]) == ["wait", "wait"]
    busy.settle(0.1, status=0)
    assert leader.state is State.FORWARD
    answer(engine, leader, 0.2)
    second.resume(0.2)
    assert second.state is State.SERVE


def test_nobody_follows_for_longer_than_its_patience() -> None:
    engine = shop()
    leader, second = engine.ask(0.0), engine.ask(1.0)
    assert second.verdict.wait_until == 1.0 + LONGEST_FOLLOW
    second.resume(1.0 + LONGEST_FOLLOW)
    assert second.state is State.FORWARD
    assert second.verdict.waited == LONGEST_FOLLOW
    second.settle(7.0)
    leader.settle(8.0)
    assert len(engine.engine.coalescing) == 0


def test_a_leader_that_had_its_time_leads_no_more() -> None:
    engine = shop()
    stuck, second, third = [engine.ask(0.0) for _ in range(3)]
    second.resume(LONGEST_FOLLOW)
    third.resume(LONGEST_FOLLOW)
    assert states([second, third]) == ["forward", "forward"]
    fourth = engine.ask(LONGEST_FOLLOW)
    assert states([fourth]) == ["wait"]
    # Not the third, which left at the same time, or there would be a leader for each of a crowd.
    third.settle(5.1)
    assert fourth.woken == 0
    answer(engine, second, 5.2)
    fourth.resume(5.2)
    assert states([fourth]) == ["serve"]
    stuck.settle(60.0)
    assert len(engine.engine.coalescing) == 0


def test_who_waited_for_too_long_is_served_what_another_has_brought() -> None:
    engine = shop()
    _stuck, second, third, fourth = [engine.ask(each / 10) for each in range(4)]
    second.resume(0.1 + LONGEST_FOLLOW)
    third.resume(0.2 + LONGEST_FOLLOW)
    assert states([second, third]) == ["forward", "forward"]
    answer(engine, third, 0.25 + LONGEST_FOLLOW)
    fourth.resume(0.3 + LONGEST_FOLLOW)
    assert fourth.state is State.SERVE
    assert not lookup(fourth).collapsed


def test_two_answers_in_a_row_that_are_for_nobody_else_send_all_on_their_own_ways() -> None:
    engine = shop()
    calls = [engine.ask(0.0) for _ in range(5)]
    not_for_others(engine, calls[0], 0.1)
    assert [call.woken for call in calls] == [0, 1, 0, 0, 0]
    calls[1].resume(0.1)
    not_for_others(engine, calls[1], 0.2)
    assert [call.woken for call in calls] == [0, 1, 1, 1, 1]
    for call in calls[2:]:
        call.resume(0.2)
    assert set(states(calls)) == {"forward"}
    # So do those who come for a while.
    later = [engine.ask(0.1 + UNSHARED_FOR) for _ in range(2)]
    assert states(later) == ["forward", "forward"]
    for call in [*calls, *later]:
        call.settle(0.1 + UNSHARED_FOR)
    again = [engine.ask(0.2 + UNSHARED_FOR) for _ in range(2)]
    assert states(again) == ["forward", "wait"]
    # Then one is enough.
    not_for_others(engine, again[0], 11.0)
    again[1].resume(11.0)
    assert states(again) == ["forward", "forward"]


def test_one_strange_answer_between_good_ones_changes_nothing() -> None:
    engine = shop()
    for now in (0.0, 10.0, 20.0):
        strange, good = engine.ask(now), engine.ask(now)
        not_for_others(engine, strange, now)
        good.resume(now)
        assert good.state is State.FORWARD
        answer(engine, good, now)
        strange.settle(now)
    assert states([engine.ask(30.0), engine.ask(30.0)]) == ["forward", "wait"]


def test_an_answer_is_for_those_who_asked_alike() -> None:
    engine = shop()
    german, english = [(b"Accept-Language", b"de")], [(b"Accept-Language", b"en")]
    leader = engine.ask(0.0, fields=german)
    alike, other = engine.ask(0.0, fields=german), engine.ask(0.0, fields=english)
    answer(engine, leader, 0.1, vary=(b"accept-language",))
    alike.resume(0.1)
    other.resume(0.1)
    assert states([alike, other]) == ["serve", "forward"]
    other.settle(0.1, status=0)
    # Now it is known, each has its own.
    apart = [engine.ask(9.0, fields=german), engine.ask(9.0, fields=english)]
    assert states(apart) == ["forward", "forward"]
    assert engine.ask(9.0, fields=english).state is State.WAIT


def test_a_request_whose_answer_may_not_be_kept_follows_and_never_leads() -> None:
    engine = shop()
    condition = [(b"If-Match", b'"1"')]
    first = engine.ask(0.0, fields=condition)
    leader = engine.ask(0.0)
    second, third = engine.ask(0.0, fields=condition), engine.ask(0.0)
    assert states([first, leader, second, third]) == ["forward", "forward", "wait", "wait"]
    leader.settle(0.1, status=0)
    # It need wait no longer: whoever leads is another.
    assert (second.woken, third.woken) == (1, 1)
    second.resume(0.1)
    third.resume(0.1)
    assert states([second, third]) == ["forward", "forward"]
    answer(engine, third, 0.2)


def test_so_many_follow_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    if not coalescing.__file__.endswith(".py"):
        pytest.skip("a compiled module's constants can't be changed")
    monkeypatch.setattr(coalescing, "MOST_FOLLOWERS", 2)
    engine = shop()
    calls = [engine.ask(0.0) for _ in range(4)]
    assert states(calls) == ["forward", "wait", "wait", "forward"]


def test_followers_are_answered_when_the_process_ends() -> None:
    engine = shop()
    leader, second, third = [engine.ask(0.0) for _ in range(3)]
    engine.engine.draining = True
    engine.engine.dismiss(second.verdict, 0.1)
    assert (second.state, second.reason) == (State.REFUSE, Reason.DRAINING)
    second.settle(0.1, status=503)
    leader.settle(0.2, status=0)
    third.resume(0.2)
    assert (third.state, third.reason) == (State.REFUSE, Reason.DRAINING)
    third.settle(0.2, status=503)
    assert len(engine.engine.coalescing) == 0


def test_without_coalescing_each_asks_until_there_is_an_answer() -> None:
    engine = shop(keep=KeepSpec(ttl=1.0))
    first, second = engine.ask(0.0), engine.ask(0.0)
    assert states([first, second]) == ["forward", "forward"]
    answer(engine, first, 0.1)
    assert engine.ask(0.2).state is State.SERVE


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "answer", "own", "fail", "leave", "resume", "later"]),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_nobody_waits_for_nothing_and_all_is_given_back(
    steps: list[tuple[str, int]],
) -> None:
    engine = shop(concurrency("two", 2, queue=2))
    calls: list[Call] = []
    now = 0.0
    for what, number in steps:
        call = calls[number % len(calls)] if calls else None
        if what == "ask":
            calls.append(engine.ask(now, f"/{number % 2}"))
        elif what == "later":
            now += number
        elif call is None:
            continue
        elif what == "resume" and (call.woken or now >= call.verdict.wait_until):
            call.resume(now)
        elif what == "own" and call.state is State.FORWARD:
            not_for_others(engine, call, now)
        elif what == "answer" and call.state is State.FORWARD:
            calls.remove(call)
            answer(engine, call, now)
        elif what in ("fail", "leave"):
            calls.remove(call)
            call.settle(now, status=0)
        # Who follows has somebody to follow, or was told that there is nobody.
        leaders = {lookup(each).full_key for each in calls if lookup(each).leads}
        for each in calls:
            waiting = each.verdict.waiting
            if each.state is State.WAIT and waiting is not None and waiting.flight is not None:
                assert each.woken or lookup(each).full_key in leaders
        assert len(engine.engine.coalescing) == len(leaders)
    while calls:
        calls.pop().settle(now, status=0)
    assert len(engine.engine.coalescing) == 0
    assert (engine.concurrency("two").in_flight, engine.concurrency("two").waiting) == (0, 0)
