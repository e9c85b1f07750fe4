import pytest

from proxy.policy.outcome import USUAL_FAILURES, Outcome, of_answer, of_silence
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import FailureSpec


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (101, Outcome.SUCCESS),
        (200, Outcome.SUCCESS),
        (302, Outcome.SUCCESS),
        (404, Outcome.SUCCESS),
        (429, Outcome.DROPPED),
        (499, Outcome.SUCCESS),
        (500, Outcome.FAILURE),
        (502, Outcome.FAILURE),
        (503, Outcome.DROPPED),
        (504, Outcome.FAILURE),
        (599, Outcome.FAILURE),
    ],
)
def test_by_itself_an_error_is_a_failure_and_a_refusal_is_not(
    status: int, outcome: Outcome
) -> None:
    assert of_answer(status, USUAL_FAILURES) is outcome


def test_what_is_named_a_failure_is_one_even_if_it_is_a_refusal() -> None:
    failures = FailureSpec(statuses=frozenset({404, 503}))
    of = {status: of_answer(status, failures) for status in (404, 429, 500, 503)}
    assert of == {
        404: Outcome.FAILURE,
        429: Outcome.DROPPED,
        500: Outcome.SUCCESS,
        503: Outcome.FAILURE,
    }


@pytest.mark.parametrize("reason", [None, *Reason])
def test_without_an_answer_only_what_the_callee_did_is_a_failure(reason: Reason | None) -> None:
    broken = reason in {Reason.UPSTREAM_ERROR, Reason.UPSTREAM_TIMEOUT}
    assert of_silence(reason, USUAL_FAILURES) is (Outcome.FAILURE if broken else Outcome.IGNORED)


def test_timeouts_need_not_count() -> None:
    failures = FailureSpec(timeouts=False)
    assert of_silence(Reason.UPSTREAM_TIMEOUT, failures) is Outcome.IGNORED
    assert of_silence(Reason.UPSTREAM_ERROR, failures) is Outcome.FAILURE
