"""Requests and responses as they are written, in one piece."""

import pytest

from tests.parity import requests, responses
from tests.parity.pair import Pair


@pytest.mark.parametrize("name", requests.WHOLE)
def test_a_request_has_the_same_outcome_on_both_lanes(lanes: Pair, name: str) -> None:
    lanes.compare(requests.WHOLE[name])


@pytest.mark.parametrize("name", responses.WHOLE)
def test_a_response_has_the_same_outcome_on_both_lanes(lanes: Pair, name: str) -> None:
    lanes.compare(responses.WHOLE[name])


@pytest.mark.parametrize("name", [*requests.LEGAL, *requests.PIPELINED])
def test_a_request_while_draining_has_the_same_outcome(lanes: Pair, name: str) -> None:
    with lanes.draining():
        lanes.compare({**requests.LEGAL, **requests.PIPELINED}[name])
