"""The rules of an upstream that has several endpoints, as data: see `proxy.policy.snapshot`."""

from dataclasses import dataclass

MOST_ENDPOINTS = 256
"""Endpoints of one upstream: each has connections and metrics of its own."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an endpoint is: `host`, a name or an IP address, and `port`; or a `unix_path`."""

    host: str
    port: int
    unix_path: str | None = None

    def __str__(self) -> str:
        if self.unix_path is not None:
            return self.unix_path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ResolveSpec:
    """How an upstream's name is looked up, again and again: at `nameserver` (address and port), or
    as the machine does it where that is None; `every` so many seconds where no TTL is known.
    """

    nameserver: tuple[str, int] | None = None
    every: float = 30.0


@dataclass(frozen=True, slots=True)
class EjectionSpec:
    """When an endpoint is left out, and for how long. The defaults are those of Envoy's outlier
    detection, but for `most_ratio` (10 % there, which of five endpoints would be none) and
    `duration` (30 s there: here one request at a time finds out whether it is well).

    It is after `consecutive_failures`, or once of at least `min_requests` in at most `window`
    seconds `error_ratio` have failed; for `duration` seconds, twice as long the second time in a
    row, three times the third, up to `longest`. Never more than `most_ratio` of them are, and
    never the last.
    """

    consecutive_failures: int = 5
    error_ratio: float = 0.5
    min_requests: int = 20
    window: float = 10.0
    duration: float = 10.0
    longest: float = 300.0
    most_ratio: float = 0.5


@dataclass(frozen=True, slots=True)
class BalanceSpec:
    """Between which endpoints an upstream's requests are balanced: `endpoints`, at least one; or
    all addresses that its name has, where `resolve` is set.
    """

    endpoints: tuple[Place, ...] = ()
    resolve: ResolveSpec | None = None
    ejection: EjectionSpec = EjectionSpec()


def most_ejected(count: int, ratio: float) -> int:
    """How many of `count` endpoints may be left out at once: `ratio` of them at most, never all."""
    # A share that is meant to be a whole number may come out a hair below it.
    return max(0, min(int(count * ratio + 1e-9), count - 1))
