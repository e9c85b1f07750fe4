"""Every scenario runs on each lane: `[express]` and `[full]`.

Both are held to the same tests. Where Plan B starts, its rules get `server.express`: see
`tests.support.planb.on_lane`. What has nothing to do with a lane is marked `any_lane`, with the
reason, and runs once, on the rules as they stand.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from _pytest.fixtures import SubRequest

from tests.support.planb import on_lane

LANES = ("express", "full")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "any_lane(reason): no matter of lanes: runs once")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("any_lane") is None:
        metafunc.parametrize("lane", LANES, indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def lane(request: pytest.FixtureRequest) -> Iterator[str]:
    """The lane that Plan B's connections begin on."""
    name: str = getattr(request, "param", "")
    if not name:
        yield name
        return
    with on_lane(express=name == "express"):
        yield name


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: SubRequest) -> Iterator[None]:
    """What a module shares, a running Plan B say, was started for one lane and ends with it.

    pytest would keep it for the next lane, as it does not ask for `lane` by itself.
    """
    if fixturedef.scope == "module" and fixturedef.argname != "lane":
        lane = request._get_active_fixturedef("lane")
        lane.addfinalizer(lambda: fixturedef.finish(request))
    return (yield)
