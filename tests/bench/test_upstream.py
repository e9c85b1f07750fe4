import pytest

from tests.bench.upstream import accepted

PAGE = """Active connections: 1
server accepts handled requests
 65 64 1000
Reading: 0 Writing: 1 Waiting: 0
"""


def test_accepted_connections_are_read_from_the_status_page() -> None:
    assert accepted(PAGE) == 65


def test_another_page_is_refused() -> None:
    with pytest.raises(SystemExit, match="not a stub_status page"):
        accepted("<html>")
