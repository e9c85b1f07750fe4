"""What the schema found wrong, in words for the document's author."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from proxy.rules.document import Value
from proxy.rules.problems import Step, nearest, shown, suggestion
from proxy.rules.schema import LIMIT_KINDS, TAG
from proxy.rules.section import Section

Finding = tuple[tuple[Step, ...], str, bool]
"""A path, a message, and whether the key is at fault and not its value."""

_WHAT = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def findings(
    errors: Iterable[ErrorDetails], data: Value, sections: Mapping[int, type[Section]]
) -> Iterator[Finding]:
    """The errors of a validation as findings.

    `sections` says which model looked at which mapping, by the mapping's `id`.
    """
    found = list(errors)
    misspelt: set[tuple[Step, ...]] = set()
    for error in found:
        steps, kind = _steps(error["loc"]), error["type"]
        if kind == "extra_forbidden":
            parent = _at(data, steps[:-1])
            known = sections[id(parent)]
            names = [field.alias or name for name, field in known.model_fields.items()]
            key = str(steps[-1])
            if near := nearest(key, names):
                misspelt.add((*steps[:-1], near))
            limit = getattr(known, "kind", None)
            if limit and key in LIMIT_KINDS:
                yield steps, f"a limit has one kind; make two limits of {limit} and {key}", True
            elif limit and key == "name":
                yield steps, "its name is the key that it stands under", True
            else:
                yield steps, f"unknown key{suggestion(key, names)}", True
    for error in found:
        steps, kind = _steps(error["loc"]), error["type"]
        if kind == "missing":
            if steps not in misspelt:
                yield _missing(steps)
        elif kind != "extra_forbidden":
            yield steps, _message(error), error["loc"][-1] == "[key]"


def _missing(steps: tuple[Step, ...]) -> Finding:
    if steps[-1] == "rate":
        return steps[:-1], "a limit needs one of rate, pace and concurrency", False
    return steps, "is missing", False


def _message(error: ErrorDetails) -> str:
    kind = error["type"]
    context: dict[str, Any] = error.get("ctx", {})
    value = error["input"]
    if kind == "value_error":
        return str(context["error"])
    if value is None:
        return "has no value"
    if kind == "string_type":
        # The value stays unsaid: it may be a token that is made of digits.
        return "is not text; put it in quotes if it is meant as text"
    if kind in _WHAT:
        return f"{shown(value)} is not {_WHAT[kind]}"
    if kind == "literal_error":
        words = str(context["expected"]).replace("'", "")
        near = suggestion(value, words.replace(" or ", ", ").split(", ")) if _is_text(value) else ""
        return f"{shown(value)} is not {words}{near}"
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}"
    if kind == "greater_than":
        return f"must be more than {context['gt']}"
    if kind == "less_than_equal":
        return f"must be at most {context['le']}"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    if kind == "too_long":
        return f"must not have more than {context['max_length']} entries"
    return str(error["msg"])


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _steps(location: Sequence[Step]) -> tuple[Step, ...]:
    """The path in the document: without names of choices and marks of keys."""
    return tuple(
        step
        for step in location
        if step != "[key]" and not (isinstance(step, str) and step.startswith(TAG))
    )


def _at(data: Value, steps: tuple[Step, ...]) -> Value:
    inner: Any = data
    for step in steps:
        inner = inner[step]
    return inner  # type: ignore[no-any-return]
