"""The scenarios run on the lane that their names say."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.scenarios.storefront import Storefront, storefront

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storefront]:
    async with storefront(tmp_path_factory.mktemp("planb")) as running:
        yield running


async def test_what_a_module_shares_is_started_for_each_lane(shop: Storefront, lane: str) -> None:
    express = {"express": "true", "full": "false"}[lane]
    assert f"server: {{express: {express}}}\n" in shop.planb.file.read_text()


@pytest.mark.any_lane("on the rules as they stand")
async def test_what_is_no_matter_of_lanes_says_nothing_of_them(shop: Storefront) -> None:
    assert "server:" not in shop.planb.file.read_text()
