from pathlib import Path

import pytest

from tests.bench import machine


def test_a_section_is_replaced_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(machine, "describe", lambda: "- a machine")
    machine.keep("Reloading", "first")
    machine.keep("Forwarding", "other")
    machine.keep("Reloading", "second")
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.count("## Reloading") == text.count("## Forwarding") == 1
    assert text.index("## Forwarding") < text.index("## Reloading")
    assert "second" in text
    assert "first" not in text


def test_a_missing_tool_is_one_sentence() -> None:
    with pytest.raises(SystemExit, match="no-such-tool is missing: make bench-tools"):
        machine.find_tool("no-such-tool")
