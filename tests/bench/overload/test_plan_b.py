from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.rules.load import load
from tests.bench.overload.plan_b import adaptive_rules, whole_rules
from tests.support.planb import complete


@pytest.mark.parametrize("rules", [adaptive_rules, whole_rules])
def test_the_rules_are_rules_of_plan_b(tmp_path: Path, rules: Callable[[int], str]) -> None:
    file = tmp_path / "planb.yaml"
    file.write_text(complete(rules(8000)))
    assert len(load(file, {}).routes) == 4
