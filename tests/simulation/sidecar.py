"""Plan B in a simulation: the real engine, driven as a lane drives it."""

import random
from collections.abc import Callable

from proxy.policy.adaptive import AdaptiveLimiter
from proxy.policy.engine import Engine
from proxy.policy.request import Request
from proxy.policy.snapshot import Snapshot
from proxy.policy.verdict import Completion, State
from proxy.wire.client import client_key
from tests.simulation.events import Events
from tests.simulation.shop import Answer, Shop

LISTENER = "storefront"


class Sidecar:
    """An engine with `rules` before `shop`. Without rules: a proxy that forwards everything."""

    def __init__(self, events: Events, shop: Shop, rules: Snapshot | None, seed: int = 1) -> None:
        self.events = events
        self.shop = shop
        self.engine = (
            None if rules is None else Engine(rules, events.now, random.Random(seed).random)
        )

    @property
    def adaptive(self) -> AdaptiveLimiter:
        """What limits the requests to the upstream `shop`."""
        assert self.engine is not None
        return self.engine.rules.adaptive["shop"]

    def reload(self, rules: Snapshot) -> None:
        assert self.engine is not None
        *_, built = self.engine.build(rules)
        self.engine.swap(built, self.events.now)


class Exchange:
    """One request at a sidecar. `over` is called once with the status that the client gets, unless
    it left before.
    """

    def __init__(
        self,
        sidecar: Sidecar,
        path: str,
        client: str,
        answer: Answer,
        over: Callable[[int, bool], None],
    ) -> None:
        self._sidecar = sidecar
        self._events = sidecar.events
        self._answer = answer
        self._over = over
        self._settled = False
        self._forwarded = False
        self._sent_at = 0.0
        if sidecar.engine is None:
            self._forward()
            return
        self._engine = sidecar.engine
        about = Request("GET", "shop.test", path, b"", (), client_key(client))
        self._verdict = self._engine.decide(LISTENER, about, self._events.now, self._woken)
        self._go_on()

    def _woken(self) -> None:
        self._events.at(self._events.now, self._go_on)

    def _go_on(self) -> None:
        if self._settled or self._forwarded:
            return
        verdict, now = self._verdict, self._events.now
        if verdict.state is State.WAIT and now >= verdict.wait_until:
            self._engine.resume(verdict, now)
        if verdict.state is State.WAIT:
            self._events.at(verdict.wait_until, self._go_on)
        elif verdict.state is State.FORWARD:
            self._forward()
        else:
            assert verdict.reason is not None
            status = verdict.guard.answers[verdict.reason].status
            self._settle(status)
            self._over(status, True)

    def _forward(self) -> None:
        self._forwarded = True
        self._sent_at = self._events.now
        self._sidecar.shop.ask(self._answer, self._answered)

    def _answered(self, status: int) -> None:
        if self._settled:
            return
        if self._sidecar.engine is not None:
            now = self._events.now
            self._engine.answered(self._verdict, status, now - self._sent_at, now)
        self._settle(status)
        self._over(status, False)

    def leave(self) -> None:
        """The client gives up."""
        if not self._settled:
            self._settle(0)

    def _settle(self, status: int) -> None:
        self._settled = True
        if self._sidecar.engine is not None:
            now = self._events.now
            silence = now - self._sent_at if self._forwarded else 0.0
            self._engine.settle(self._verdict, Completion(status, 0.0, 0.0, None, silence), now)
