"""Which gates stand before which callee."""

from collections.abc import Callable

from proxy.policy.advice import AdviceGate
from proxy.policy.breaker import Breaker
from proxy.policy.gate import Gate
from proxy.policy.snapshot import AdviceSpec, BreakerSpec, RouteSpec, ThrottleSpec, UpstreamSpec
from proxy.policy.throttle import Throttle

Callee = tuple[str, str]
"""An upstream, and the route whose requests to it are meant; empty for those of all routes."""


class Gates:
    """The gates of one version of the rules, by callee. What they have learnt outlives it: the
    next version's are made of those of the same callee, which go by the old specs until
    `configure`. `advice` is by upstream alone: all routes are one caller to it. `jitter` returns a
    number in [0, 1).
    """

    __slots__ = (
        "_advice_specs",
        "_jitter",
        "_old_advice",
        "_old_breakers",
        "_old_throttles",
        "_specs",
        "advice",
        "breakers",
        "throttles",
    )

    def __init__(self, jitter: Callable[[], float], old: "Gates | None" = None) -> None:
        self.breakers: dict[Callee, Breaker] = {}
        self.throttles: dict[Callee, Throttle] = {}
        self.advice: dict[str, AdviceGate] = {}
        self._jitter = jitter
        self._old_breakers: dict[Callee, Breaker] = {} if old is None else old.breakers
        self._old_throttles: dict[Callee, Throttle] = {} if old is None else old.throttles
        self._old_advice: dict[str, AdviceGate] = {} if old is None else old.advice
        self._advice_specs: dict[str, AdviceSpec] = {}
        self._specs: dict[Callee, tuple[BreakerSpec | None, ThrottleSpec | None]] = {}

    def before(self, upstream: UpstreamSpec, route: RouteSpec) -> list[Gate]:
        """Those that hold back requests of `route` to `upstream`, in their order."""
        gates = [
            *self._of((upstream.name, route.name), route.breaker, route.throttle),
            *self._of((upstream.name, ""), upstream.breaker, upstream.throttle),
        ]
        if (advice := upstream.advice) is not None:
            name = upstream.name
            if name not in self.advice:
                self._advice_specs[name] = advice
                self.advice[name] = self._old_advice.get(name) or AdviceGate(advice, self._jitter)
            gates.append(self.advice[name])
        return gates

    def _of(
        self, callee: Callee, breaker: BreakerSpec | None, throttle: ThrottleSpec | None
    ) -> list[Gate]:
        gates: list[Gate] = []
        if breaker is None and throttle is None:
            return gates
        if callee not in self._specs:
            self._specs[callee] = breaker, throttle
            if breaker is not None:
                its = self._old_breakers.get(callee)
                self.breakers[callee] = its or Breaker(breaker, self._jitter)
            if throttle is not None:
                old = self._old_throttles.get(callee)
                self.throttles[callee] = old or Throttle(throttle, self._jitter)
        if breaker is not None:
            gates.append(self.breakers[callee])
        if throttle is not None:
            gates.append(self.throttles[callee])
        return gates

    def configure(self, now: float) -> None:
        """Has all go by the specs of this version, from `now` on."""
        self._old_breakers = {}
        self._old_throttles = {}
        self._old_advice = {}
        for name, advice in self._advice_specs.items():
            self.advice[name].reconfigure(advice)
        for callee, (breaker, throttle) in self._specs.items():
            if breaker is not None and self.breakers[callee].spec != breaker:
                self.breakers[callee].reconfigure(breaker, now)
            if throttle is not None and self.throttles[callee].spec != throttle:
                self.throttles[callee].reconfigure(throttle)
