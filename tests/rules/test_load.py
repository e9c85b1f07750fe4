"""`load`: whole files to snapshots, or to reports of all that is wrong."""

from pathlib import Path

import pytest

from tests.rules.documents import Table, report, write

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
