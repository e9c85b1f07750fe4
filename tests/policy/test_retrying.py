"""Whether a request is sent again, and when."""

import pytest

from proxy.policy.reasons import Reason
from proxy.policy.retrying import LONGEST_RETRY_AFTER, Failure, Retrying
from proxy.policy.snapshot import RetrySpec

RESET = Failure(Reason.UPSTREAM_ERROR, sent=True, repeatable=True)
NO_END = float("inf")


def busy(status: int, retry_after: float | None = None) -> Failure:
    return Failure(
        *(Reason.UPSTREAM_ERROR,),
        sent=True,
        repeatable=True,
        status=status,
        retry_after=retry_after,
    )


def late(*, sent: bool = True) -> Failure:
    return Failure(Reason.UPSTREAM_TIMEOUT, sent=sent, repeatable=True, silence=1.0)


def retrying(jitter: float = 1.0, **spec: object) -> Retrying:
    return Retrying(RetrySpec(**spec), lambda: jitter)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- whether


@pytest.mark.parametrize("failure", [RESET, busy(502), busy(504), busy(503, 0.0), busy(503, 1.0)])
def test_what_failed_for_a_moment_is_sent_again(failure: Failure) -> None:
    assert retrying().pause(1, failure, NO_END, 0.0) is not None


@pytest.mark.parametrize(
    "failure",
    [
        *(busy(500), busy(429, 0.0), busy(404)),
        # A refusal that does not say when, and answers that say: not soon.
        *(busy(503), busy(503, 2.0), busy(502, 2.0)),
        late(),
    ],
)
def test_nothing_else_is(failure: Failure) -> None:
    assert retrying().pause(1, failure, NO_END, 0.0) is None


def test_what_is_sent_again_is_for_the_rules_to_say() -> None:
    these = retrying(statuses=frozenset({429, 500}), timeouts=True)
    assert these.pause(1, busy(500), NO_END, 0.0) is not None
    assert these.pause(1, busy(429, 1.0), NO_END, 0.0) is not None
    assert these.pause(1, late(), NO_END, 0.0) is not None
    assert these.pause(1, busy(429), NO_END, 0.0) is None
    assert these.pause(1, busy(502), NO_END, 0.0) is None


def test_what_may_not_be_repeated_is_sent_again_only_if_it_never_was() -> None:
    for reason in (Reason.UPSTREAM_ERROR, Reason.UPSTREAM_TIMEOUT):
        unsent = Failure(reason, sent=False, repeatable=False)
        assert retrying().pause(1, unsent, NO_END, 0.0) is not None
        sent = Failure(reason, sent=True, repeatable=False)
        assert retrying(timeouts=True).pause(1, sent, NO_END, 0.0) is None


def test_there_are_so_many_attempts() -> None:
    these = retrying(attempts=3)
    assert [these.pause(made, RESET, NO_END, 0.0) is None for made in (1, 2, 3)] == [
        *(False, False, True)
    ]


def test_over_the_budget_none_is_sent_again() -> None:
    these = retrying(least_per_second=0.0)
    pauses = [these.pause(1, RESET, NO_END, 0.0) for _ in range(12)]
    assert pauses[:10] == [0.025] * 10
    assert pauses[10:] == [None] * 2
    assert these.over_budget == 2


# ------------------------------------------------------------------------- when


def test_pauses_are_drawn_below_a_bound_that_doubles() -> None:
    spec = {"attempts": 9, "first_backoff": 0.025, "longest_backoff": 0.15, "least_per_second": 99}
    longest, shortest = retrying(1.0, **spec), retrying(0.0, **spec)
    pauses = [longest.pause(made, RESET, NO_END, 0.0) for made in range(1, 6)]
    assert pauses == [0.025, 0.05, 0.1, 0.15, 0.15]
    assert [shortest.pause(made, RESET, NO_END, 0.0) for made in range(1, 6)] == [0.0] * 5


def test_a_refusal_s_own_time_comes_before_it() -> None:
    assert retrying(0.5).pause(1, busy(503, LONGEST_RETRY_AFTER), NO_END, 0.0) == 1.0125


def test_who_waits_for_less_than_the_pause_is_not_sent_again_and_takes_no_token() -> None:
    these = retrying(1.0)
    assert these.pause(1, RESET, 0.025, 0.0) is None
    assert these.budget.left(0.0) == these.budget.reserve
    assert these.pause(1, RESET, 0.026, 0.0) is not None
