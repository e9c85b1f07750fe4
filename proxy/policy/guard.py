"""What holds for the requests of one route on one listener, ready to be asked."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from proxy.policy.answers import Answer
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.counters import LimitCounters, RouteCounters
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.reasons import Reason
from proxy.policy.request import Request

L = TypeVar("L", RateLimiter, PaceLimiter, ConcurrencyLimiter)


class LiveLimit(Generic[L]):
    """A named limit's state and counts: they outlive reloads."""

    __slots__ = ("counters", "limiter")

    def __init__(self, limiter: L) -> None:
        self.limiter: L = limiter
        self.counters = LimitCounters()

    def key(self, request: Request) -> bytes:
        """What the limit counts `request` by; empty when it counts all alike."""
        per = self.limiter.spec.per
        return b"" if per is None else per.key(request)


AnyLimit = LiveLimit[RateLimiter] | LiveLimit[PaceLimiter] | LiveLimit[ConcurrencyLimiter]


class Guard:
    """A route's limits on a listener: those `enforced`, by kind, in their order; and those in
    shadow mode, which are asked only about requests that are forwarded.
    """

    __slots__ = (
        "answers",
        "concurrencies",
        "counters",
        "listener",
        "max_body_bytes",
        "paces",
        "rates",
        "route",
        "shadows",
    )

    def __init__(
        self,
        listener: str,
        route: str,
        enforced: Sequence[AnyLimit],
        shadows: Sequence[AnyLimit],
        counters: RouteCounters,
        answers: Mapping[Reason, Answer],
        max_body_bytes: int | None,
    ) -> None:
        self.listener = listener
        self.route = route
        self.counters = counters
        self.answers = answers
        self.max_body_bytes = max_body_bytes
        self.rates = _of_kind(enforced, RateLimiter)
        self.paces = _of_kind(enforced, PaceLimiter)
        self.concurrencies = _of_kind(enforced, ConcurrencyLimiter)
        self.shadows = shadows


def _of_kind(limits: Sequence[AnyLimit], kind: type[L]) -> list[LiveLimit[L]]:
    return [cast("LiveLimit[Any]", limit) for limit in limits if isinstance(limit.limiter, kind)]
