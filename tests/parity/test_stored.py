"""What is kept and sent again: the same on both lanes, however the shop's answer comes."""

from dataclasses import replace
from itertools import count

import pytest

from tests.parity.cases import Case
from tests.parity.pair import Pair
from tests.parity.stored import NUMBERED

# Of one length, so that all outcomes of a case have the same.
_numbers = count(10_000)


@pytest.mark.parametrize("name", NUMBERED)
def test_what_is_kept_has_the_same_outcome_on_both_lanes(lanes: Pair, name: str) -> None:
    lanes.compare(NUMBERED[name](next(_numbers)))


def _in_two(whole: Case, position: int) -> Case:
    assert whole.reply is not None
    (piece,) = whole.reply.pieces
    return replace(whole, reply=replace(whole.reply, pieces=(piece[:position], piece[position:])))


@pytest.mark.parametrize("name", [each for each in NUMBERED if NUMBERED[each](0).reply])
def test_what_is_kept_has_the_same_outcome_however_it_comes(lanes: Pair, name: str) -> None:
    reply = NUMBERED[name](0).reply
    assert reply is not None
    lanes.compare_cuts(
        NUMBERED[name](next(_numbers)),
        [
            _in_two(NUMBERED[name](next(_numbers)), position)
            for position in range(1, len(reply.pieces[0]))
        ],
    )
