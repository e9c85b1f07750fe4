"""What holds for one build of Plan B only."""

import pytest

from proxy.version import compiled

interpreted_only = pytest.mark.skipif(
    compiled(), reason="compiled modules take no double and no patch in each other's place"
)
