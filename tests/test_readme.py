import re
import shutil
from pathlib import Path

import yaml

from proxy.rules.load import load

ROOT = Path(__file__).parents[1]


def test_the_rules_in_the_readme_are_good_ones(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    whole, *parts = blocks
    assert parts
    shutil.copytree(ROOT / "config" / "pages", tmp_path / "pages")
    file = tmp_path / "planb.yaml"
    file.write_text(whole, "utf-8")
    assert len(load(file, {}).routes) == 5
    for part in parts:
        file.write_text(yaml.safe_dump(yaml.safe_load(whole) | yaml.safe_load(part)), "utf-8")
        load(file, {})


def test_every_file_that_the_readme_names_exists() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_shipped_rules_are_good_ones() -> None:
    files = sorted((ROOT / "config").glob("**/*.yaml"))
    assert len(files) >= 2
    for file in files:
        load(file, {"UPSTREAM": "http://127.0.0.1:3000"})
