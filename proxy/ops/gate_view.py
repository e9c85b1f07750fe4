"""What an operator reads of breakers and throttles."""

from dataclasses import asdict
from typing import Any

from proxy.ops.stats import BreakerReading, Stats, ThrottleReading

MOST_ROWS = 200
"""Breakers, or throttles, on a page that is fetched every second: the first of the rules."""


def callee(row: BreakerReading | ThrottleReading) -> str:
    """Whose requests are meant: those to an upstream, or of a route to it."""
    return f"{row.route} to {row.upstream}" if row.route else row.upstream


def breaker_words(row: BreakerReading) -> str:
    """Its state, as one would say it: `open, next probes in 3 s (20 requests in a row failed)`."""
    match row.state:
        case "open":
            return f"open, next probes in {row.next_probe:.0f} s ({row.cause})"
        case "probing":
            return f"half-open, {row.probes} probes on their way ({row.cause})"
        case "recovering":
            return f"half-open, all is well so far: {row.share:.0%} let through"
        case _:
            return "closed: all let through"


def throttle_words(row: ThrottleReading) -> str:
    """The same of a throttle."""
    if row.probability <= 0.0:
        return "all let through"
    # What it refused itself is among the requests: they are not what the upstream refused.
    accepted = f"{row.requests} asked for lately, {row.accepts} accepted"
    return f"{1.0 - row.probability:.0%} let through ({accepted})"


def gate_rows(stats: Stats) -> dict[str, list[dict[str, Any]]]:
    """All of them for the status page, ready for JSON."""
    breakers = list(stats.breakers())[:MOST_ROWS]
    throttles = list(stats.throttles())[:MOST_ROWS]
    return {
        "breakers": [{**asdict(row), "words": breaker_words(row)} for row in breakers],
        "throttles": [{**asdict(row), "words": throttle_words(row)} for row in throttles],
    }
