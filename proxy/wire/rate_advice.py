"""What a response says about how fast its sender may be called.

`RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10, and `Retry-After`
(RFC 9110 section 10.2.3). Whatever is malformed, or means something else, is passed over.
"""

from collections.abc import Iterable
from typing import Final

from proxy.policy.advice import RateAdvice
from proxy.wire.cache_control import http_time
from proxy.wire.grammar import Field
from proxy.wire.rate_limit import SHARE_MARK
from proxy.wire.structured_fields import Bare, read_list

SHARE_BURST: Final = 0.1
LEAST_BURST: Final = 4.0
"""The seconds' worth of a share that may be sent at once, and the least requests: without them
gaps between requests that come at random would be lost."""

LEFT_BURST: Final = 0.1
"""The part of what is left of a stranger's quota that may be sent at once."""

_REFUSED: Final = frozenset({429, 503})
_MARK: Final = SHARE_MARK.decode("ascii")
_NAMES: Final = frozenset({b"ratelimit-policy", b"ratelimit", b"retry-after", b"date"})
_LENGTHS: Final = frozenset(len(name) for name in _NAMES)

_Policy = dict[str, Bare]


def read_rate_advice(status: int, fields: Iterable[Field]) -> RateAdvice | None:
    """The advice in a response's fields, None if there is none.

    A policy that is marked as the caller's share goes before everything else. Else the slowest of
    the policies counts: what is left of it until its end (`r`, `t`), or the whole (`q`, `w`) where
    that is not told; with nothing left it means a pause. So does the `Retry-After` of a refusal. A
    policy with a partition key (`pk`) is left out: whose requests it counts is not known here.
    """
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if len(name) in _LENGTHS and (key := name.lower()) in _NAMES:
            found.setdefault(key, []).append(value)
    policies = _by_name(found.get(b"ratelimit-policy"))
    left = _by_name(found.get(b"ratelimit"))
    for marked in policies.values():
        teller, share = marked.get(_MARK), _rate(marked, "q", "w")
        if isinstance(teller, str) and share is not None:
            return RateAdvice(share, max(LEAST_BURST, SHARE_BURST * share), teller=teller)
    advice = RateAdvice(None)
    for each in policies.keys() | left.keys():
        policy = policies.get(each, {})
        if "pk" not in policy and policy.get("qu", "requests") == "requests":
            _take(advice, policy, left.get(each, {}))
    if status in _REFUSED:
        advice.hold = max(advice.hold, _retry_after(found))
    return None if advice.rate is None and not advice.hold else advice


def _take(advice: RateAdvice, policy: _Policy, left: _Policy) -> None:
    """Adds what one policy asks for to `advice`."""
    rest = _number(left, "r")
    if rest == 0.0 or (not left and _number(policy, "q") == 0.0):
        advice.hold = max(advice.hold, _number(left, "t") or _number(policy, "w") or 0.0)
        return
    rate, quota = _rate(left, "r", "t"), rest
    if rate is None:
        rate, quota = _rate(policy, "q", "w"), _number(policy, "q")
    if rate is not None and quota is not None and (advice.rate is None or rate < advice.rate):
        advice.rate = rate
        advice.burst = max(1.0, LEFT_BURST * quota)


def _by_name(lines: list[bytes] | None) -> dict[str, _Policy]:
    """The members of a field that have a name each; of several with the same the first."""
    policies: dict[str, _Policy] = {}
    for name, parameters in read_list(b", ".join(lines)) or () if lines else ():
        if isinstance(name, str):
            policies.setdefault(name, parameters)
    return policies


def _rate(policy: _Policy, quota: str, window: str) -> float | None:
    """So many in so many seconds, as requests per second."""
    many, seconds = _number(policy, quota), _number(policy, window)
    return many / seconds if many and seconds else None


def _number(policy: _Policy, key: str) -> float | None:
    """A parameter that is a whole number and not below zero, as the draft has them all."""
    value = policy.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        return None
    return float(value)


def _retry_after(found: dict[bytes, list[bytes]]) -> float:
    """Seconds; 0.0 without it. A date counts from the response's own, whatever our clock says."""
    values = found.get(b"retry-after")
    if values is None or len(values) > 1:
        return 0.0
    value = values[0]
    if value.isdigit() and len(value) <= 15:
        return float(value)
    then, sent = http_time(value), http_time(found.get(b"date", [b""])[0])
    return 0.0 if then is None or sent is None else max(0.0, float(then - sent))
