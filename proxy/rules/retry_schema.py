"""The part of the document that says what is sent again, and how long callers wait."""

# ruff: noqa: TRY004 - the schema library reports a ValueError, and lets a TypeError through

from typing import Annotated

from pydantic import Field, PlainValidator, WithJsonSchema

from proxy.rules import units
from proxy.rules.problems import shown
from proxy.rules.section import Section
from proxy.rules.section import key as _key
from proxy.rules.values import PLAIN, Ratio, Truth, Whole, token
from proxy.wire.attempt import ATTEMPT
from proxy.wire.field_line import PLAIN as OF_NO_MEANING
from proxy.wire.field_line import REQUEST_LINES


def _backoff(value: object) -> tuple[float, float]:
    first, longest = units.duration_range(value)
    if not first:
        raise ValueError("must begin above 0s: it is doubled from there")
    return first, longest


def _repeated_status(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{shown(value)} is not a status such as 503")
    if value != 429 and not 500 <= value <= 599:
        raise ValueError(f"{value} is no failure that may pass: 429, or 500 to 599")
    return value


def _deadline_header(value: object) -> bytes:
    name = token(value).lower().encode()
    (line,) = REQUEST_LINES.classify([(name, b"1")])
    if line.kind != OF_NO_MEANING or name == ATTEMPT:
        raise ValueError(f"{shown(value)} has a meaning of its own")
    return name


Backoff = Annotated[
    tuple[float, float],
    PlainValidator(_backoff),
    WithJsonSchema({"type": "string", "pattern": units.RANGE_PATTERN, "examples": ["25ms..250ms"]}),
]
RepeatedStatus = Annotated[
    int,
    PlainValidator(_repeated_status),
    PLAIN,
    WithJsonSchema(
        {"type": "integer", "minimum": 429, "maximum": 599, "examples": [429, 502, 503, 504]}
    ),
]
DeadlineHeader = Annotated[
    bytes,
    PlainValidator(_deadline_header),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
            "examples": ["grpc-timeout", "X-Envoy-Expected-Rq-Timeout-Ms"],
        }
    ),
]


class Retry(Section):
    """When a request to the upstream is sent again. {} is enough."""

    attempts: Whole = _key("How often a request is sent at most.", 2, ge=2, le=5)
    budget: Ratio = _key("How many retries there may be, as a share of the requests.", "20%")
    min_per_second: Annotated[float, Field(ge=0, le=10**6), PLAIN] = _key(
        "How many more there may be in a second, for an upstream with few requests.", 3
    )
    backoff: Backoff = _key(
        "The longest pause before the second attempt, and before any: the bound doubles with each, "
        "and a pause is drawn anywhere below it.",
        "25ms..250ms",
    )
    statuses: list[RepeatedStatus] = _key(
        "Answers after which there is another attempt; after 429 and 503 only where they say when "
        "(Retry-After), and that is a second away at most.",
        [502, 503, 504],
    )
    timeouts: Truth = _key(
        "Whether there is another attempt where the upstream has not answered in time.", False
    )
