"""The bytes of an answer that the proxy makes itself."""

from time import gmtime

from proxy.policy.answers import Answer, Form

_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = tuple(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())


def http_date(epoch_seconds: int) -> bytes:
    """An IMF-fixdate (RFC 9110 section 5.6.7). Whoever sends many keeps it for its second."""
    year, month, day, hour, minute, second, weekday, *_ = gmtime(epoch_seconds)
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        _DAYS[weekday],
        day,
        _MONTHS[month - 1],
        year,
        hour,
        minute,
        second,
    )


def render(
    answer: Answer,
    form: Form,
    *,
    date: bytes,
    retry_after: int | None,
    extra: bytes = b"",
    close: bool,
    head_only: bool,
) -> bytes:
    """The whole response in one piece, for one write.

    `form` is one of `answer`'s; `date` an IMF-fixdate; `retry_after` whole seconds, which also
    fill the gaps of the body (without them the gaps stay empty); `extra` complete field lines.
    `head_only`: the request was a HEAD. An answer without content (204, 304; RFC 9110 section
    8.6) gets neither Content-Length nor body.
    """
    if retry_after is None:
        retry_line = gap = b""
    else:
        gap = b"%d" % retry_after
        retry_line = b"Retry-After: %b\r\n" % gap
    body = gap.join(form.body)
    if answer.status in {204, 304}:
        length, body = b"", b""
    else:
        length = b"Content-Length: %d\r\n" % len(body)
    return b"%bDate: %b\r\n%b%b%b%b%b%b" % (
        form.status_line,
        date,
        form.head,
        retry_line,
        extra,
        length,
        b"Connection: close\r\n\r\n" if close else b"\r\n",
        b"" if head_only else body,
    )
