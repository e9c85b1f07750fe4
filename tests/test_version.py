import importlib
from importlib.metadata import version

import pytest

from proxy.__main__ import main
from proxy.version import compiled, version_text


@pytest.mark.parametrize(
    "name",
    [
        "proxy.policy.engine",
        "proxy.wire.request_head",
        "proxy.lanes.express_downstream",
        "proxy.lanes.express_exchange",
        "proxy.lanes.express_upstream",
    ],
)
def test_the_hot_modules_are_all_of_one_build(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file is not None
    assert file.endswith(".py") is not compiled()


def test_the_version_tells_the_build() -> None:
    assert version_text() == version("planb") + (", compiled" if compiled() else "")


def test_the_command_tells_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"planb {version_text()}\n"
