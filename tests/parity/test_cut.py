"""Requests and responses in two pieces, cut at every position."""

import pytest

from tests.parity import requests, responses
from tests.parity.cases import cut_replies, cut_requests
from tests.parity.pair import Pair


@pytest.mark.parametrize("name", requests.CUT)
def test_a_request_has_the_same_outcome_on_both_lanes_however_it_is_cut(
    lanes: Pair, name: str
) -> None:
    whole = requests.CUT[name]
    lanes.compare_cuts(whole, cut_requests(whole))


@pytest.mark.parametrize("name", responses.CUT)
def test_a_response_has_the_same_outcome_on_both_lanes_however_it_is_cut(
    lanes: Pair, name: str
) -> None:
    whole = responses.CUT[name]
    lanes.compare_cuts(whole, cut_replies(whole))
