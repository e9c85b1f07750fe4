"""Lists in structured fields (RFC 9651 section 3.1), as far as limits and callers need them."""

import re
from typing import Final

LONGEST_VALUE: Final = 2048
MOST_MEMBERS: Final = 16
MOST_PARAMETERS: Final = 16

Bare = str | int | float | bool | bytes
Member = tuple[Bare, dict[str, Bare]]
"""An item and its parameters. Tokens are texts, byte sequences are left in base64."""

# Sections 3.3.1 to 3.3.6, and the keys of section 3.1.2.
_BARE: Final = re.compile(
    rb"(?P<number>-?[0-9]{1,15}(?P<fraction>\.[0-9]{1,3})?)(?![0-9.])"
    rb'|"(?P<text>(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
    rb"|\?(?P<truth>[01])"
    rb"|:(?P<bytes>[A-Za-z0-9+/=]*):"
    rb"|(?P<token>[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*)"
)
_PARAMETER: Final = re.compile(rb";[ ]*([a-z*][a-z0-9_\-.*]*)(=?)")
_COMMA: Final = re.compile(rb"[ \t]*,[ \t]*")
_ESCAPED: Final = re.compile(rb'\\(["\\])')


def read_list(value: bytes) -> list[Member] | None:
    """The members of a list of items; None for what is none, or is longer than any honest one.

    `value` is that of one line, or of several joined by commas. Inner lists, dates and display
    strings are not read: what holds one is no list here.
    """
    if len(value) > LONGEST_VALUE:
        return None
    value = value.strip(b" ")
    members: list[Member] = []
    position = 0
    while position < len(value):
        if members:
            comma = _COMMA.match(value, position)
            if comma is None or comma.end() == len(value) or len(members) == MOST_MEMBERS:
                return None
            position = comma.end()
        found = _BARE.match(value, position)
        if found is None:
            return None
        parameters: dict[str, Bare] = {}
        end = _read_parameters(value, found.end(), parameters)
        if end < 0:
            return None
        members.append((_bare(found), parameters))
        position = end
    return members


def _read_parameters(value: bytes, position: int, parameters: dict[str, Bare]) -> int:
    """Where they end; -1 when they are malformed. Of several with a name the last one counts."""
    while value[position : position + 1] == b";":
        named = _PARAMETER.match(value, position)
        if named is None or len(parameters) == MOST_PARAMETERS:
            return -1
        position = named.end()
        key = named[1].decode("ascii")
        if not named[2]:
            parameters[key] = True
            continue
        found = _BARE.match(value, position)
        if found is None:
            return -1
        parameters[key] = _bare(found)
        position = found.end()
    return position


def _bare(found: re.Match[bytes]) -> Bare:
    if (number := found["number"]) is not None:
        return float(number) if found["fraction"] else int(number)
    if (text := found["text"]) is not None:
        return _ESCAPED.sub(rb"\1", text).decode("ascii")
    if (truth := found["truth"]) is not None:
        return bool(truth == b"1")
    if (sequence := found["bytes"]) is not None:
        return bytes(sequence)
    return found["token"].decode("ascii")
