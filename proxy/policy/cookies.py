"""Cookies (RFC 6265 section 4.2), read as the most willing of servers would."""

import re

from proxy.policy.percent import percent_decode

_LONGEST_SEARCHED = 4096
"""Bytes of a line that are searched for an escaped name: as much as browsers keep for a cookie. To
split a longer one takes less than to search one that is made of escapes.
"""

_SPACE, _SEMICOLON, _EQUALS = b" ;="

# The last escape before a `=`: there may be one in a cookie's name. One escape's search ends where
# the next begins, so that a line of nothing else takes no longer.
_ESCAPED_NAME = re.compile(rb"%[^;=%]*=")

# What a value may begin with: a string as RFC 2109 quotes it, or what RFC 6265 section 4.1.1 lets
# stand unquoted, more or less.
_COOKIE_VALUE = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*)"|([^ \t,]*+)')
_BACKSLASHED = re.compile(rb"\\([0-3][0-7][0-7]|.)")

# `str.strip` takes these off, and so do Django and `http.cookies`; the last two are how Latin-1's
# come out of `surrogateescape`.
_SPACES = "".join(filter(str.isspace, map(chr, range(0x3001)))) + chr(0xDC85) + chr(0xDCA0)


def cookie_values(line: bytes, name: bytes) -> list[bytes]:
    """The values of the cookie `name` in one Cookie field, to be counted by.

    Spellings that any server takes for one value are one: see `_value`.
    """
    # To search a line costs less than to split it and to look at every pair. And `find`, since
    # `in` raises and catches an error first: its operand might be a number.
    if line.find(b"%") < 0 or (
        len(line) <= _LONGEST_SEARCHED and _ESCAPED_NAME.search(line) is None
    ):
        at = line.find(name)
        if at < 0:
            return []
        begin = at + len(name)
        # Said once, in the usual form, a plain value: nothing needs to be undone.
        if (
            begin < len(line)
            and line[begin] == _EQUALS
            and (at == 0 or (line[at - 1] == _SPACE and line[at - 2] == _SEMICOLON))
            and line.count(name) == 1
        ):
            end = line.find(b";", begin)
            value = line[begin + 1 : end if end >= 0 else len(line)]
            if value.isalnum():
                return [value]
    found: list[bytes] = []
    for pair in line.split(b";"):
        key, separator, content = pair.strip().partition(b"=")
        if separator and (key == name or percent_decode(_trimmed(key)) == name):
            found.append(_value(content))
    return found


def _value(content: bytes) -> bytes:
    """What the most willing server makes of a cookie's value.

    Space around it goes, and what follows a space or a comma (`http.cookies`, old Rack and
    Jetty). Quotes go, and escapes in them (`http.cookies`, Django); percent-encoding is decoded
    (PHP, Rack, Express), and `+` is a space (Rack). To count two values as one harms nobody:
    session identifiers are made of none of these.
    """
    match = _COOKIE_VALUE.match(_trimmed(content))
    assert match is not None  # noqa: S101 - it matches nothing as well
    quoted, plain = match.groups()
    value = plain if quoted is None else _BACKSLASHED.sub(_without_backslash, quoted)
    return percent_decode(value).replace(b"+", b" ")


def _without_backslash(match: re.Match[bytes]) -> bytes:
    escaped = match[1]
    return bytes([int(escaped, 8)]) if len(escaped) == 3 else escaped


def _trimmed(text: bytes) -> bytes:
    """`text` without the white space around it, Unicode's included."""
    if text.isascii():
        return text.strip()
    decoded = text.decode("utf-8", "surrogateescape")
    return decoded.strip(_SPACES).encode("utf-8", "surrogateescape")
