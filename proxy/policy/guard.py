"""What holds for the requests of one route on one listener, ready to be asked."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, cast

from proxy.policy.adaptive import AdaptiveLimiter
from proxy.policy.advice import AdviceGate
from proxy.policy.answers import Answer
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.counters import LimitCounters, RouteCounters
from proxy.policy.gate import Gate
from proxy.policy.keeping import Keeping
from proxy.policy.outcome import USUAL_FAILURES
from proxy.policy.pace import PaceLimiter
from proxy.policy.priority import Priority
from proxy.policy.rate import RateLimiter
from proxy.policy.reasons import Reason
from proxy.policy.request import Request
from proxy.policy.retrying import Retrying
from proxy.policy.shared_rate import SharedRateLimiter
from proxy.policy.snapshot import ConcurrencySpec, FailureSpec

L = TypeVar("L", RateLimiter, PaceLimiter, ConcurrencyLimiter)


LONGEST_SPREAD: Final = 30.0
"""Seconds over which refused clients are spread at most: people don't wait longer for a page."""


class LiveLimit(Generic[L]):
    """A named limit's state and counts: they outlive reloads."""

    __slots__ = ("_returning_until", "_spreads", "counters", "limiter", "per")

    def __init__(self, limiter: L) -> None:
        self.limiter: L = limiter
        # A limit with another `per` is another limit: this one's stays.
        self.per = limiter.spec.per
        self._spreads = self.per is None and not isinstance(limiter.spec, ConcurrencySpec)
        self.counters = LimitCounters()
        self._returning_until = 0.0

    def key(self, request: Request) -> bytes:
        """What the limit counts `request` by; empty when it counts all alike."""
        per = self.per
        return b"" if per is None else per.key(request)

    def spread(self, rate: float, now: float) -> float:
        """Seconds over which clients refused now should return, so as not to return together;
        `rate` is its spec's.

        Each one that a rate for all refuses takes the time of one request at that rate, behind
        those refused before it: a virtual queue. A client with a limit of its own has none.
        """
        if not self._spreads:
            return 0.0
        begins = self._returning_until
        if begins < now:  # noqa: PLR1730 - `max` is a call
            begins = now
        ends = begins + 1.0 / rate
        latest = now + LONGEST_SPREAD
        self._returning_until = ends if ends < latest else latest  # noqa: FURB136 - as above
        return begins - now


AnyLimit = LiveLimit[RateLimiter] | LiveLimit[PaceLimiter] | LiveLimit[ConcurrencyLimiter]


class Guard:
    """A route's limits on a listener: those `enforced`, by kind, in their order; and those in
    shadow mode, which are asked only about requests that are forwarded; and what limits all that
    go to its upstream, if that is `adaptive`. `gates` are asked after them, in their order, and
    `failures` is what they are told as one. `only_rates`: there are no others but that, and
    neither shadows nor gates. `keeping` is what is kept of its answers; None: nothing. `retrying`
    says what is sent to it again; None: nothing. Callers say how long they wait in the field
    `deadline_header`. `shared` is the rate of which callers are told their share, `advice` the gate
    that answers' advice is for.
    """

    __slots__ = (
        "adaptive",
        "advice",
        "answers",
        "concurrencies",
        "counters",
        "deadline_header",
        "enforced",
        "failures",
        "gates",
        "keeping",
        "listener",
        "max_body_bytes",
        "only_rates",
        "paces",
        "priority",
        "rates",
        "retrying",
        "route",
        "shadows",
        "shared",
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
        priority: Priority,
        adaptive: AdaptiveLimiter | None = None,
        keeping: Keeping | None = None,
        gates: Sequence[Gate] = (),
        failures: FailureSpec = USUAL_FAILURES,
        retrying: Retrying | None = None,
        deadline_header: bytes | None = None,
    ) -> None:
        self.listener = listener
        self.route = route
        self.counters = counters
        self.answers = answers
        self.max_body_bytes = max_body_bytes
        self.priority = priority
        self.keeping = keeping
        self.enforced = enforced
        self.rates = _of_kind(enforced, RateLimiter)
        self.paces = _of_kind(enforced, PaceLimiter)
        self.concurrencies = _of_kind(enforced, ConcurrencyLimiter)
        self.shadows = shadows
        self.adaptive = adaptive
        self.gates = gates
        self.advice: AdviceGate | None = None
        for gate in gates:
            if isinstance(gate, AdviceGate):
                self.advice = gate
        self.shared: SharedRateLimiter | None = None
        for rate in self.rates:
            if isinstance(rate.limiter, SharedRateLimiter):
                self.shared = rate.limiter
        self.failures = failures
        self.retrying = retrying
        self.deadline_header = deadline_header
        # What may be sent again is counted when it is sent, which the shortest way leaves out.
        self.only_rates = retrying is None and not (
            self.paces or self.concurrencies or self.shadows or self.gates
        )

    def with_limits_of(self, other: "Guard") -> "Guard":
        """The guard with what `other` asks for besides, each limit once.

        Name, counters and answers stay; of the two longest bodies the smaller holds, and of the
        priorities the lower. Nothing is kept of what can be read in two ways.
        """
        enforced = [each for guard in (self, other) for each in guard.enforced]
        lengths = [each.max_body_bytes for each in (self, other) if each.max_body_bytes is not None]
        return Guard(
            self.listener,
            self.route,
            list(dict.fromkeys(enforced)),
            list(dict.fromkeys((*self.shadows, *other.shadows))),
            self.counters,
            self.answers,
            min(lengths, default=None),
            min(self.priority, other.priority),
            self.adaptive,
            gates=list(dict.fromkeys((*self.gates, *other.gates))),
            failures=self.failures,
            retrying=self.retrying,
            deadline_header=self.deadline_header,
        )


def _of_kind(limits: Sequence[AnyLimit], kind: type[L]) -> list[LiveLimit[L]]:
    return [cast("LiveLimit[Any]", limit) for limit in limits if isinstance(limit.limiter, kind)]
