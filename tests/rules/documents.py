"""Rules files for tests, and what is reported of them."""

import os
from pathlib import Path
from textwrap import dedent

import pytest

from proxy.policy.snapshot import Snapshot
from proxy.rules.load import load
from proxy.rules.problems import RulesError

SHORTEST = """\
version: 1
listeners: [{name: front, bind: "127.0.0.1:8080", upstream: shop}]
upstreams: {shop: {url: "http://127.0.0.1:8000"}}
"""

Table = dict[str, tuple[str, list[str]]]
"""Name to a document and the lines of its report."""


def write(folder: Path, text: str, name: str = "planb.yaml") -> Path:
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None) -> Snapshot:
    """The snapshot of the shortest document with `text` behind it."""
    return load(write(folder, SHORTEST + dedent(text)), environ or {})


def report(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    """The report's lines, without the folder and the rules file's name."""
    with pytest.raises(RulesError) as caught:
        load(path, environ or {})
    lines = [str(problem) for problem in caught.value.problems]
    return [
        line.replace(f"{path.parent}{os.sep}", "").removeprefix("planb.yaml:") for line in lines
    ]
