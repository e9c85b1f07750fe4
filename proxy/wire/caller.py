"""What a calling sidecar says of itself to the one that it calls.

    Planb-Caller: "8f14e45fceea167a";demand=41.5

An item of RFC 9651: a name that tells callers apart, and how many requests in a second would be
sent if nobody advised against it. For the next hop only: it is never passed on.
"""

import re
from typing import Final

from proxy.wire.structured_fields import read_list

LARGEST_DEMAND: Final = 1e6
"""Requests per second; what is more counts as that."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def caller_field(name: bytes, demand: float) -> bytes:
    """The field line, without its CRLF. `name` consists of ASCII letters and digits."""
    return b'Planb-Caller: "%b";demand=%.1f' % (name, min(demand, LARGEST_DEMAND))


def read_caller(value: bytes) -> tuple[bytes, float] | None:
    """Name and demand, which is below zero when there is none; None for anything else."""
    members = read_list(value)
    if members is None or len(members) != 1:
        return None
    name, parameters = members[0]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return None
    demand = parameters.get("demand", -1.0)
    if isinstance(demand, bool) or not isinstance(demand, int | float):
        return None
    return name.encode("ascii"), min(float(demand), LARGEST_DEMAND)
