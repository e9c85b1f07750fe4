"""What single values of the document may be: plain texts and numbers to what they mean.

Each type carries its JSON Schema, for editors.
"""

# ruff: noqa: TRY004 - the schema library reports a ValueError, and lets a TypeError through

import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from proxy.policy.keys import KeyKind, KeySource
from proxy.policy.reasons import Reason
from proxy.rules import addresses, paths, units
from proxy.rules.document import as_plain
from proxy.rules.problems import shown, suggestion

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 section 5.6.2."""
_RANGE = re.compile(r"([1-9][0-9]{2})(?:-([1-9][0-9]{2}))?")
_CALLEE_S_FAULT = frozenset({408, 429})
"""Of the 4xx those that another try may not get."""


_COUNTED_BY = [kind for kind in KeyKind if kind is not KeyKind.CALLER]
"""Callers are for `advise`, which knows what they want."""


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    more = {"examples": list(examples)} if examples else {}
    return WithJsonSchema({"type": "string", "pattern": pattern, **more})


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a name; put it in quotes if it is meant as one")
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"{shown(value)} is not a name: up to 64 ASCII letters, digits, '_', '-' and '.', "
            "with a letter or digit first"
        )
    return value


def _method(value: object) -> str:
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ValueError(f"{shown(value)} is not a method such as GET")
    if value != value.upper():
        raise ValueError(f'methods are written in upper case; did you mean "{value.upper()}"?')
    return value


def token(value: object) -> str:
    """The name of a field or cookie (RFC 9110 section 5.6.2)."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value) or value == "*":
        raise ValueError(f"{shown(value)} can't be the name of a field or cookie")
    return value


def _ignored_cookie(value: object) -> str:
    return "*" if value == "*" else token(value)


def _parameter_name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", value):
        # What other names mean is for each server to say: see `proxy.policy.keeping`.
        raise ValueError(f"{shown(value)} is not a name of ASCII letters, digits, '_' and '-'")
    return value


def _per(value: object) -> KeySource:
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not what a limit can count by")
    word, colon, name = value.partition(":")
    kind = next((each for each in _COUNTED_BY if each == word), None)
    if kind is None:
        forms = "client_address, header:NAME, cookie:NAME, query:NAME or path:NAME"
        near = suggestion(word, _COUNTED_BY)
        raise ValueError(f"{shown(value)} is not one of {forms}{near}")
    if kind is KeyKind.CLIENT_ADDRESS:
        if colon:
            raise ValueError("client_address takes no name")
    elif not name:
        raise ValueError(f"{word} needs a name: {word}:NAME")
    elif kind in (KeyKind.HEADER, KeyKind.COOKIE) and not _TOKEN.fullmatch(name):
        raise ValueError(f"{shown(name)} can't be the name of a {word}")
    return KeySource(kind, name.lower() if kind is KeyKind.HEADER else name)


def _reason(value: object) -> Reason:
    for reason in Reason:
        if reason == value:
            return reason
    near = suggestion(str(value), list(Reason))
    raise ValueError(f"not a reason{near or '; they are ' + ', '.join(Reason)}")


def _status(value: object) -> int:
    # An answer that has content and needs no further field (Location, WWW-Authenticate):
    # RFC 9110 section 15.
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{shown(value)} is not a status such as 200 or 503")
    if not (200 <= value <= 203 or (400 <= value <= 599 and value not in (401, 405, 407, 426))):
        raise ValueError(f"{value} can't be a page's status: 200 to 203, or 400 to 599")
    return value


def _failure_statuses(value: object) -> tuple[int, int]:
    if isinstance(value, int) and not isinstance(value, bool):
        ends = value, value
    elif isinstance(value, str) and (match := _RANGE.fullmatch(value)):
        ends = int(match[1]), int(match[2] or match[1])
    else:
        raise ValueError(f"{shown(value)} is not a status such as 500 or a range such as 500-599")
    if ends[0] > ends[1]:
        raise ValueError(f"{shown(value)} starts above its end")
    # Who asks for what isn't there must not be able to have others refused.
    if any(not (500 <= each <= 599 or each in _CALLEE_S_FAULT) for each in ends):
        raise ValueError(f"{shown(value)}: a failure is 408, 429 or one of 500 to 599")
    if ends[0] != ends[1] and ends[0] < 500:
        raise ValueError(f"{shown(value)} spans statuses that are the request's own fault")
    return ends


def _language(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"([a-z]{2,3})?", value):
        raise ValueError(f"{shown(value)} is not a primary language tag such as en or zh")
    return value


def _by_language(value: object) -> object:
    return {"": value} if isinstance(value, str) else value


PLAIN = BeforeValidator(as_plain)
"""Stands behind a number's bounds where None is allowed too: else JSON Schema lacks the bounds."""

Whole = Annotated[int, PLAIN]
Truth = Annotated[bool, PLAIN]
PositiveNumber = Annotated[float, Field(gt=0, le=10**9), PLAIN]
Name = Annotated[str, PlainValidator(_name), _text(f"^{_NAME.pattern}$")]
Duration = Annotated[
    float, PlainValidator(units.duration), _text(units.DURATION_PATTERN, "500ms", "2s", "1m30s")
]
PositiveDuration = Annotated[
    float,
    PlainValidator(units.positive_duration),
    _text(units.DURATION_PATTERN, "500ms", "2s", "1m30s"),
]
DurationRange = Annotated[
    tuple[float, float],
    PlainValidator(units.duration_range),
    _text(units.RANGE_PATTERN, "2s..6s"),
]
Rate = Annotated[
    units.Rate, PlainValidator(units.rate), _text(units.RATE_PATTERN, "800/s", "2.5/s", "30/m")
]
Size = Annotated[int, PlainValidator(units.size), _text(units.SIZE_PATTERN, "64KiB", "10MB")]
Speed = Annotated[int, PlainValidator(units.speed), _text(units.SPEED_PATTERN, "500B/s")]
Ratio = Annotated[float, PlainValidator(units.ratio), _text(units.PERCENT_PATTERN, "1%", "100%")]
PositiveRatio = Annotated[
    float, PlainValidator(units.positive_ratio), _text(units.PERCENT_PATTERN, "1%", "100%")
]
Bind = Annotated[
    addresses.Address,
    PlainValidator(addresses.bind),
    _text(r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}$", "127.0.0.1:8080", "[::1]:8080"),
]
Url = Annotated[
    addresses.Origin,
    PlainValidator(addresses.origin),
    _text(r"^(https?://[^/?#]+/?|unix:/.+)$", "http://127.0.0.1:8000", "unix:/run/shop.sock"),
]
Network = Annotated[
    IPv4Network | IPv6Network,
    PlainValidator(addresses.network),
    _text(r"^[0-9A-Fa-f:.]+(/\d{1,3})?$", "127.0.0.1/32", "10.0.0.0/8", "::1"),
]
HostPattern = Annotated[
    str,
    PlainValidator(addresses.host_pattern),
    _text(r"^(\*\.)?[A-Za-z0-9_.-]+$|^\[[0-9A-Fa-f:.]+\]$", "shop.example", "*.shop.example"),
]
PathPattern = Annotated[
    str,
    PlainValidator(paths.pattern),
    _text(r"^/", "/orders", "/items/{item_id}", "/static/**", "/**"),
]
Method = Annotated[str, PlainValidator(_method), _text(r"^[A-Z0-9!#$%&'*+.^_`|~-]+$", "GET")]
Token = Annotated[str, PlainValidator(token), _text(f"^{_TOKEN.pattern}$")]
IgnoredCookie = Annotated[
    str, PlainValidator(_ignored_cookie), _text(f"^{_TOKEN.pattern}$", "_ga", "*")
]
ParameterName = Annotated[
    str, PlainValidator(_parameter_name), _text("^[A-Za-z0-9_-]+$", "page", "sort")
]
Per = Annotated[
    KeySource,
    PlainValidator(_per),
    _text(
        r"^(client_address|(header|cookie|query|path):.+)$",
        "client_address",
        "cookie:sid",
        "path:item_id",
    ),
]
ReasonWord = Annotated[
    Reason,
    PlainValidator(_reason),
    WithJsonSchema({"type": "string", "enum": [str(reason) for reason in Reason]}),
]
Status = Annotated[
    int,
    PlainValidator(_status),
    PLAIN,
    WithJsonSchema({"type": "integer", "minimum": 200, "maximum": 599, "examples": [200, 503]}),
]
FailureStatuses = Annotated[
    tuple[int, int],
    PlainValidator(_failure_statuses),
    PLAIN,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 408, "maximum": 599},
                {"type": "string", "pattern": f"^{_RANGE.pattern}$"},
            ],
            "examples": [500, "502-504"],
        }
    ),
]
_Language = Annotated[str, PlainValidator(_language), WithJsonSchema({"type": "string"})]
PageFiles = Annotated[
    dict[_Language, str],
    Field(min_length=1),
    BeforeValidator(_by_language),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "patternProperties": {"^[a-z]{2,3}$": {"type": "string"}},
                    "additionalProperties": False,
                    "minProperties": 1,
                },
            ],
            "examples": ["pages/busy.html", {"en": "pages/busy.html", "zh": "pages/busy.zh.html"}],
        }
    ),
]
