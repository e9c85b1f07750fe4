"""YAML text to plain data, in which every value knows its place.

A subset of YAML 1.2 that people and editors agree on: mappings with text keys, lists, text,
whole and decimal numbers, `true` and `false`, `null`; anchors, aliases and merge keys (`<<`).
Tags, duplicate keys and second documents are problems. YAML 1.1's other spellings (`yes`, `off`,
octal numbers, 1:30 as ninety, dates) are text.

The data is made from the parser's events and not from its node graph: so nesting and size are
bounded while they grow, and a "billion laughs" file (aliases of aliases) ends early.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml
from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)
from yaml.reader import Reader

from proxy.rules.environment import Environment
from proxy.rules.problems import Step

Scalar = str | int | float | bool | None
Value = Scalar | dict[str, "Value"] | list["Value"]

LARGEST_FILE_BYTES = 8 * 1024 * 1024
LARGEST_COUNT = 500_000
"""Values in a document, those of aliases counted each time they appear."""
DEEPEST = 40
"""Levels of nesting; the rules themselves need 6."""

_LOADER: type = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,18}|[0-9]{1,18}(\.[0-9]{0,18})?)([eE][-+]?[0-9]{1,3})?")
_CONSTANTS: dict[str, bool | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}


def get(value: Value, key: str) -> Value:
    """What a mapping holds under `key`; None for all else."""
    return value.get(key) if isinstance(value, dict) else None


def entries(value: Value, key: str) -> list[Value]:
    """The list under `key`; empty for all else."""
    inner = get(value, key)
    return inner if isinstance(inner, list) else []


def section(value: Value, key: str) -> dict[str, Value]:
    """The mapping under `key`; empty for all else."""
    inner = get(value, key)
    return inner if isinstance(inner, dict) else {}


def as_plain(value: object) -> object:
    """A text as if it stood without quotes, which `{...}` and `[...]` demand around `${...}`.

    All else as it is.
    """
    return _resolve(value) if isinstance(value, str) else value


class Place:
    """Where a value stands, counted from 1, and the places of what it holds.

    In a mapping's place, `keys` says where each key stands.
    """

    __slots__ = ("column", "inner", "keys", "line")

    def __init__(self, line: int, column: int) -> None:
        self.line = line
        self.column = column
        self.inner: dict[Step, Place] = {}
        self.keys: dict[Step, Place] = {}

    def find(self, steps: tuple[Step, ...], *, key: bool = False) -> "Place":
        """The place of what `steps` lead to; of its key, when `key` asks for that.

        Where the steps lead out of the document, the place where they leave it.
        """
        place = self
        for index, step in enumerate(steps):
            if step not in place.inner:
                break
            if key and index == len(steps) - 1:
                return place.keys.get(step, place.inner[step])
            place = place.inner[step]
        return place


@dataclass(slots=True)
class Document:
    """A file's data, and its mistakes as YAML: (place, path, message)."""

    data: Value = None
    place: Place = field(default_factory=lambda: Place(1, 1))
    problems: list[tuple[Place, tuple[Step, ...], str]] = field(default_factory=list)


def read_document(content: bytes, environment: Environment) -> Document:
    """What `content` holds.

    Never raises: a mistake leaves a problem in the document, and None or nothing where it stands.
    """
    document = Document()
    try:
        text = _text(content)
        _Reader(text, environment, document).read()
    except _Stop as stop:
        document.problems.append((stop.place, stop.path, stop.message))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
        document.problems.append((place, (), _syntax(error, text, place)))
    return document


class _Stop(Exception):  # noqa: N818 - it ends the reading; it is not an error of ours
    """Nothing after this can be read."""

    def __init__(self, place: Place, message: str, path: tuple[Step, ...] = ()) -> None:
        self.place = place
        self.path = path
        self.message = message


def _text(content: bytes) -> str:
    if len(content) > LARGEST_FILE_BYTES:
        raise _Stop(Place(1, 1), f"larger than {LARGEST_FILE_BYTES // 2**20} MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        raise _Stop(_end(before), "not UTF-8") from None
    if unprintable := Reader.NON_PRINTABLE.search(text):
        message = f"the character U+{ord(unprintable[0]):04X} is not allowed"
        raise _Stop(_end(text[: unprintable.start()]), message)
    return text


def _end(text: str) -> Place:
    return Place(text.count("\n") + 1, len(text) - text.rfind("\n"))


def _syntax(error: yaml.MarkedYAMLError, text: str, place: Place) -> str:
    message = "; ".join(filter(None, (error.context, error.problem))) or "not YAML"
    lines = text.splitlines()
    if place.line <= len(lines) and re.search(r"[\[{,].*\$\{", lines[place.line - 1]):
        message += "; inside {...} and [...] a value with ${...} must stand in quotes"
    return f"not YAML: {message}"


class _Reader:
    """Makes plain data from events, recursively, within the bounds."""

    def __init__(self, text: str, environment: Environment, document: Document) -> None:
        self._events: Iterator[Event] = iter(yaml.parse(text, Loader=_LOADER))
        self._environment = environment
        self._document = document
        self._anchors: dict[str, tuple[Value, Place, int, int]] = {}
        self._count = 0
        self._path: list[Step] = []

    def read(self) -> None:
        next(self._events)  # the stream's start
        if not isinstance(next(self._events), DocumentStartEvent):
            raise _Stop(Place(1, 1), "the file holds no rules")
        self._document.data, self._document.place, _ = self._node(next(self._events))
        next(self._events)  # the document's end
        after = next(self._events)
        if isinstance(after, DocumentStartEvent):
            raise _Stop(_place(after), "a second document; the rules are one")

    def _node(self, event: Event) -> tuple[Value, Place, int]:
        """A value, its place, and how many levels it holds."""
        place = _place(event)
        if len(self._path) > DEEPEST:
            raise _Stop(place, f"nested deeper than {DEEPEST} levels", tuple(self._path))
        if isinstance(event, AliasEvent):
            return self._alias(event, place)
        before = self._count
        self._add(1, place)
        if getattr(event, "tag", None) not in (None, "!"):
            self._problem(place, "YAML tags have no meaning here")
        value: Value
        depth = 0
        if isinstance(event, ScalarEvent):
            value = self._scalar(event, place)
        elif isinstance(event, MappingStartEvent):
            value, depth = self._mapping(place)
        else:
            value, depth = self._list(place)
        if isinstance(event, ScalarEvent | CollectionStartEvent) and event.anchor:
            self._anchors[event.anchor] = value, place, self._count - before, depth
        return value, place, depth

    def _alias(self, event: AliasEvent, place: Place) -> tuple[Value, Place, int]:
        known = self._anchors.get(event.anchor or "")
        if known is None:
            self._problem(place, f'no anchor "{event.anchor}" before this')
            return None, place, 0
        value, anchored, count, depth = known
        self._add(count, place)
        if len(self._path) + depth > DEEPEST:
            raise _Stop(place, f"nested deeper than {DEEPEST} levels", tuple(self._path))
        return value, anchored, depth

    def _list(self, place: Place) -> tuple[Value, int]:
        values: list[Value] = []
        deepest = 0
        for event in self._events:
            if isinstance(event, SequenceEndEvent):
                break
            self._path.append(len(values))
            value, place.inner[len(values)], depth = self._node(event)
            self._path.pop()
            values.append(value)
            deepest = max(deepest, depth)
        return values, deepest + 1

    def _mapping(self, place: Place) -> tuple[Value, int]:
        values: dict[str, Value] = {}
        merged: list[tuple[Value, Place]] = []
        deepest = 0
        for event in self._events:
            if isinstance(event, MappingEndEvent):
                break
            at = _place(event)
            self._add(1, at)
            key = self._key(event, at)
            self._path.append(key or "")
            value, inner, depth = self._node(next(self._events))
            deepest = max(deepest, depth)
            if key == "<<" and isinstance(event, ScalarEvent) and event.implicit[0]:
                merged.append((value, inner))
            elif key in values:
                first = place.keys[key]
                self._problem(at, f"this key stands already in line {first.line}")
            elif key is not None:
                values[key] = value
                place.inner[key], place.keys[key] = inner, at
            self._path.pop()
        for value, inner in merged:
            self._merge(values, place, value, inner)
        return values, deepest + 1

    def _key(self, event: Event, at: Place) -> str | None:
        """A key's text; None when it is none, which leaves a problem."""
        if isinstance(event, ScalarEvent):
            if not event.value.isascii():
                self._encodable(event.value, at)
            return event.value
        self._problem(at, "a key must be text")
        self._path.append("")
        self._node(event)
        self._path.pop()
        return None

    def _merge(self, values: dict[str, Value], place: Place, other: Value, inner: Place) -> None:
        """`<<`: what `other` holds, where the mapping itself says nothing else."""
        if isinstance(other, dict):
            for key in other:
                if key not in values:
                    values[key] = other[key]
                    place.inner[key] = inner.inner[key]
                    place.keys[key] = inner.keys[key]
        elif isinstance(other, list) and all(isinstance(each, dict) for each in other):
            for index, each in enumerate(other):
                self._merge(values, place, each, inner.inner[index])
        else:
            self._problem(inner, "<< merges a mapping, or a list of mappings")

    def _scalar(self, event: ScalarEvent, place: Place) -> Scalar:
        text: str = event.value
        if "${" in text:
            try:
                text = self._environment.substitute(text)
            except ValueError as error:
                self._problem(place, str(error))
                return None
        if not text.isascii() and not self._encodable(text, place):
            return None
        # A quoted scalar is text whatever it holds; a plain one is what it looks like.
        return _resolve(text) if event.implicit[0] else text

    def _encodable(self, text: str, place: Place) -> bool:
        try:
            text.encode()
        except UnicodeEncodeError:
            self._problem(place, "holds bytes that are not UTF-8")
            return False
        return True

    def _add(self, count: int, place: Place) -> None:
        self._count += count
        if self._count > LARGEST_COUNT:
            message = f"more than {LARGEST_COUNT} values, those of aliases counted each time"
            raise _Stop(place, message)

    def _problem(self, place: Place, message: str) -> None:
        self._document.problems.append((place, tuple(self._path), message))


def _place(event: Event) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)


def _resolve(text: str) -> Scalar:
    """YAML 1.2.2's core schema (section 10.3.2), without octal, hexadecimal, `.inf` and `.nan`."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
