"""A whole simulation in one object: visitors, sidecars, shop."""

from collections.abc import Callable, Mapping, Sequence

from proxy.policy.answers import Answer as PageAnswer
from proxy.policy.answers import Form
from proxy.policy.priority import Priority
from proxy.policy.reasons import Reason
from proxy.policy.snapshot import (
    AdaptiveSpec,
    BreakerSpec,
    LimitSpec,
    ListenerSpec,
    RouteSpec,
    Snapshot,
    UpstreamSpec,
)
from tests.simulation.account import Account, Tally
from tests.simulation.events import Events
from tests.simulation.shop import Shop
from tests.simulation.sidecar import LISTENER, Sidecar
from tests.simulation.visitors import Kind, Manners, Visitors

_FORM = Form("text/plain", "", b"", b"", (b"",))
_ANSWERS = {reason: PageAnswer(reason, reason.status, (_FORM,), (2.0, 6.0)) for reason in Reason}


def rules(
    *limits: LimitSpec,
    adaptive: AdaptiveSpec | None = None,
    priorities: Mapping[str, Priority] | None = None,
    limited: Mapping[str, Sequence[LimitSpec]] | None = None,
    breaker: BreakerSpec | None = None,
) -> Snapshot:
    """Rules of one listener, whose limits they are. `priorities` are those of paths, which have
    the limits `limited` besides.
    """
    of_paths = limited or {}
    routes = [
        RouteSpec(
            path.strip("/"),
            path,
            answers=_ANSWERS,
            priority=priority,
            limits=tuple(each.name for each in of_paths.get(path, ())),
        )
        for path, priority in (priorities or {}).items()
    ]
    everywhere = [*limits, *(each for some in of_paths.values() for each in some)]
    return Snapshot(
        (ListenerSpec(LISTENER, "::1", 1, "shop", limits=tuple(each.name for each in limits)),),
        {"shop": UpstreamSpec("shop", "::1", 2, adaptive_concurrency=adaptive, breaker=breaker)},
        tuple(routes),
        {each.name: each for each in everywhere},
        _ANSWERS,
    )


ADAPTIVE = AdaptiveSpec("shop/adaptive")
BY_ITSELF = rules(adaptive=ADAPTIVE)
"""Adaptive concurrency, and nothing set by hand."""

CALM = Manners()
"""A visitor that leaves after a second and does not come back."""


class Street:
    """Visitors, `sidecars` with `snapshot` (None: no proxy) and the shop behind them.

    Time is in seconds since the beginning. `capacity` is what the shop can serve in a second of
    work of 20 ms; loads are multiples of it.
    """

    def __init__(
        self,
        snapshot: Snapshot | None = BY_ITSELF,
        *,
        slots: int = 20,
        contention: float = 0.0,
        kinds: Sequence[Kind] = (Kind(),),
        manners: Manners = CALM,
        work: float = 0.02,
        sidecars: int = 1,
        poisson: bool = True,
        seed: int = 1,
    ) -> None:
        self.events = Events()
        self._began_at = self.events.now
        self.shop = Shop(self.events, slots, contention=contention)
        self.capacity = slots / work
        self.sidecars = [
            Sidecar(self.events, self.shop, snapshot, seed + number) for number in range(sidecars)
        ]
        self.account = Account(self.events.now)
        self._visitors = Visitors(
            self.events, self.sidecars, kinds, manners, self.account, poisson=poisson, seed=seed
        )

    @property
    def now(self) -> float:
        return self.events.now - self._began_at

    @property
    def limit(self) -> int:
        """How many requests the first sidecar lets in flight."""
        return self.sidecars[0].adaptive.algorithm.places

    def refused_by(self, limit: str) -> int:
        """How many requests `limit` has refused at the first sidecar."""
        engine = self.sidecars[0].engine
        assert engine is not None
        return engine.rules.limits[limit].counters.refused

    def at(self, when: float, call: Callable[[], None]) -> None:
        self.events.at(self._began_at + when, call)

    def load(self, times: float) -> None:
        """From now on so many times the capacity come."""
        self._visitors.come(times * self.capacity)

    def run(self, seconds: float, times: float | None = None) -> Tally:
        """Lets so much time pass, with a load of `times` if it is to change; what happened."""
        if times is not None:
            self.load(times)
        begin = self.now
        self.events.run(self._began_at + begin + seconds)
        return self.account.between(begin, self.now)

    def share(self, begin: float, end: float) -> float:
        """Answers within 250 ms from `begin` to `end`, as a share of the capacity."""
        return self.account.between(begin, end).good / ((end - begin) * self.capacity)
