"""What is decided about a request, and what became of it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.gcra import Receipt
from proxy.policy.guard import AnyLimit, Guard, LiveLimit
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import LimitSpec

Permit = tuple[LiveLimit[ConcurrencyLimiter], bytes]
"""A concurrency limit and the key to take a permit of it by."""


Kind = Literal["admitted", "refused", "failed"]
"""What became of an exchange. A failed one was admitted, and answered by Plan B all the same."""


class State(Enum):
    """`WAIT` becomes `FORWARD` or `REFUSE`; each of the three ends as `SETTLED`."""

    WAIT = "wait"
    FORWARD = "forward"
    REFUSE = "refuse"
    SETTLED = "settled"


@dataclass(slots=True)
class Completion:
    """How an exchange ended; durations in seconds.

    `status` is the status that went to the client, 0 if none did. `reason` is set when a
    forwarded request was answered by Plan B after all. `own` is the part of `duration` that was
    spent in the proxy itself: not waiting for the upstream, for the client, or in a queue.
    """

    status: int
    duration: float
    own: float
    reason: Reason | None = None


class Verdict:
    """One request's decision: made by `Engine.decide`, ended by `Engine.settle`, once.

    `state` says what the lane has to do:

    - `FORWARD`: relay it; no body may be longer than `guard.max_body_bytes`.
    - `REFUSE`: send `guard.answers[reason]`, with `retry_after` in whole seconds if not None.
      `limit` is the limit that refused, if one did; a rate or pace would admit in `wait` seconds.
    - `WAIT`: call `Engine.resume` at `wait_until` (monotonic seconds), unless `wake` is called
      before that; after either, look at `state` and `wait_until` again.

    `waited` is the time in queues so far, in seconds.
    """

    __slots__ = (
        "charges",
        "decided_at",
        "guard",
        "holds",
        "limit",
        "queued_at",
        "queued_in",
        "reason",
        "retry_after",
        "shadows",
        "state",
        "wait",
        "wait_until",
        "waited",
        "wake",
        "wanted",
    )

    def __init__(self, guard: Guard, now: float, wake: Callable[[], None]) -> None:
        self.guard = guard
        self.decided_at = now
        self.wake = wake
        self.state = State.FORWARD
        self.reason: Reason | None = None
        self.retry_after: int | None = None
        self.limit: LimitSpec | None = None
        self.wait = 0.0
        self.wait_until = 0.0
        self.waited = 0.0
        # What was taken, so that it can be given back.
        self.charges: list[tuple[RateLimiter | PaceLimiter, bytes, Receipt]] = []
        self.holds: list[Permit] = []
        # The permits it needs, the one that it stands in a queue for, and the limits in shadow
        # mode that are to be asked when it is forwarded.
        self.wanted: list[Permit] = []
        self.shadows: list[tuple[AnyLimit, bytes]] = []
        self.queued_in: Permit | None = None
        self.queued_at: float | None = None
