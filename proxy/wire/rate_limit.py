"""What a refused client is told about the limit (draft-ietf-httpapi-ratelimit-headers-10)."""


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
