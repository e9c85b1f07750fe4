import pytest

from proxy.demo.effort import Effort


@pytest.mark.parametrize(
    ("share", "waiting", "seconds"),
    [(1.0, 0, 0.04), (0.0, 900, 0.0), (3.0, 0, 0.12), (1.0, 500, 0.08), (1.0, 10**6, 0.16)],
)
def test_a_queue_slows_everything_up_to_a_bound(share: float, waiting: int, seconds: float) -> None:
    assert Effort(0.04).seconds(share, waiting) == pytest.approx(seconds)
