"""Sidecars that call one other: what a callee's advice does, with the real engines of both sides.

Time, network and the callee's shop are made up; what they tell each other are the real field lines.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proxy.policy.answers import Answer, Form
from proxy.policy.engine import Engine
from proxy.policy.keys import BY_CALLER
from proxy.policy.reasons import Reason
from proxy.policy.request import Request
from proxy.policy.snapshot import (
    AdviceSpec,
    ListenerSpec,
    SharedRateSpec,
    Snapshot,
    UpstreamSpec,
)
from proxy.policy.verdict import FORWARD, Completion
from proxy.wire.caller import caller_field, read_caller
from proxy.wire.rate_advice import read_rate_advice
from proxy.wire.rate_limit import share_fields
from tests.simulation.events import Events

_FORM = Form("text/plain", "", b"", b"", (b"",))
_ANSWERS = {reason: Answer(reason, reason.status, (_FORM,), (2.0, 6.0)) for reason in Reason}


@dataclass
class Count:
    """What one caller wanted, what it sent, and what of that was served; the rest was in vain."""

    wanted: int = 0
    sent: int = 0
    served: int = 0

    def __sub__(self, other: "Count") -> "Count":
        return Count(self.wanted - other.wanted, self.sent - other.sent, self.served - other.served)


class Callee:
    """An inbound sidecar whose callers share `rate`. Its shop answers at once."""

    def __init__(self, events: Events, name: bytes, rate: float, burst: int) -> None:
        self.name = name
        shared = SharedRateSpec("shared", rate, burst, round(rate), 1, BY_CALLER)
        snapshot = Snapshot(
            (ListenerSpec("inbound", "::1", 1, "shop", limits=("shared",)),),
            {"shop": UpstreamSpec("shop", "::1", 2)},
            limits={"shared": shared},
            answers=_ANSWERS,
        )
        self._events = events
        self.engine = Engine(snapshot, events.now, random.Random(1).random)

    def ask(self, field: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Status and fields of the answer to a request with this `Planb-Caller`."""
        now = self._events.now
        request = Request("GET", "shop.test", "/", b"", (), b"@192.0.2.1")
        shared = self.engine.rules.shared["inbound"]
        if field and (caller := read_caller(field)) is not None:
            request.caller = caller[0]
            if caller[1] >= 0.0:
                shared.told(request.caller, caller[1], now)
        verdict = self.engine.decide("inbound", request, now, _never)
        status = 200 if verdict.state is FORWARD else verdict.guard.answers[Reason.RATE].status
        self.engine.settle(verdict, Completion(status, 0.0, 0.0), now)
        if verdict.shared is None:
            return status, []
        wait = verdict.wait if status != 200 else 0.0
        lines = share_fields("shared", self.name, verdict.shared.share, wait).splitlines()
        return status, [(name, value) for name, _, value in (x.partition(b": ") for x in lines)]


class Caller:
    """An outbound sidecar whose app wants `demand` requests a second, at random moments.

    `obeys` the advice or sends them all; `claims` what it says it wants, if that is not the truth.
    """

    def __init__(
        self, fleet: "Fleet", name: bytes, demand: float, *, obeys: bool, claims: float | None
    ) -> None:
        self.count = Count()
        self.demand = demand
        self._fleet = fleet
        self._name = name
        self._claims = claims
        advice = AdviceSpec("callee/advice") if obeys else None
        snapshot = Snapshot(
            (ListenerSpec("outbound", "::1", 1, "callee"),),
            {"callee": UpstreamSpec("callee", "::1", 2, advice=advice)},
            answers=_ANSWERS,
        )
        self._engine = Engine(snapshot, fleet.events.now, fleet.random.random)
        self._come()

    def _come(self) -> None:
        events, draw = self._fleet.events, self._fleet.random
        if self.demand:
            events.after(draw.expovariate(self.demand), self._want)
        else:
            events.after(0.05, self._come)

    def _want(self) -> None:
        self._come()
        now, draw = self._fleet.events.now, self._fleet.random
        self.count.wanted += 1
        request = Request("GET", "callee.test", "/", b"", (), b"@192.0.2.1")
        verdict = self._engine.decide("outbound", request, now, _never)
        if verdict.state is not FORWARD:
            assert verdict.reason is Reason.ADVISED
            self._engine.settle(verdict, Completion(429, 0.0, 0.0), now)
            return
        self.count.sent += 1
        gate = verdict.guard.advice
        wants = gate.demand(now) if gate is not None else self._claims
        if self._claims is not None:
            wants = self._claims
        line = b"" if wants is None else caller_field(self._name, wants)
        field = line.partition(b": ")[2]

        def arrive() -> None:
            status, fields = draw.choice(self._fleet.callees).ask(field)
            self._fleet.travel(lambda: answered(status, fields))

        def answered(status: int, fields: list[tuple[bytes, bytes]]) -> None:
            then = self._fleet.events.now
            self.count.served += status == 200
            self._engine.answered(verdict, status, then - now, then)
            advice = read_rate_advice(status, fields)
            if gate is not None and advice is not None:
                gate.advised(advice, then)
            self._engine.settle(verdict, Completion(status, then - now, 0.0), then)

        self._fleet.travel(arrive)


class Fleet:
    """Callers with these `demands` (requests per second), and so many instances of the callee, each
    with a `rate` for all, before whom a balancer chooses at random. A way takes a millisecond at
    least, and `slowest_way` (seconds) at most.
    """

    def __init__(
        self,
        demands: Sequence[float],
        *,
        rate: float = 1000.0,
        burst: int = 100,
        obeys: bool = True,
        slowest_way: float = 0.005,
        callees: int = 1,
        seed: int = 1,
    ) -> None:
        self.events = Events()
        self.random = random.Random(seed)
        self.rate = rate * callees
        self._each = (rate, burst)
        self.callees: list[Callee] = []
        for _ in range(callees):
            self.start()
        self.callers: list[Caller] = []
        self._slowest_way = slowest_way
        for demand in demands:
            self.join(demand, obeys=obeys)

    def start(self) -> None:
        """One more instance of the callee starts."""
        name = b"instance-%d" % self.random.getrandbits(32)
        self.callees.append(Callee(self.events, name, *self._each))

    def join(self, demand: float, *, obeys: bool = True, claims: float | None = None) -> Caller:
        name = b"caller-%d" % len(self.callers)
        caller = Caller(self, name, demand, obeys=obeys, claims=claims)
        self.callers.append(caller)
        return caller

    def travel(self, then: Callable[[], None]) -> None:
        self.events.after(self.random.uniform(0.001, self._slowest_way), then)

    def run(self, seconds: float) -> "Stretch":
        """Lets so much time pass; what happened."""
        before = [Count() - Count() for _ in self.callers]
        for count, caller in zip(before, self.callers, strict=True):
            count.wanted, count.sent = caller.count.wanted, caller.count.sent
            count.served = caller.count.served
        self.events.run(self.events.now + seconds)
        counts = [c.count - b for c, b in zip(self.callers, before, strict=True)]
        return Stretch(counts, seconds, self.rate)


@dataclass
class Stretch:
    """What happened in `seconds`, by caller."""

    counts: list[Count]
    seconds: float
    rate: float

    @property
    def wasted(self) -> float:
        """Requests sent and refused, as a share of those sent."""
        sent = sum(count.sent for count in self.counts)
        return 1.0 - sum(count.served for count in self.counts) / sent

    @property
    def used(self) -> float:
        """The part of the callee's rate that served somebody."""
        return sum(self.served) / self.rate

    @property
    def served(self) -> list[float]:
        """Requests served a second."""
        return [count.served / self.seconds for count in self.counts]

    @property
    def wanted(self) -> list[float]:
        """Requests wanted a second."""
        return [count.wanted / self.seconds for count in self.counts]


def _never() -> None:
    raise AssertionError("nobody waits")
