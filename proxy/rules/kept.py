"""The part of the document that says which answers are kept, and where."""

from proxy.rules.section import Section
from proxy.rules.section import key as _key
from proxy.rules.values import (
    IgnoredCookie,
    ParameterName,
    PositiveDuration,
    Size,
    Token,
    Truth,
)


class Cache(Section):
    """Answers that are sent without asking the upstream. They take nothing of any limit."""

    ttl: PositiveDuration = _key(
        "How long an answer may be sent after it came; for a shorter time if the upstream says so."
    )
    coalesce: Truth = _key(
        "Whether only one request at a time asks for the same thing, and all others wait for its "
        "answer, at most 5 seconds.",
        False,
    )


class SnapshotKey(Section):
    """What tells one kept answer of a route from another, besides host, target and Vary."""

    query: list[ParameterName] | None = _key(
        "The query parameters that count; others make no difference. Without it all of it counts.",
        None,
    )
    cookies: list[Token] = _key(
        "Cookies that count. Answers to requests with a cookie that stands neither here nor under "
        "ignore_cookies are not kept.",
        [],
    )
    ignore_cookies: list[IgnoredCookie] = _key(
        "Cookies that make no difference to anybody's answer. * stands for all others.", []
    )
    headers: list[Token] = _key(
        "Header fields that count. With authorization, answers to requests with credentials are "
        "kept, for those with the same.",
        [],
    )


class Snapshots(Section):
    """Where answers are kept: those of `cache` and `fallback.snapshot`."""

    memory: Size = _key(
        "How much memory they take. Up to half as much again is in use while answers come in.",
        "64MiB",
    )
    largest: Size = _key("The largest body that is kept: at most a tenth of the memory.", "1MiB")
    folder: str | None = _key(
        "A folder where they outlive a restart, from this file's folder; it is made if it is not "
        "there. It takes as much of the disk as they do of the memory.",
        None,
        min_length=1,
    )
