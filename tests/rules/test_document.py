"""YAML to plain data with places, within bounds."""

import pytest
import yaml

from proxy.rules import document as module
from proxy.rules.document import DEEPEST, Document, Value, entries, get, read_document, section
from proxy.rules.environment import Environment


def read(text: str, **environ: str) -> Document:
    return read_document(text.encode(), Environment(environ))


def messages(document: Document) -> list[str]:
    return [
        f"{place.line}:{place.column} {steps} {message}"
        for place, steps, message in document.problems
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("2.50", 2.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("''", ""),
        ("'5'", "5"),
        ('"true"', "true"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        # YAML 1.1 would make something else of these.
        ("yes", "yes"),
        ("off", "off"),
        ("0o17", "0o17"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("1_000", "1_000"),
        (".", "."),
        (".inf", ".inf"),
        # Too long for a number that anybody means, and slow to read as one.
        ("9" * 30, "9" * 30),
    ],
)
def test_a_scalar_is_what_people_and_editors_take_it_for(text: str, value: Value) -> None:
    document = read(f"a: {text}")

    assert document.problems == []
    found = get(document.data, "a")
    assert (found, type(found)) == (value, type(value))


def test_every_value_and_key_has_its_place() -> None:
    document = read("a:\n  - b: 1\n    'c d': [2, {e: 3}]\n")

    place = document.place
    assert document.data == {"a": [{"b": 1, "c d": [2, {"e": 3}]}]}
    found = place.find(("a", 0, "c d", 1, "e"))
    assert (found.line, found.column) == (3, 20)
    key = place.find(("a", 0, "c d"), key=True)
    assert (key.line, key.column) == (3, 5)
    beyond = place.find(("a", 0, "x", "y"))
    assert (beyond.line, beyond.column) == (2, 5)


def test_columns_count_characters_and_not_bytes() -> None:
    document = read("{'é中😀': 1, b: [}")

    assert messages(document)[0].startswith("1:16 ")


def test_an_alias_stands_for_its_anchor_and_shares_its_place() -> None:
    document = read("a: &x {b: 1}\nc: *x\n")

    assert document.data == {"a": {"b": 1}, "c": {"b": 1}}
    place = document.place.find(("c", "b"))
    assert (place.line, place.column) == (1, 11)


def test_merge_keys_fill_in_what_a_mapping_does_not_say() -> None:
    document = read(
        "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 3}\nd: {<<: *b}\n"
    )

    assert document.problems == []
    assert get(document.data, "c") == {"x": 3, "y": 1, "z": 2}
    assert get(document.data, "d") == {"y": 2, "z": 2}
    place = document.place.find(("c", "z"), key=True)
    assert (place.line, place.column) == (2, 14)


def test_a_quoted_merge_key_is_a_key() -> None:
    assert read("{'<<': 1}").data == {"<<": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1 ('a',) this key stands already in line 1"),
        ("a: *b\n", "1:4 ('a',) no anchor \"b\" before this"),
        ("a: &x [*x]\n", "1:8 ('a', 0) no anchor \"x\" before this"),
        ("{[1]: 2}\n", "1:2 () a key must be text"),
        ("a: !!python/object:os.system x\n", "1:4 ('a',) YAML tags have no meaning here"),
        ("a: {<<: 1}\n", "1:9 ('a',) << merges a mapping, or a list of mappings"),
        ("a: 1\n---\nb: 2\n", "2:1 () a second document; the rules are one"),
        ("", "1:1 () the file holds no rules"),
        ("a: \x07\n", "1:4 () the character U+0007 is not allowed"),
        ("a: ${A}\n", "1:4 ('a',) the environment variable A is not set"),
    ],
)
def test_a_mistake_is_reported_with_its_place(text: str, message: str) -> None:
    assert message in [each.replace("('a', '<<')", "('a',)") for each in messages(read(text))]


def test_bytes_that_are_not_utf_8_are_reported_where_they_stand() -> None:
    document = read_document("a: é\nb: x".encode() + b"\xff", Environment({}))

    assert messages(document) == ["2:5 () not UTF-8"]


def test_what_stands_beside_a_mistake_is_still_read() -> None:
    document = read("a: ${GONE}\nb: 2\nb: 3\n")

    assert document.data == {"a": None, "b": 2}
    assert len(document.problems) == 2


def test_values_of_the_environment_are_text_or_what_they_look_like_but_no_structure() -> None:
    document = read(
        "plain: ${PORT}\nquoted: '${PORT}'\nlist: ${LIST}\nboth: ${HOST}:${PORT}\n"
        "empty: ${NONE:-}\nagain: ${SELF}\n'${PORT}': key\n",
        PORT="80",
        LIST="[1, 2]\nx: y",
        HOST="h",
        SELF="${PORT}",
    )

    assert document.data == {
        "plain": 80,
        "quoted": "80",
        "list": "[1, 2]\nx: y",
        "both": "h:80",
        "empty": None,
        "again": "${PORT}",
        "${PORT}": "key",
    }


def test_environment_bytes_that_are_not_utf_8_are_a_mistake() -> None:
    document = read("a: ${A}", A="\udcff")

    assert messages(document) == ["1:4 ('a',) holds bytes that are not UTF-8"]


def test_a_billion_laughs_end_early() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    document = read("\n".join(lines))

    assert [each.split(") ")[-1] for each in messages(document)] == [
        "more than 500000 values, those of aliases counted each time"
    ]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_ends_early(opening: str) -> None:
    assert "nested deeper" in messages(read(opening * 100_000))[0]


def test_nesting_by_aliases_is_nesting() -> None:
    depth = DEEPEST // 2
    half = "[" * depth + "]" * depth
    outer = "{k: " * depth + "*a" + "}" * depth

    assert read(f"a: &a {half}\nb: 1\n").problems == []
    assert "nested deeper" in messages(read(f"a: &a {half}\nb: {outer}\n"))[0]


def test_a_large_file_is_refused_unread() -> None:
    assert messages(read("#" * (8 * 2**20 + 1))) == ["1:1 () larger than 8 MiB"]


def test_the_parser_in_python_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: &x [1, 'b', {c: ~}]\nd: *x\n'é': 2.5\n"
    fast = read(text)
    monkeypatch.setattr(module, "_LOADER", yaml.BaseLoader)

    slow = read(text)

    assert slow.data == fast.data
    steps = ("a", 2, "c")
    assert slow.place.find(steps).column == fast.place.find(steps).column


def test_parts_of_the_wrong_kind_are_passed_over() -> None:
    data: Value = {"list": [1], "map": {"a": 1}, "text": "x"}

    assert (entries(data, "list"), entries(data, "map"), entries("x", "list")) == ([1], [], [])
    assert (section(data, "map"), section(data, "list"), section(None, "map")) == ({"a": 1}, {}, {})
    assert (get(data, "text"), get([1], "text")) == ("x", None)
