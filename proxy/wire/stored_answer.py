"""The bytes of an answer that is a stored response."""

from proxy.policy.stored_response import StoredResponse
from proxy.wire.cache_control import http_time
from proxy.wire.grammar import OWS
from proxy.wire.request_head import RequestHead

# RFC 9110 section 15.4.5.
_WITH_NOT_MODIFIED = frozenset(
    {b"cache-control", b"content-location", b"date", b"etag", b"expires", b"vary"}
)


def stored_answer(
    stored: StoredResponse, head: RequestHead, *, now: float, extra: bytes, close: bool
) -> tuple[int, bytes, bytes]:
    """Status, head and body of the answer to the request `head`: the whole response, its head
    alone to a HEAD, or 304 to a client that has it (RFC 9110 section 13.2.2).

    With the shop's status and fields, and an `Age` (RFC 9111 section 5.1). A `Range` is ignored
    (RFC 9110 section 14.2 lets every server do so). `extra` are complete field lines.
    """
    status, lines, body = stored.status, stored.head, stored.body
    if _has_it(stored, head):
        status, lines, body = 304, _not_modified(lines), b""
    elif head.method == b"HEAD":
        body = b""
    end = b"Connection: close\r\n\r\n" if close else b"\r\n"
    return status, b"%bAge: %d\r\n%b%b" % (lines, int(stored.age_at(now)), extra, end), body


def hit_line(ttl: float, now_served: bytes = b"") -> bytes:
    """`Cache-Status` (RFC 9211) of a stored response that was sent without asking the shop: it is
    fresh for `ttl` seconds more, stale if that is negative; `now_served` says why it is used then.
    """
    detail = b"; detail=" + now_served if now_served else b""
    return b"Cache-Status: planb; hit; ttl=%d%b\r\n" % (int(ttl), detail)


COLLAPSED_LINE = b"Cache-Status: planb; fwd=miss; collapsed\r\n"
"""The same of an answer that another request has brought."""


def last_good_lines(reason: bytes, ttl: float, *, asked: bool) -> bytes:
    """The same of one that stands in for the shop's own answer, and `Proxy-Status` (RFC 9209);
    `asked`: the shop was, in vain.

    Without its `error`, which means that an answer was made here (section 2.1.1).
    """
    status = b'Proxy-Status: planb; details="%b"\r\n' % reason
    if asked:
        return b"Cache-Status: planb; fwd=stale; detail=%b\r\n%b" % (reason, status)
    return hit_line(ttl, reason) + status


def _has_it(stored: StoredResponse, head: RequestHead) -> bool:
    """Whether the request's conditions say that its client has what is stored."""
    none_match: bytes | None = None
    since: bytes | None = None
    for line in head.lines:
        size = len(line.name)
        if size == 13 and line.name.lower() == b"if-none-match":
            none_match = line.value if none_match is None else none_match + b"," + line.value
        elif size == 17 and line.name.lower() == b"if-modified-since":
            since = line.value
    if none_match is not None:
        etag = stored.etag
        if etag is None:
            return False
        # The weak comparison (RFC 9110 section 8.8.3.2). A comma within a tag makes it another.
        tags = [tag.strip(OWS).removeprefix(b"W/") for tag in none_match.split(b",")]
        return tags == [b"*"] or etag.removeprefix(b"W/") in tags
    modified = stored.modified
    if since is None or modified is None:
        return False
    moment = http_time(since)
    return moment is not None and modified <= moment


def _not_modified(lines: bytes) -> bytes:
    kept = [
        line
        for line in lines.split(b"\r\n")[1:]
        if line.partition(b":")[0].lower() in _WITH_NOT_MODIFIED
    ]
    return b"\r\n".join([b"HTTP/1.1 304 Not Modified", *kept, b""])
