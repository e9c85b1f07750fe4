"""The JSON Schema that editors use."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.rules.json_schema import schema_text
from proxy.rules.load import load
from tests.rules.documents import SHORTEST

CONFIG = Path(__file__).parents[2] / "config"
SCHEMA: dict[str, Any] = json.loads(schema_text())

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
NOTES = {"description", "default", "examples", "title", "$schema", "$defs"}


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value is valid: the part of JSON Schema 2020-12 that our schema uses.

    Fails on any other keyword, since it would be passed over.
    """
    return all(_holds(schema, word, said, value) for word, said in schema.items())


def _holds(schema: dict[str, Any], word: str, said: Any, value: Any) -> bool:  # noqa: C901 - a table
    match word:
        case _ if word in NOTES:
            return True
        case "$ref":
            return accepts(SCHEMA["$defs"][said.removeprefix("#/$defs/")], value)
        case "anyOf":
            return any(accepts(each, value) for each in said)
        case "oneOf":
            return sum(accepts(each, value) for each in said) == 1
        case "type":
            right = isinstance(value, TYPES[said])
            return right and (said == "boolean" or not isinstance(value, bool))
        case "enum":
            return value in said
        case "const":
            return bool(value == said)
        case "pattern":
            return not isinstance(value, str) or re.search(said, value) is not None
        case "minimum":
            return not isinstance(value, int) or value >= said
        case "maximum":
            return not isinstance(value, int) or value <= said
        case "minLength" | "minItems" | "minProperties":
            return not isinstance(value, str | list | dict) or len(value) >= said
        case "items":
            return not isinstance(value, list) or all(accepts(said, each) for each in value)
        case "required":
            return not isinstance(value, dict) or set(said) <= value.keys()
        case "propertyNames":
            return not isinstance(value, dict) or all(accepts(said, key) for key in value)
        case "properties" | "patternProperties" | "additionalProperties":
            return word != "properties" or not isinstance(value, dict) or True
        case _:
            raise AssertionError(f"this test does not know {word}")


def test_the_file_in_config_is_current() -> None:
    assert (CONFIG / "schema.json").read_text() == schema_text()
