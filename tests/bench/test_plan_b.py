from pathlib import Path

import pytest

from proxy.rules.load import load
from tests.bench.plan_b import rules
from tests.support.planb import complete


@pytest.mark.parametrize("express", [True, False])
def test_the_rules_are_rules_of_plan_b(tmp_path: Path, express: bool) -> None:
    file = tmp_path / "planb.yaml"
    file.write_text(complete(rules(8000, express=express)))
    snapshot = load(file, {})
    assert snapshot.server.express is express
