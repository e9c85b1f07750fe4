"""What holds for all tests."""

from collections.abc import Generator

import pytest
from hypothesis import settings

# A slow moment of a busy machine is not a slow example.
settings.register_profile("planb", deadline=None)
settings.load_profile("planb")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Reports go from process to process as UTF-8, which not all that is logged here can be."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode())
        for title, text in report.sections
    ]
    return report
