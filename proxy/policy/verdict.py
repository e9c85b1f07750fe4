"""What is decided about a request, and what became of it."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Literal

from proxy.policy.adaptive import AdaptiveLimiter
from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.deadline import NO_DEADLINE
from proxy.policy.gcra import Receipt
from proxy.policy.guard import AnyLimit, Guard, LiveLimit
from proxy.policy.keeping import Lookup
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.reasons import Reason
from proxy.policy.shared_rate import SharedRateLimiter
from proxy.policy.snapshot import AdaptiveSpec, GateSpec, LimitSpec
from proxy.policy.stored_response import StoredResponse

Permit = tuple[LiveLimit[ConcurrencyLimiter], bytes]
"""A concurrency limit and the key to take a permit of it by."""

Charge = tuple[RateLimiter | PaceLimiter, bytes, Receipt]
"""What was charged, by which key, and what that changed."""

Shadow = tuple[AnyLimit, bytes]
"""A limit in shadow mode and the key to ask it by."""

Kind = Literal["admitted", "refused", "failed"]
"""What became of an exchange. A failed one was admitted, and answered by Plan B all the same."""


class State(Enum):
    """`WAIT` becomes one of the others, and `FORWARD` may become `WAIT` once more; each ends as
    `SETTLED`.
    """

    WAIT = "wait"
    FORWARD = "forward"
    FAIL = "fail"
    REFUSE = "refuse"
    SERVE = "serve"
    SETTLED = "settled"


# Until Python 3.12, to look up a member of an enumeration takes 0.1 us, a twentieth of a decision:
# hot paths use these.
WAIT: Final = State.WAIT
FORWARD: Final = State.FORWARD
FAIL: Final = State.FAIL
REFUSE: Final = State.REFUSE
SERVE: Final = State.SERVE
SETTLED: Final = State.SETTLED


class Completion:
    """How an exchange ended; durations in seconds.

    `status` is the status that went to the client, 0 if none did. `reason` is set when a
    forwarded request was answered by Plan B after all. `own` is the part of `duration` that was
    spent in the proxy itself: not waiting for the upstream, for the client, or in a queue.
    `silence` is for how long the upstream has had the whole request; 0.0 if it never did. What
    comes before that is the client's time as well, and says nothing about the upstream.
    """

    __slots__ = ("duration", "own", "reason", "silence", "status")

    def __init__(
        self,
        status: int,
        duration: float,
        own: float,
        reason: Reason | None = None,
        silence: float = 0.0,
    ) -> None:
        self.status = status
        self.duration = duration
        self.own = own
        self.reason = reason
        self.silence = silence


class Flight:
    """A request on its way to the shop, the `leader`, for whose answer others wait: `followers`,
    verdicts, in the order of their coming. `response` is what may be sent to them, once it is
    there; `failed` says why the shop's own is not to be had, and they get the last good answer. At
    `late_at` (monotonic seconds) one of them need not leave it to that leader any more.
    """

    __slots__ = ("failed", "followers", "late_at", "leader", "response")

    def __init__(self, leader: Lookup, late_at: float) -> None:
        self.leader = leader
        self.late_at = late_at
        self.followers: OrderedDict[Verdict, None] = OrderedDict()
        self.response: StoredResponse | None = None
        self.failed: Reason | None = None


class Waiting:
    """What a verdict needs that isn't given at once. Most are, and have none."""

    __slots__ = (
        "charges",
        "flight",
        "queued_at",
        "queued_for",
        "queued_in",
        "shadows",
        "until",
        "wake",
        "wanted",
    )

    def __init__(
        self,
        wanted: Sequence[Permit],
        shadows: Sequence[Shadow],
        until: float,
        wake: Callable[[], None],
    ) -> None:
        self.until = until
        self.wake = wake
        # What was taken, so that it can be given back.
        self.charges: list[Charge] = []
        # The permits it needs, the one that it stands in a queue for, and the limits in shadow
        # mode that are to be asked when it is forwarded.
        self.wanted = wanted
        self.shadows = shadows
        self.queued_in: Permit | None = None
        self.queued_for: AdaptiveLimiter | None = None
        self.queued_at: float | None = None
        # Or another request's answer, which it waits for.
        self.flight: Flight | None = None


class Verdict:
    """One request's decision: made by `Engine.decide`, ended by `Engine.settle`, once.

    `state` says what the lane has to do:

    - `FORWARD`: relay it; no body may be longer than `guard.max_body_bytes`. When that fails,
      `Engine.retry` says whether it is done once more.
    - `FAIL`: it is not; answer for the last failure.
    - `REFUSE`: send `guard.answers[reason]`, with `retry_after` in whole seconds if not None.
      `limit` is the limit or gate that refused, if one did; unless it is one of concurrency, it
      would admit in `wait` seconds.
    - `SERVE`: send `lookup.served`, a stored response.
    - `WAIT`: call `Engine.resume` at `wait_until` (monotonic seconds), unless `wake` is called
      before that; after either, look at `state` and `wait_until` again.

    `lookup` is its place among the stored responses, None without one. `waited` is the time in
    queues, and until further attempts, in seconds: so far, since `decided_at`; that is put off by
    each attempt's own time. `attempts` is how often it was sent, counted where it may be sent
    again; `deadline` when its caller waits no longer, in monotonic seconds.
    `shared` is the rate of which its caller is to be told its share.
    """

    __slots__ = (
        "adaptive",
        "attempts",
        "began_with",
        "deadline",
        "decided_at",
        "guard",
        "holds",
        "limit",
        "lookup",
        "reason",
        "retry_after",
        "shared",
        "stamps",
        "state",
        "wait",
        "waited",
        "waiting",
    )

    def __init__(self, guard: Guard, now: float) -> None:
        self.guard = guard
        self.decided_at = now
        self.state = FORWARD
        self.reason: Reason | None = None
        self.retry_after: int | None = None
        self.limit: LimitSpec | AdaptiveSpec | GateSpec | None = None
        self.wait = 0.0
        self.waited = 0.0
        self.attempts = 0
        self.deadline = NO_DEADLINE
        # The permits that are to be released.
        self.holds: Sequence[Permit] = ()
        # Who counts it until the upstream answers, and how many were in flight with it at first.
        self.adaptive: AdaptiveLimiter | None = None
        self.began_with = 0
        # Of its guard's gates, for what was sent and has not ended.
        self.stamps: Sequence[int] = ()
        self.waiting: Waiting | None = None
        self.lookup: Lookup | None = None
        self.shared: SharedRateLimiter | None = None

    @property
    def wait_until(self) -> float:
        """See above; 0.0 when it never had to wait."""
        return 0.0 if self.waiting is None else min(self.waiting.until, self.deadline)

    def give_back(self, now: float) -> None:
        """Returns what a request that was never forwarded had taken: tokens, slots, its place."""
        waiting = self.waiting
        if waiting is None:
            return
        if waiting.flight is not None:
            waiting.flight.followers.pop(self, None)
            waiting.flight = None
        if waiting.queued_in is not None:
            concurrency, key = waiting.queued_in
            concurrency.limiter.remove(key, self)
            waiting.queued_in = None
        if (adaptive := waiting.queued_for) is not None:
            adaptive.queue.remove(self, self.guard.priority)
            waiting.queued_for = None
        for limiter, key, receipt in waiting.charges:
            limiter.refund(key, receipt, now)
        waiting.charges = []
