from pathlib import Path

import pytest

from tests.bench import machine


def test_a_section_is_replaced_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "RESULTS.md"
    monkeypatch.setattr(machine, "describe", lambda: "- a machine")
    machine.keep("Reloading", "first", file)
    machine.keep("Forwarding", "other", file)
    machine.keep("Reloading", "second", file)
    text = file.read_text()
    assert text.count("## Reloading") == text.count("## Forwarding") == 1
    assert text.index("## Forwarding") < text.index("## Reloading")
    assert "second" in text
    assert "first" not in text


def test_a_missing_tool_is_one_sentence() -> None:
    with pytest.raises(SystemExit, match="no-such-tool is missing: make bench-tools"):
        machine.find_tool("no-such-tool")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("nginx version: nginx/1.22.1\n", "1.22.1"),
        (
            "HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\n",
            "2.6.12-1+deb12u4",
        ),
        (
            "\nenvoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE\n",
            "1.40.0",
        ),
        ("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer\n", "4.1.0-3+b2"),
        ("a tool of few words\n", "of an unknown version"),
    ],
)
def test_a_version_is_found_in_what_a_tool_says(text: str, version: str) -> None:
    assert machine.first_version(text) == version
