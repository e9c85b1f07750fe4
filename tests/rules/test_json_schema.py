"""The JSON Schema that editors use."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.rules.json_schema import schema_text
from proxy.rules.load import load
from tests.rules.documents import SHORTEST, write

CONFIG = Path(__file__).parents[2] / "config"
SCHEMA: dict[str, Any] = json.loads(schema_text())

Schema = dict[str, Any]

NOTES = {"$defs", "$schema", "default", "description", "examples", "title"}
TYPES: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
CHECKS: dict[str, Callable[[Any, Any], bool]] = {
    "$ref": lambda said, value: accepts(SCHEMA["$defs"][said.removeprefix("#/$defs/")], value),
    "anyOf": lambda said, value: any(accepts(each, value) for each in said),
    "oneOf": lambda said, value: sum(accepts(each, value) for each in said) == 1,
    "const": lambda said, value: bool(value == said),
    "enum": lambda said, value: value in said,
    "exclusiveMinimum": lambda said, value: bool(value > said),
    "items": lambda said, value: all(accepts(said, each) for each in value),
    "maximum": lambda said, value: bool(value <= said),
    "minimum": lambda said, value: bool(value >= said),
    "minItems": lambda said, value: len(value) >= said,
    "minLength": lambda said, value: len(value) >= said,
    "minProperties": lambda said, value: len(value) >= said,
    "pattern": lambda said, value: bool(re.search(said, value)),
    "propertyNames": lambda said, value: all(accepts(said, key) for key in value),
    "required": lambda said, value: value.keys() >= set(said),
}


def accepts(schema: Schema, value: object) -> bool:
    """Whether a value is valid: the part of JSON Schema that ours uses.

    Fails on any other word. A wrong type ends it, so that the checks are of the right one.
    """
    kind = schema.get("type")
    if kind and (
        not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")
    ):
        return False
    if isinstance(value, dict) and not all(
        accepts(each, inner) for key, inner in value.items() for each in _of_key(schema, key)
    ):
        return False
    words = schema.keys() - NOTES - {"type", "properties", "patternProperties"}
    return all(CHECKS[word](schema[word], value) for word in words - {"additionalProperties"})


NOTHING: Schema = {"enum": []}


def _of_key(schema: Schema, key: str) -> Iterator[Schema]:
    if key in schema.get("properties", {}):
        yield schema["properties"][key]
        return
    matching = [
        inner for each, inner in schema.get("patternProperties", {}).items() if re.search(each, key)
    ]
    rest = schema.get("additionalProperties", {})
    yield from matching or [NOTHING if rest is False else rest]


def test_the_file_in_config_is_current() -> None:
    assert (CONFIG / "schema.json").read_text() == schema_text()


def test_the_rules_of_the_main_command_name_the_schema_and_follow_it() -> None:
    text = (CONFIG / "planb.yaml").read_text()

    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    assert accepts(SCHEMA, yaml.safe_load(text))


def test_the_rules_of_the_main_command_load() -> None:
    assert load(CONFIG / "planb.yaml", {}).routes


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("", True),
        ("server: {drain_timeout: 1m30s}", True),
        ("server: {drain_timeout: 30}", False),
        ("server: {drain_timeout: '${DRAIN:-30s}', max_connections: '${MOST}'}", True),
        ("server: {max_connections: '5'}", True),
        ("server: {max_connections: five}", False),
        ("shedding: {signals: {load: {start: 1.5, full: '2.5', refuse: '${MOST}'}}}", True),
        ("shedding: {signals: {load: {start: 0}}}", False),
        ("shedding: {signals: {load: {start: five}}}", False),
        ("server: {express: false}", True),
        ("server: {express: '${EXPRESS:-true}'}", True),
        ("server: {express: 1}", False),
        ("logs: {access: 'false'}", True),
        ("logs: {access: 'no'}", False),
        ("server: {max_conections: 5}", False),
        ("admin: {bind: '127.0.0.1'}", False),
        ("limits: {a: {rate: 5/s}, b: {concurrency: 5, queue: 2, queue_timeout: 1s}}", True),
        ("limits: {a: {rate: 5/s, concurrency: 5}}", False),
        ("limits: {a: {rate: 5/s, burst: 0}}", False),
        ("limits: {a: {rate: 5/s, burst: '${BURST:-4}'}}", True),
        ("limits: {'a b': {rate: 5/s}}", False),
        ("routes: [{name: a, limits: [b, {pace: 5/m, max_wait: 1s, name: c}]}]", True),
        ("routes: [{name: a, limits: [{rat: 5/s}]}]", False),
        ("routes: [{name: a, fallback: {by_reason: {rate: busy}}}]", True),
        ("routes: [{name: a, fallback: {by_reason: {rats: busy}}}]", False),
        ("pages: {a: {html: a.html}, b: {html: {en: a.html, zh: b.html}, status: 200}}", True),
        ("pages: {a: {html: {zh-CN: a.html}}}", False),
        ("logs: {level: '${LEVEL}', access: '${ACCESS}', format: json}", True),
        ("logs: {level: loud}", False),
    ],
)
def test_an_editor_finds_what_is_wrong_with_a_section(text: str, valid: bool) -> None:
    assert accepts(SCHEMA, yaml.safe_load(SHORTEST + text)) is valid


def test_what_loads_is_valid(tmp_path: Path) -> None:
    text = SHORTEST + "routes: [{name: a, match: {hosts: [Shop.example], methods: [GET]}}]\n"

    load(write(tmp_path, text), {})
    assert accepts(SCHEMA, yaml.safe_load(text))


def _properties(schema: Any) -> Iterator[tuple[str, Schema]]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {}).items()
    for inner in schema.values() if isinstance(schema, dict) else ():
        yield from _properties(inner)


def test_every_property_has_a_description() -> None:
    properties = list(_properties(SCHEMA))

    assert len(properties) > 60
    assert [name for name, schema in properties if not _description(schema)] == []


def _description(schema: Schema) -> str | None:
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")] | schema
    return schema.get("description")
