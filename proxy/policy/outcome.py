"""What a request that was sent came to, as far as that tells about who was called."""

from enum import Enum
from typing import Final

from proxy.policy.reasons import Reason
from proxy.policy.snapshot import FailureSpec

REFUSALS: Final = frozenset({429, 503})
"""How a callee says that it will not do it now (RFC 6585 section 4, RFC 9110 section 15.6.4)."""

USUAL_FAILURES: Final = FailureSpec()
"""What counts as a failure where nothing is said."""


class Outcome(Enum):
    """`DROPPED`: the callee refused it. `IGNORED`: it tells nothing about the callee, since the
    client left, or the request itself was at fault, or it was never asked.
    """

    SUCCESS = "success"
    FAILURE = "failure"
    DROPPED = "dropped"
    IGNORED = "ignored"


# As hot as the states: see `proxy.policy.verdict`.
SUCCESS: Final = Outcome.SUCCESS
FAILURE: Final = Outcome.FAILURE
DROPPED: Final = Outcome.DROPPED
IGNORED: Final = Outcome.IGNORED


def of_answer(status: int, failures: FailureSpec) -> Outcome:
    """The outcome of an answer with `status`. What `failures` names is one, a 503 too."""
    if status in failures.statuses:
        return FAILURE
    return DROPPED if status in REFUSALS else SUCCESS


def of_silence(reason: Reason | None, failures: FailureSpec) -> Outcome:
    """The outcome of a request that ended without an answer; `reason` is what its client was told
    instead, None if it left.
    """
    if reason is Reason.UPSTREAM_ERROR:
        return FAILURE
    if reason is Reason.UPSTREAM_TIMEOUT and failures.timeouts:
        return FAILURE
    return IGNORED
