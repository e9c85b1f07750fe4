"""Single values: names, keys, statuses."""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from proxy.policy.keys import KeyKind, KeySource
from proxy.policy.reasons import Reason
from proxy.rules import values

ADAPTERS: dict[str, TypeAdapter[object]] = {
    name: TypeAdapter(getattr(values, name))
    for name in ("Name", "Method", "Per", "ReasonWord", "Status", "PageFiles", "Whole", "Truth")
}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("Name", "place-order_2.b", "place-order_2.b"),
        ("Method", "PURGE", "PURGE"),
        ("Per", "client_address", KeySource(KeyKind.CLIENT_ADDRESS)),
        ("Per", "header:X-Api-Key", KeySource(KeyKind.HEADER, "x-api-key")),
        ("Per", "cookie:Sid", KeySource(KeyKind.COOKIE, "Sid")),
        ("Per", "query:a:b", KeySource(KeyKind.QUERY, "a:b")),
        ("Per", "path:item_id", KeySource(KeyKind.PATH, "item_id")),
        ("ReasonWord", "queue_timeout", Reason.QUEUE_TIMEOUT),
        ("Status", 200, 200),
        ("Status", 503, 503),
        ("Status", "503", 503),
        ("Whole", "4", 4),
        ("Whole", "-4", -4),
        ("Truth", "true", True),
        ("Truth", "False", False),
        ("PageFiles", "a.html", {"": "a.html"}),
        ("PageFiles", {"en": "a.html", "zh": "b.html"}, {"en": "a.html", "zh": "b.html"}),
    ],
)
def test_a_value_is_read(kind: str, text: object, value: object) -> None:
    assert ADAPTERS[kind].validate_python(text, strict=True) == value


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("Name", "a/b", "is not a name"),
        ("Name", "-a", "is not a name"),
        ("Name", "a" * 65, "is not a name"),
        ("Name", "é", "is not a name"),
        ("Name", 5, "put it in quotes"),
        ("Method", "get", 'did you mean "GET"?'),
        ("Method", "GE T", "is not a method"),
        ("Per", "ip", "is not one of client_address"),
        ("Per", "client_address:x", "takes no name"),
        ("Per", "cookie", "cookie needs a name"),
        ("Per", "header:a b", "can't be the name of a header"),
        ("Per", 5, "is not what a limit can count by"),
        ("ReasonWord", "slow", "they are rate, pace"),
        ("Status", 302, "can't be a page's status"),
        ("Status", 204, "can't be a page's status"),
        ("Status", 401, "can't be a page's status"),
        ("Status", 600, "can't be a page's status"),
        ("Status", "ok", "is not a status"),
        ("Status", True, "is not a status"),
        ("PageFiles", {"zh-CN": "a.html"}, "primary language tag"),
    ],
)
def test_all_else_is_refused_with_a_sentence(kind: str, value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        ADAPTERS[kind].validate_python(value, strict=True)
