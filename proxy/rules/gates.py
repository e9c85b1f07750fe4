"""Breakers and throttles: from the document to what policy knows of them."""

from collections.abc import Iterator
from typing import TypedDict

from proxy.policy.outcome import USUAL_FAILURES
from proxy.policy.snapshot import BreakerSpec, FailureSpec, ThrottleSpec
from proxy.rules import units
from proxy.rules.document import Value, entries, get, section
from proxy.rules.gates_schema import Breaker, Failures, Gated, Throttle
from proxy.rules.problems import Step

Found = Iterator[tuple[tuple[Step, ...], str]]


class GateSpecs(TypedDict):
    """The fields of a route's and of an upstream's spec."""

    breaker: BreakerSpec | None
    throttle: ThrottleSpec | None


def gate_specs(owner: str, written: Gated) -> GateSpecs:
    """What holds back requests of the route or upstream `owner`."""
    return {
        "breaker": None if written.breaker is None else _breaker(owner, written.breaker),
        "throttle": None if written.throttle is None else _throttle(owner, written.throttle),
    }


def failures(written: Failures | None) -> FailureSpec:
    """What counts as a failure."""
    if written is None:
        return USUAL_FAILURES
    statuses = {each for low, high in written.statuses for each in range(low, high + 1)}
    return FailureSpec(frozenset(statuses), written.timeouts)


def _breaker(owner: str, written: Breaker) -> BreakerSpec:
    return BreakerSpec(
        name=f"{owner}/breaker",
        window=written.window,
        min_requests=written.min_requests,
        error_ratio=written.error_ratio,
        slow=written.slow,
        slow_ratio=written.slow_ratio,
        consecutive_failures=written.consecutive_failures,
        consecutive_slow=written.consecutive_slow,
        open=written.open,
        longest_open=written.longest_open,
        probes=written.probes,
        recovery=written.recovery,
    )


def _throttle(owner: str, written: Throttle) -> ThrottleSpec:
    return ThrottleSpec(
        name=f"{owner}/throttle",
        ratio=written.ratio,
        window=written.window,
        min_requests=written.min_requests,
    )


def gate_problems(data: Value) -> Found:
    """Keys that make no sense together, each with its path. Looks at the plain data."""
    owners: list[tuple[tuple[Step, ...], Value]] = [
        (("upstreams", name), upstream) for name, upstream in section(data, "upstreams").items()
    ]
    owners += [(("routes", index), route) for index, route in enumerate(entries(data, "routes"))]
    gated = any(
        get(owner, key) is not None for _, owner in owners for key in ("breaker", "throttle")
    )
    for steps, owner in owners:
        breaker = get(owner, "breaker")
        for key in ("slow_ratio", "consecutive_slow"):
            if get(breaker, key) is not None and get(breaker, "slow") is None:
                yield (*steps, "breaker", key), "has no effect without slow"
        yield from _open_times((*steps, "breaker"), breaker)
        balanced = any(get(owner, key) is not None for key in ("endpoints", "resolve"))
        if get(owner, "failures") is not None and not gated and not balanced:
            yield (*steps, "failures"), "has no effect: there is no breaker and no throttle"


def _open_times(steps: tuple[Step, ...], breaker: Value) -> Found:
    """By the schema's defaults where one is left out."""
    times: dict[str, float] = {}
    for key in ("open", "longest_open"):
        default = Breaker.model_fields[key].default
        written = get(breaker, key)
        try:
            times[key] = units.duration(default if written is None else written)
        except ValueError:
            return
    if times["open"] > times["longest_open"]:
        if get(breaker, "longest_open") is None:
            yield (*steps, "open"), "is longer than longest_open, which is 1m by default"
        elif get(breaker, "open") is None:
            yield (*steps, "longest_open"), "is shorter than open, which is 5s by default"
        else:
            yield (*steps, "longest_open"), "is shorter than open"
