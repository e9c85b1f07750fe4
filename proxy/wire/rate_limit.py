"""What a client is told about a limit (draft-ietf-httpapi-ratelimit-headers-10)."""

from math import ceil
from typing import Final

SHARE_MARK: Final = b"planb-share"
"""The parameter by which a sidecar knows that a policy is its own share, and not, say, that of the
buyer whose request was refused; it names the instance that tells. For the next hop only: fields
with it are never passed on."""

_FINE_ENOUGH: Final = 100
_LONGEST_WINDOW: Final = 100_000


def rate_limit_fields(name: str, quota: int, window: int, wait: int) -> bytes:
    """`RateLimit-Policy` and `RateLimit`, as complete field lines.

    `quota` requests per `window` seconds is the policy as the rules have it; nothing of it is
    left, and in `wait` whole seconds a request would be admitted. `name` must be fit for a
    quoted string (RFC 8941 section 3.3.3): the rules see to it.
    """
    quoted = name.encode("ascii")
    return b'RateLimit-Policy: "%b";q=%d;w=%d\r\nRateLimit: "%b";r=0;t=%d\r\n' % (
        quoted,
        quota,
        window,
        quoted,
        wait,
    )


def share_fields(name: str, teller: bytes, share: float, wait: float) -> bytes:
    """The same for a caller that may send `share` requests per second to the instance `teller`, as
    fit for a quoted string as `name`; `wait` is above zero when it has just sent more.

    Quotas are whole numbers: the window is as long as it takes for one that is a hundredth too
    small at most.
    """
    window = 1
    while share * window < _FINE_ENOUGH and window < _LONGEST_WINDOW:
        window *= 10
    quota = max(1, int(share * window))
    left, until = (0, ceil(wait)) if wait > 0.0 else (quota, window)
    quoted, mark = name.encode("ascii"), b'%b="%b"' % (SHARE_MARK, teller)
    return (
        b'RateLimit-Policy: "%b";q=%d;w=%d;%b\r\nRateLimit: "%b";r=%d;t=%d;%b\r\n'
        % (quoted, quota, window, mark, quoted, left, until, mark)
    )  # fmt: skip
