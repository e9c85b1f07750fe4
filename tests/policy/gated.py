"""A gate that does as it is told, and fails where it is told what can't be."""

from proxy.policy.gate import Gate
from proxy.policy.outcome import Outcome
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import GateSpec
from tests.policy.guarded import FRONT, Guarded


class ToldGate(Gate):
    """Refuses newcomers for `closed_for` seconds, and those who come again for `again_for`."""

    def __init__(self, reason: Reason = Reason.BREAKER, name: str = "shop/gate") -> None:
        super().__init__(reason, GateSpec(name))
        self.closed_for = 0.0
        self.again_for = 0.0
        self.asked = 0
        self.out: set[int] = set()
        self.ends: list[tuple[Outcome, float]] = []
        self._stamps = 0

    def wait(self, now: float) -> float:
        self.asked += 1
        return self.closed_for

    def wait_again(self, now: float) -> float:
        return self.again_for

    def sent(self, now: float) -> int:
        self._stamps += 1
        self.out.add(self._stamps)
        return self._stamps

    def ended(self, stamp: int, outcome: Outcome, latency: float, now: float) -> None:
        self.out.remove(stamp)  # KeyError: it was never sent, or has ended
        self.ends.append((outcome, latency))


def put_before(engine: Guarded, *gates: Gate) -> None:
    """Has all requests of `engine` asked for by `gates`."""
    rules = engine.rules
    for guard in (*rules.guards[FRONT], rules.unmatched[FRONT]):
        guard.gates = gates
        guard.only_rates = False
