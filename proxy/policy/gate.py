"""What may hold back a request before it is sent, by what became of those before it."""

from abc import ABC, abstractmethod

from proxy.policy.outcome import Outcome
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import GateSpec


class Gate(ABC):
    """What was learnt about a callee: one for each upstream, or for a route's requests to it.

    `reason` is why it refuses, `spec` what it goes by (each kind has it once more, by its own type,
    as `goes_by`). `now` is in monotonic seconds, and does not fall. Every request that is `sent`
    has `ended` once, however it ends. One that `wait` lets through need not be sent: another limit
    may refuse it, or its client leave while it queues.
    """

    __slots__ = ("reason", "spec")

    def __init__(self, reason: Reason, spec: GateSpec) -> None:
        self.reason = reason
        self.spec = spec

    @abstractmethod
    def wait(self, now: float) -> float:
        """0.0: a request may be sent now. Else it is refused, and another may be sent in so many
        seconds, or not before them. Called once for an attempt: it may draw lots, and count.
        """

    def wait_again(self, now: float) -> float:  # noqa: ARG002 - for those that override it
        """The same for one that was let through before, and had to wait for its turn elsewhere:
        no lots are drawn twice.
        """
        return 0.0

    @abstractmethod
    def sent(self, now: float) -> int:
        """A request is sent now; the stamp to end it with."""

    @abstractmethod
    def ended(self, stamp: int, outcome: Outcome, latency: float, now: float) -> None:
        """What was sent with `stamp` is answered, or will not be, `latency` seconds after the
        callee had all of it; 0.0 if it never had.
        """
