import pytest

from proxy.policy.endpoint_spec import Place, most_ejected


@pytest.mark.parametrize(
    ("count", "ratio", "most"),
    [
        (1, 1.0, 0),
        (2, 0.5, 1),
        (2, 1.0, 1),
        (3, 0.5, 1),
        (3, 0.67, 2),
        (10, 0.1, 1),
        (9, 0.1, 0),
        (100, 0.29, 29),
        (5, 0.0, 0),
        (0, 0.5, 0),
    ],
)
def test_the_share_is_never_exceeded_and_the_last_never_out(
    count: int, ratio: float, most: int
) -> None:
    assert most_ejected(count, ratio) == most


def test_a_place_is_written_as_an_address_is() -> None:
    assert str(Place("10.0.0.1", 80)) == "10.0.0.1:80"
    assert str(Place("::1", 80)) == "[::1]:80"
    assert str(Place("localhost", 80, "/run/shop")) == "/run/shop"
