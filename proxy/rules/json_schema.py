"""The schema as JSON Schema, for editors: `# yaml-language-server: $schema=schema.json`."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from proxy.rules.schema import Rules

_ENVIRONMENT = "FromEnvironment"
_PATTERN_OF_REFERENCE = r"\$\{[A-Za-z_]"
_AS_IT_IS = ("propertyNames", "default", "examples", "enum")
_AS_TEXT = {
    "integer": "^[-+]?[0-9]{1,18}$",
    "number": r"^[-+]?(\.[0-9]{1,18}|[0-9]{1,18}(\.[0-9]{0,18})?)([eE][-+]?[0-9]{1,3})?$",
    "boolean": "^([Tt]rue|TRUE|[Ff]alse|FALSE)$",
}
_CHECKED = ("pattern", "enum", "const", "minimum", "maximum", "minLength")


def schema_text() -> str:
    """The JSON Schema of the rules, as `config/schema.json` holds it.

    It says no to nothing that `load` takes: any value may also come from the environment.
    """
    schema = Rules.model_json_schema(by_alias=True)
    schema = {
        "$schema": GenerateJsonSchema.schema_dialect,
        **_opened(schema),
        "title": "Plan B rules",
    }
    schema["$defs"][_ENVIRONMENT] = {
        "type": "string",
        "pattern": _PATTERN_OF_REFERENCE,
        "description": "A value from the environment: ${NAME} or ${NAME:-default}.",
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _opened(schema: Any) -> Any:
    """`schema` with the environment as another choice wherever a value is checked."""
    if isinstance(schema, list):
        return [_opened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    # Titles made from names say nothing that the names don't.
    opened = {
        key: _opened_all(inner) if key in ("properties", "$defs") else _opened(inner)
        for key, inner in schema.items()
        if key not in ("title", *_AS_IT_IS)
    }
    opened |= {key: schema[key] for key in _AS_IT_IS if key in schema}
    if "patternProperties" in opened:
        opened["additionalProperties"] = False
    as_text = _AS_TEXT.get(schema.get("type", ""))
    if as_text or any(key in schema for key in _CHECKED):
        said = {key: opened.pop(key) for key in ("description", "default") if key in opened}
        choices = [opened, {"$ref": f"#/$defs/{_ENVIRONMENT}"}]
        if as_text and "const" not in schema:
            choices.append({"type": "string", "pattern": as_text})
        return {"anyOf": choices, **said}
    return opened


def _opened_all(schemas: dict[str, Any]) -> dict[str, Any]:
    return {name: _opened(each) for name, each in schemas.items()}
