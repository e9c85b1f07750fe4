"""When a request that failed is sent once more."""

from collections.abc import Callable
from typing import Final

from proxy.policy.reasons import Reason
from proxy.policy.retry_budget import RetryBudget
from proxy.policy.snapshot import RetrySpec

LONGEST_RETRY_AFTER: Final = 1.0
"""Seconds that a refusal may ask us to wait, for us to do so in its client's place. One is the
least that `Retry-After` can say; whoever is told more learns it, and waits better than we can.
"""

_REFUSALS: Final = frozenset({429, 503})
"""Who answers so has had enough: only it can say when to come again (RFC 6585 section 4, RFC 9110
section 15.6.4)."""


class Failure:
    """How an attempt failed, of whose answer the client has seen nothing.

    `reason` is why, `status` that of the upstream's answer, 0 without one; `retry_after` are the
    seconds that this asks for, None where it does not. `silence` is for how long the upstream has
    had the whole request (see `Completion`). `sent`: it may have seen some of it. `repeatable`: it
    may be sent again even so.
    """

    __slots__ = ("reason", "repeatable", "retry_after", "sent", "silence", "status")

    def __init__(
        self,
        reason: Reason,
        *,
        sent: bool,
        repeatable: bool,
        silence: float = 0.0,
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        self.reason = reason
        self.sent = sent
        self.repeatable = repeatable
        self.silence = silence
        self.status = status
        self.retry_after = retry_after


class Retrying:
    """Whether, and when, requests to one upstream are sent again; and how that went.

    Retries were `answered`, or `failed` as well; or their clients left. Those that were
    `held_back` were to be sent, but then a limit, or a breaker, let nothing through, or there was
    no time left; for those `over_budget` there were too many.
    """

    __slots__ = ("_jitter", "answered", "budget", "failed", "held_back", "over_budget", "spec")

    def __init__(self, spec: RetrySpec, jitter: Callable[[], float]) -> None:
        self.spec = spec
        self.budget = RetryBudget(spec.budget, spec.least_per_second)
        self.answered = 0
        self.failed = 0
        self.held_back = 0
        self.over_budget = 0
        self._jitter = jitter

    def pause(self, attempts: int, failure: Failure, left: float, now: float) -> float | None:
        """Seconds until the next attempt, for which a token of the budget is taken; None: none is
        to follow. There were `attempts`, and the client waits for `left` seconds more.

        Exponential backoff with full jitter: anything between nothing and a bound that doubles
        with each attempt spreads those best that failed together (Brooker, "Exponential Backoff
        and Jitter", AWS Architecture Blog, 2015). Where the upstream has named a time that comes
        before it.
        """
        spec = self.spec
        if attempts >= spec.attempts or not self._may_follow(failure):
            return None
        bound = min(spec.longest_backoff, spec.first_backoff * 2.0 ** (attempts - 1))
        pause = (failure.retry_after or 0.0) + bound * self._jitter()
        if pause >= left:
            return None
        if not self.budget.spend(now):
            self.over_budget += 1
            return None
        return pause

    def _may_follow(self, failure: Failure) -> bool:
        spec, status = self.spec, failure.status
        if failure.sent and not failure.repeatable:
            return False
        if not status:
            return spec.timeouts or not failure.sent or failure.reason is Reason.UPSTREAM_ERROR
        wait = failure.retry_after
        if status in _REFUSALS and wait is None:
            return False
        return status in spec.statuses and (wait is None or wait <= LONGEST_RETRY_AFTER)

    def reconfigure(self, spec: RetrySpec, now: float) -> None:
        """Goes on by other rules."""
        self.spec = spec
        self.budget.reconfigure(spec.budget, spec.least_per_second, now)
