from pathlib import Path

import pytest

from tests.bench.overload.programs import Programs, build, compiler


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    if compiler() is None:
        pytest.skip("no C compiler")
    return build(Path(tmp_path_factory.mktemp("overload")))
