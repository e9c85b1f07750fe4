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


def test_the_whole_set_has_every_kind_of_protection(tmp_path: Path) -> None:
    file = tmp_path / "planb.yaml"
    file.write_text(complete(whole_rules(8000)))
    loaded = load(file, {})
    shop = loaded.upstreams["shop"]
    assert None not in (shop.adaptive_concurrency, shop.breaker, loaded.shedding)
    assert all(len(route.limits) == 2 for route in loaded.routes)
