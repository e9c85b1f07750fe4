"""For how long a caller will still wait, as it says in a field of its request."""

import re
from math import inf
from typing import Final

NO_DEADLINE: Final = inf

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun]?)")
# A bare number is of milliseconds, as in Envoy's X-Envoy-Expected-Rq-Timeout-Ms.
_SECONDS: Final = {
    b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9, b"": 1e-3,
}  # fmt: skip
_MOST: Final = 10**8


def time_left(value: bytes) -> float | None:
    """The seconds in a field's `value`: gRPC's form, `250m` (PROTOCOL-HTTP2.md, "Timeout": up to
    eight digits and one of the units H, M, S, m, u, n), or a number of milliseconds. None when it
    is neither.
    """
    said = _TIMEOUT.fullmatch(value)
    return None if said is None else int(said[1]) * _SECONDS[said[2]]


def as_timeout(seconds: float, like: bytes) -> bytes:
    """`seconds` in the form of the value `like`: in milliseconds, at least one, as long as they
    have eight digits. What is left of a second is left out: a caller must not wait for less.
    """
    milliseconds = max(1, int(seconds * 1000.0))
    if like.isdigit():
        return b"%d" % min(milliseconds, _MOST - 1)
    if milliseconds < _MOST:
        return b"%dm" % milliseconds
    whole = int(seconds)
    return b"%dS" % whole if whole < _MOST else b"%dH" % min(whole // 3600, _MOST - 1)
