"""An engine that keeps answers, and the shop's part in that."""

from dataclasses import replace
from math import inf

from proxy.policy.keeping import Lookup
from proxy.policy.snapshot import KeepSpec, LimitSpec
from proxy.policy.stored_response import StoredResponse
from tests.policy.guarded import Call, Guarded, snapshot

CACHE = KeepSpec(ttl=1.0, coalesce=True)


def shop(*limits: LimitSpec, keep: KeepSpec = CACHE) -> Guarded:
    """Rules with one route, of which answers are kept."""
    rules = snapshot(*limits)
    return Guarded(replace(rules, routes=(replace(rules.routes[0], keep=keep),)))


def lookup(call: Call) -> Lookup:
    found = call.verdict.lookup
    assert found is not None
    return found


def answer(engine: Guarded, call: Call, now: float, *, vary: tuple[bytes, ...] = ()) -> object:
    """The shop's answer to the request that leads has come, and may be stored."""
    response = StoredResponse(*(200, b"", b""), arrived_at=now, age=0.0, fresh_for=inf, vary=vary)
    engine.engine.coalescing.keep(lookup(call), response)
    call.settle(now)
    return response
