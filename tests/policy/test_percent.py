from time import perf_counter
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.policy.percent import percent_decode

TEXTS = st.binary(max_size=60) | st.text(alphabet="%2fFe41 a", max_size=40).map(str.encode)


@given(TEXTS)
def test_escapes_are_decoded_as_the_standard_library_does(data: bytes) -> None:
    assert percent_decode(data) == unquote_to_bytes(data)


@pytest.mark.parametrize(
    ("data", "decoded"),
    [
        (b"%41%2f%2F", b"A%2f%2F"),
        (b"%252f", b"%2f"),
        (b"%%2f", b"%%2f"),
        (b"%2", b"%2"),
    ],
)
def test_slashes_can_be_left_encoded(data: bytes, decoded: bytes) -> None:
    assert percent_decode(data, slashes=False) == decoded


def test_invalid_escapes_cost_no_more_than_valid_ones() -> None:
    def seconds(data: bytes) -> float:
        begun = perf_counter()
        percent_decode(data)
        return perf_counter() - begun

    # With an exception for each it was five times as long.
    best = [min(seconds(data) for _ in range(5)) for data in (b"%" * 60_000, b"%41" * 20_000)]
    assert best[0] < 2 * best[1]
