"""Parity: the same bytes through both lanes, and the same outcome.

`requests` and `responses` are the tables of `cases`; a `Lane` sends one to a listener of the one
lane, before a `shop` that answers as the case says, and tells what came of it; a `Pair` compares
both lanes' outcomes: every byte to the client and to the shop, the log, the counters. A new case
is a line in a table: it is sent whole (`test_whole`) and, if it is short, cut at every position
(`test_cut`). `test_generated` sends what nobody thought of.
"""

from collections.abc import Iterator

import pytest

from tests.parity.pair import Pair


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both lanes, ready to be sent cases."""
    with Pair(tmp_path_factory.mktemp("lanes")) as pair:
        yield pair
