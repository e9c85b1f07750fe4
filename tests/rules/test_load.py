"""`load`: whole files to snapshots, or to reports of all that is wrong."""

import string
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.policy.log_spec import LogSpec
from proxy.policy.snapshot import (
    AdminSpec,
    ConcurrencySpec,
    ListenerSpec,
    RateSpec,
    ServerSpec,
    UpstreamSpec,
)
from proxy.rules.load import MOST_FINDINGS, load
from proxy.rules.problems import RulesError
from proxy.rules.section import Section
from tests.rules.documents import SHORTEST, Table, loaded, report, write

BAD: Table = {
    "YAML that is none": (
        """\
        version: 1
        listeners: [
        """,
        [
            "3:1: not YAML: while parsing a flow node; did not find expected node content",
        ],
    ),
    "a key twice, a tag, a strange key, an alias of nothing": (
        """\
        version: 1
        version: 1
        listeners: !!seq [{name: a, bind: "127.0.0.1:8080", upstream: shop}]
        upstreams: {shop: {url: "http://127.0.0.1:8000"}}
        [a]: 1
        logs: *gone
        server: {<<: 5}
        """,
        [
            "2:1: version: this key stands already in line 1",
            "3:12: listeners: YAML tags have no meaning here",
            "5:1: a key must be text",
            '6:7: logs: no anchor "gone" before this',
            "7:14: server: << merges a mapping, or a list of mappings",
        ],
    ),
    "two documents": (
        """\
        version: 1
        ---
        version: 1
        """,
        [
            "1:1: listeners: is missing",
            "1:1: upstreams: is missing",
            "2:1: a second document; the rules are one",
        ],
    ),
    "nothing": (
        """\
        # a comment
        """,
        [
            "1:1: the file holds no rules",
        ],
    ),
    "a list": (
        """\
        [1]
        """,
        [
            "1:1: the rules are a mapping: version, listeners, upstreams, ...",
        ],
    ),
    "a control character": (
        """\
        version: 1
        name: \x01
        """,
        [
            "2:7: the character U+0001 is not allowed",
        ],
    ),
    "an unquoted reference inside braces": (
        """\
        version: 1
        server: {max_connections: ${N}}
        """,
        [
            (
                "2:28: not YAML: while parsing a flow mapping; did not find expected ',' or '}'; "
                "inside {...} and [...] a value with ${...} must stand in quotes"
            ),
        ],
    ),
    "a reference to nothing": (
        """\
        version: 1
        listeners: [{name: front, bind: 127.0.0.1:8080, upstream: shop}]
        upstreams: {shop: {url: "http://127.0.0.1:8000"}}
        logs:
          level: ${LEVEL}
          format: ${X-y}
        server: [$${LEVEL}]
        """,
        [
            "5:10: logs.level: the environment variable LEVEL is not set",
            (
                '6:11: logs.format: write "${NAME}" or "${NAME:-default}"; "$${" stands for "${" '
                "as it is"
            ),
            (
                "7:12: not YAML: while parsing a flow sequence; did not find expected ',' or ']';"
                " inside {...} and [...] a value with ${...} must stand in quotes"
            ),
        ],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_all_that_is_wrong_with_a_file_is_reported(name: str, tmp_path: Path) -> None:
    text, expected = BAD[name]

    assert report(write(tmp_path, text)) == expected


def test_the_shortest_document_has_the_defaults_of_policy(tmp_path: Path) -> None:
    snapshot = loaded(tmp_path, "")

    assert snapshot.listeners == (ListenerSpec("front", "127.0.0.1", 8080, "shop"),)
    assert snapshot.upstreams == {"shop": UpstreamSpec("shop", "127.0.0.1", 8000)}
    assert snapshot.server == ServerSpec()
    assert snapshot.admin == AdminSpec()
    assert snapshot.logs == LogSpec()
    assert (snapshot.routes, snapshot.limits) == ((), {})


@pytest.mark.parametrize(
    ("path", "message"),
    [("gone.yaml", "No such file or directory"), (".", "not a file"), ("a\0b", "null byte")],
)
def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, path: str, message: str) -> None:
    (line,) = report(tmp_path / path)

    assert f":1:1: can't be read: {message}" in line.replace("embedded ", "")


def test_a_relative_path_is_reported_as_named_and_watched_as_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, SHORTEST)
    write(tmp_path, "[]\n", "wrong.yaml")

    assert load(Path("planb.yaml"), {}).files == (str(tmp_path / "planb.yaml"),)
    with pytest.raises(RulesError, match=r"^wrong\.yaml:1:1: the rules are a mapping"):
        load(Path("wrong.yaml"), {})


def test_the_version_stands_for_all_that_was_read(tmp_path: Path) -> None:
    page = tmp_path / "a.txt"
    page.write_text("a")
    text = "pages: {a: {text: a.txt}}\nlogs:\n  level: ${LEVEL:-info}\n"
    first = loaded(tmp_path, text, {"OTHER": "x"}).version

    assert loaded(tmp_path, text, {}).version == first
    versions = {first, loaded(tmp_path, text, {"LEVEL": "error"}).version}
    versions.add(loaded(tmp_path, text + "# more\n").version)
    page.write_text("b")
    versions.add(loaded(tmp_path, text).version)
    assert len(versions) == 4


def test_numbers_and_truths_come_from_the_environment_inside_of_braces_too(
    tmp_path: Path,
) -> None:
    text = """\
        limits:
          a: {rate: 60/s, burst: "${BURST:-4}"}
          b: {concurrency: "${PLACES}", queue: "${QUEUE:-0}"}
        pages: {a: {text: planb.yaml, status: "${STATUS:-200}"}}
        logs: {access: "${ACCESS}"}
    """

    snapshot = loaded(tmp_path, text, {"PLACES": "2", "ACCESS": "false"})

    a, b = snapshot.limits.values()
    assert isinstance(a, RateSpec)
    assert isinstance(b, ConcurrencySpec)
    assert (a.burst, b.concurrency, b.queue, snapshot.logs.access) == (4, 2, 0, False)


def test_a_text_that_is_no_number_is_reported_wherever_it_is_from(tmp_path: Path) -> None:
    text = SHORTEST + 'limits: {a: {rate: 60/s, burst: "${B}"}, b: {rate: 1/s, burst: "four"}}\n'

    assert report(write(tmp_path, text), {"B": "4.5"}) == [
        "4:33: limits.a.burst: 4.5 is not a whole number",
        '4:64: limits.b.burst: "four" is not a whole number',
    ]


def test_a_flood_of_mistakes_is_cut(tmp_path: Path) -> None:
    keys = "".join(f"x{n}: 1\n" for n in range(3000))

    assert len(report(write(tmp_path, SHORTEST + keys))) == MOST_FINDINGS


def _keys(section: type[Section]) -> Iterator[str]:
    yield from (field.alias or name for name, field in section.model_fields.items())
    for inner in section.__subclasses__():
        yield from _keys(inner)


WORDS = st.sampled_from(
    [
        "shop", "a", "busy", "none", "/a/{x}/**", "127.0.0.1:80", "http://127.0.0.1:80", "5/s",
        "1s", "1s..2s", "5%", "5KiB", "path:x", "GET", "unix:/a", "a.html", "rate", "${A}", "<<",
    ]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(sorted(set(_keys(Section)))) | WORDS, inner, max_size=6)
    ),
    max_leaves=30,
)


def _only_rules_errors(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "planb.yaml"
        path.write_bytes(content)
        try:
            load(path, {"A": "1"})
        except RulesError as error:
            problems = error.problems
        else:
            return
    assert problems
    for problem in problems:
        assert min(problem.line, problem.column) > 0
        assert problem.message


@given(st.binary(max_size=200) | st.text(string.printable, max_size=200).map(str.encode))
@example(b"? {a: b}\n: c")
@example(b"{&a a: *a, *a : *a}")
@example(b"<<: {<<: {a: 1}}")
@example(b"\xef\xbb\xbfversion: 1")
@example(b"%TAG ! x\n---\n!y z")
def test_no_text_raises_anything_but_a_report(content: bytes) -> None:
    _only_rules_errors(content)


@given(st.dictionaries(st.sampled_from(sorted(_keys(Section))), VALUES, max_size=8))
def test_no_structure_raises_anything_but_a_report(data: dict[str, object]) -> None:
    _only_rules_errors(yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass"))
