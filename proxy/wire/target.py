"""The request target as rules see it."""

import re
from typing import Final

from proxy.policy.percent import percent_decode
from proxy.wire.recent import Recent

LONGEST_RESOLVED_BYTES = 16384
"""Longer paths are taken only by servers that resolve nothing, as Go's: Node reads heads of 16 KiB;
nginx, Apache, Tomcat, Jetty, gunicorn and aiohttp request lines of 4 to 8.
"""

_ABSOLUTE = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*://[^/?]*")

# Nothing to normalise: no empty segment, none that begins with a dot, nothing to decode.
_PLAIN = re.compile(rb"(?:/[A-Za-z0-9_~!$&'()*+,=:@\-][A-Za-z0-9_~!$&'()*+,=:@.\-]*+)+")

# What servers read differently: `;`, backslashes, NUL, empty and dot segments, all the same
# when encoded.
_AMBIGUOUS = re.compile(rb"[;\\]|//|/\.\.?(?:/|$)|%(?:2[EFef]|3[Bb]|5[Cc]|00)")

# Parameters, the slashes behind them included: a run of `/;x/;y` is one match.
_PARAMETERS = re.compile(rb"(?:;[^/]*+/*+)+")

_AUTHORITY = re.compile(rb"(?:/|\\|%2[Ff]|%5[Cc]){2,}[^/\\]*+")


_LONGEST_REMEMBERED_BYTES: Final = 256
_MOST_REMEMBERED = 2048

_recent: Final[Recent[bytes, tuple[str, tuple[str, ...]]]] = Recent(_MOST_REMEMBERED)


def read_path(path: bytes) -> tuple[str, tuple[str, ...]]:
    """What `normalise` and `other_readings` say of a target, by its `path`: what stands before the
    first `?`.

    The readings of short paths are remembered for a while, for pages repeat.
    """
    known = _recent.latest.get(path)
    if known is None:
        known = _recent.find(path) or _readings(path)
    return known


def _readings(path: bytes) -> tuple[str, tuple[str, ...]]:
    readings: tuple[str, tuple[str, ...]]
    if _PLAIN.fullmatch(path):
        readings = (path.decode("ascii"), ())
    else:
        normalised = _most_willing(_without_origin(path))
        readings = (normalised, other_readings(path, normalised))
    if len(path) <= _LONGEST_REMEMBERED_BYTES:
        _recent.keep(path, readings)
    return readings


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

    A shop that is less willing serves another path: see `other_readings`.
    """
    path, _, query = target.partition(b"?")
    if _PLAIN.fullmatch(path):
        return path.decode("ascii"), query
    return _most_willing(_without_origin(path)), query


def other_readings(target: bytes, normalised: str) -> tuple[str, ...]:
    """The paths other than `normalised` that a shop may take `target` for: at most 4, and none
    for a usual target.

    `/recommendations/a/../../x` is `/x` to most, and a recommendation to a router that resolves
    nothing. So that nobody can choose the laxer rule, a request has to pass the rules of all
    readings:

    - the literal one, of routers that only split at `/` and decode: dots, `;`, backslashes and
      encoded slashes are as good as letters;
    - nginx's and Apache's: decoded, slashes merged, dots resolved, `;` and backslashes kept;
    - that of `new URL(target, base)` in Node: two leading slashes begin an authority, a
      backslash is a slash, `a//..` is `a/` (WHATWG URL Standard, section 4.4);
    - `normalise`'s behind such an authority.

    Of paths longer than `LONGEST_RESOLVED_BYTES` only the literal one is told. It is the paths of
    one server at a time: one that mixes their habits may read yet another. Never raises.
    """
    path, _, _ = target.partition(b"?")
    if not _AMBIGUOUS.search(path):
        return ()
    path = _without_origin(path)
    literal = _joined(percent_decode(path, slashes=False).split(b"/"))
    if len(path) > LONGEST_RESOLVED_BYTES:
        return (literal,) if literal != normalised else ()
    authority = _AUTHORITY.match(path)
    rest = path[authority.end() :] if authority else path
    as_url = percent_decode(rest.replace(b"\\", b"/"), slashes=False)
    readings = [
        literal,
        _joined(_resolved(list(filter(None, percent_decode(path).split(b"/"))))),
        _joined(_resolved(as_url.split(b"/"))),
    ]
    if authority:
        readings.append(_most_willing(rest))
    return tuple(reading for reading in dict.fromkeys(readings) if reading != normalised)


def _without_origin(path: bytes) -> bytes:
    if path.startswith(b"/"):
        return path
    absolute = _ABSOLUTE.match(path)
    return path[absolute.end() :] if absolute else b""


def _most_willing(path: bytes) -> str:
    if b";" in path:
        path = _PARAMETERS.sub(b"/", path)
    path = percent_decode(path).replace(b"\\", b"/").partition(b"\0")[0]
    if b";" in path:
        path = _PARAMETERS.sub(b"/", path)
    return _joined(_resolved(list(filter(None, path.split(b"/")))))


def _resolved(segments: list[bytes]) -> list[bytes]:
    if b".." not in segments and b"." not in segments:
        return segments
    resolved: list[bytes] = []
    for segment in segments:
        if segment == b"..":
            del resolved[-1:]
        elif segment != b".":
            resolved.append(segment)
    return resolved


def _joined(segments: list[bytes]) -> str:
    return "/" + b"/".join(filter(None, segments)).decode("utf-8", "surrogateescape")
