"""The request target as rules see it."""

import re
from urllib.parse import unquote_to_bytes

_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://[^/?]*")

# Nothing to normalise: no empty segment, none that begins with a dot, nothing to decode.
_PLAIN = re.compile(rb"(?:/[A-Za-z0-9_~!$&'()*+,=:@\-][A-Za-z0-9_~!$&'()*+,=:@.\-]*+)++")


def normalise(target: bytes) -> tuple[str, bytes]:
    """The path that `target` may reach, for matching, and the raw query without its `?`.

    Never to be sent: the shop gets the target byte for byte. The path is what the most willing
    server makes of it, so that no spelling of a guarded path slips past its rule:

    - percent-encoding is decoded once, as all servers do. Invalid escapes stay as they are;
      `%252e` becomes `%2e`, and normalising that again would be wrong;
    - `%2F` is `/` (uWSGI, gunicorn and PHP decode before the application splits), and so is
      a backslash, raw or as `%5C` (IIS and .NET);
    - `;parameters` go from every segment before dots are looked at: Tomcat and Jetty serve
      `/a/..;/orders` as `/orders`. They take them from the raw path, `%2F` in a parameter
      included; an encoded `;` is cut at afterwards, since some servers decode first;
    - what follows a NUL is cut off, as C does: an old CGI serves `/orders%00.png` as `/orders`;
    - repeated slashes are one (nginx, Apache, most file systems);
    - `.` and `..` are resolved, never above the root (RFC 3986 section 5.2.4);
    - a trailing slash is dropped: frameworks serve both spellings, or redirect.

    Bytes that are not UTF-8 become lone surrogates (`surrogateescape`). Of an absolute target it
    is the URI's path. `*` and whatever else has no path are `/`. Upper and lower case differ, as
    they do for most servers. Never raises.
    """
    path, _, query = target.partition(b"?")
    if _PLAIN.fullmatch(path):
        return path.decode("ascii"), query
    if not path.startswith(b"/"):
        absolute = _ABSOLUTE.match(path)
        path = path[absolute.end() :] if absolute else b""
    if b";" in path:
        path = b"/".join(segment.partition(b";")[0] for segment in path.split(b"/"))
    path = unquote_to_bytes(path).replace(b"\\", b"/").partition(b"\0")[0]
    segments: list[bytes] = []
    for raw in path.split(b"/"):
        segment = raw.partition(b";")[0]
        if segment == b"..":
            del segments[-1:]
        elif segment and segment != b".":
            segments.append(segment)
    return "/" + b"/".join(segments).decode("utf-8", "surrogateescape"), query
