"""Limits in shadow mode: asked as if they were enforced, and obeyed by nobody."""

from collections.abc import Iterable

from proxy.policy.concurrency import ConcurrencyLimiter
from proxy.policy.pace import PaceLimiter
from proxy.policy.rate import RateLimiter
from proxy.policy.verdict import Permit, Shadow


def ask_shadows(shadows: Iterable[Shadow], now: float) -> list[Permit]:
    """Counts what `shadows` would have refused, each with its key, of what is forwarded now; the
    permits that this took.

    Each lives as if it were enforced: what it would refuse is not charged. A concurrency limit
    that has a queue is taken to hold `concurrency` + `queue`, since nobody really waits for it.
    """
    taken: list[Permit] = []
    for shadow, key in shadows:
        match shadow.limiter:
            case ConcurrencyLimiter() as limiter:
                fits = limiter.in_flight_of(key) < limiter.spec.concurrency + limiter.spec.queue
                if fits:
                    limiter.acquire(key)
                    taken.append((shadow, key))
            case RateLimiter() as limiter:
                fits = limiter.check(key, now) == 0.0
                if fits:
                    limiter.charge(key, now)
            case PaceLimiter() as limiter:
                fits = limiter.retry_after(limiter.check(key, now)) == 0.0
                if fits:
                    limiter.charge(key, now)
        if fits:
            shadow.counters.admitted += 1
        else:
            shadow.counters.shadow_refused += 1
    return taken
