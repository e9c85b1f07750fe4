"""Keys about what the shop calls: how many calls at once."""

from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from proxy.rules import addresses
from proxy.rules.section import Section
from proxy.rules.section import key as _key
from proxy.rules.values import PositiveDuration, Whole

NamedHost = Annotated[
    str,
    PlainValidator(addresses.named_host),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$",
            "examples": ["coupons.example", "pay.example:8443"],
        }
    ),
]


class Pool(Section):
    """The connections to an upstream: as many as it can serve at once."""

    connections: Whole = _key(
        "How many may be open, and so how many requests it works on at once, whatever listener and "
        "route they came by. Upgraded connections count until they end.",
        ge=1,
        le=10**6,
    )
    pending: Whole = _key(
        "How many requests more may wait for a connection; others are refused.", 0, ge=0, le=10**6
    )
    pending_timeout: PositiveDuration | None = _key(
        "The longest wait for a connection; required with pending.", None
    )
