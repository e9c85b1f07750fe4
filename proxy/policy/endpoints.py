"""Which of an upstream's endpoints is asked next."""

from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from proxy.policy.endpoint_health import EJECTED, SERVING, EndpointHealth
from proxy.policy.endpoint_spec import EjectionSpec, most_ejected

_ON_TRIAL: Final = 1 << 40
"""Weighs more than any number of requests: one that returns has its trial in flight already."""


class Endpoint(Protocol):
    """One of them, with connections of its own."""

    @property
    def in_flight(self) -> int:
        """Requests that it has, or that a connection is being made for."""

    @property
    def health(self) -> EndpointHealth:
        """Its record, which is `Endpoints`'s to keep."""


E = TypeVar("E", bound=Endpoint)


class Endpoints(Generic[E]):
    """The endpoints of one upstream, at least one.

    The power of two choices: of two that are drawn the one with fewer requests in flight is asked.
    That is nearly as even as looking at all, and herds less, since who decides does not see what
    others send (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS
    12(10), 2001); Envoy's LEAST_REQUEST does the same. One that hangs is avoided by it long before
    anything has timed out; one that fails at once looks idle, and is ejected (`EndpointHealth`).

    Never more than `spec.most_ratio` are ejected at once, and never the last: whatever is wrong
    with all of them is better borne by all. `draw` returns random numbers from [0, 1).
    """

    __slots__ = ("_draw", "_ejected", "_live", "_next_return", "all", "spec")

    def __init__(
        self, spec: EjectionSpec, endpoints: Sequence[E], draw: Callable[[], float]
    ) -> None:
        self.spec = spec
        self.all: Sequence[E] = endpoints
        self._draw = draw
        self._ejected = 0
        self._live: list[E] = []
        self._next_return = 0.0
        self._look()

    def put(self, spec: EjectionSpec, endpoints: Sequence[E]) -> None:
        """Has these from now on; those that stay keep their record. If too many of them are
        ejected now, those that are to return soonest do.
        """
        self.spec = spec
        self.all = endpoints
        self._look()
        most = most_ejected(len(endpoints), spec.most_ratio)
        if self._ejected > most:
            out = [each for each in endpoints if each.health.standing is EJECTED]
            out.sort(key=_until)
            for each in out[: self._ejected - most]:
                each.health.let_return(each.in_flight)
            self._look()

    @property
    def ejected(self) -> int:
        """How many are left out."""
        return self._ejected

    def choose(self, now: float, other_than: E | None = None) -> E | None:
        """The one that is to be asked. None only if there is none `other_than` that one."""
        if now >= self._next_return:
            self._let_return(now)
        live = self._live
        if other_than is not None:
            live = [each for each in live if each is not other_than]
        count = len(live)
        if count < 2:
            return live[0] if live else None
        first = int(self._draw() * count)
        second = int(self._draw() * (count - 1))
        if second >= first:
            second += 1
        one, two = live[first], live[second]
        return one if _burden(one) <= _burden(two) else two

    def succeeded(self, endpoint: E, now: float) -> bool:
        """It answered well; whether it has returned for good with that."""
        return endpoint.health.succeeded(self.spec, endpoint.in_flight, now)

    def failed(self, endpoint: E, now: float, *, answered: bool = False) -> float:
        """It failed, see `EndpointHealth`; for how many seconds it is ejected now, 0.0 if it is
        not, or was before.
        """
        spec = self.spec
        if not endpoint.health.failed(spec, now, answered=answered):
            return 0.0
        if self._ejected >= most_ejected(len(self.all), spec.most_ratio):
            return 0.0
        # A late result of one that is none of them any more changes nothing.
        if not any(each is endpoint for each in self._live):
            return 0.0
        seconds = endpoint.health.eject(spec, now)
        self._look()
        return seconds

    def _let_return(self, now: float) -> None:
        for each in self.all:
            health = each.health
            if health.standing is EJECTED and health.until <= now:
                health.let_return(each.in_flight)
        self._look()

    def _look(self) -> None:
        self._live = [each for each in self.all if each.health.standing is not EJECTED]
        self._ejected = len(self.all) - len(self._live)
        self._next_return = min(
            (each.health.until for each in self.all if each.health.standing is EJECTED),
            default=float("inf"),
        )


def _burden(endpoint: Endpoint) -> int:
    """Its requests in flight; one on trial has enough with one more than it had."""
    in_flight, health = endpoint.in_flight, endpoint.health
    if health.standing is SERVING:
        return in_flight
    # Old ones that end before the trial make no room for a second; one that ends during it does.
    health.floor = min(health.floor, in_flight)
    return in_flight if in_flight <= health.floor else in_flight + _ON_TRIAL


def _until(endpoint: Endpoint) -> float:
    return endpoint.health.until
