"""A wave, and what is after it, in simulated time: visitors that try again, and the dips."""

from collections.abc import Sequence

import pytest

from tests.simulation.street import Street
from tests.simulation.test_overload import WITH_PRIORITIES, mixed
from tests.simulation.trials import EXPONENTIAL
from tests.simulation.visitors import Kind, Manners

STUBBORN = Manners(patience=1.0, retries=2)
NAIVE = Manners(patience=1.0, retries=2, pause=0.0)
"""As the bench's: again at once."""

EVEN = (Kind(),)


def test_without_a_proxy_a_wave_is_never_over() -> None:
    """Never: within ten seconds after three. Its queue is of those who have left."""
    street = Street(None, manners=NAIVE)
    street.run(3.0, 0.5)
    street.run(3.0, 10.0)
    street.run(10.0, 0.5)
    assert street.share(1.0, 3.0) >= 0.95 * 0.5
    for second in range(6, 16):
        assert street.share(second, second + 1) < 0.05


@pytest.mark.parametrize("manners", [STUBBORN, NAIVE])
def test_after_a_wave_with_retries_all_is_well_within_a_second(manners: Manners) -> None:
    street = Street(manners=manners)
    street.run(3.0, 0.5)
    wave = street.run(3.0, 10.0)
    street.run(3.0, 0.5)
    attempts = wave.good + wave.late + wave.left + len(wave.refusals)
    assert manners is STUBBORN or attempts > 3.0 * 27_000
    assert street.share(3.0, 6.0) >= 0.95
    assert wave.refusal_within(0.99) < 0.005
    assert street.share(7.0, 9.0) >= 0.95 * 0.5
    assert street.account.between(7.0, 9.0).refusals == []


def test_critical_requests_succeed_in_a_wave_with_retries() -> None:
    street = Street(WITH_PRIORITIES, kinds=mixed(0.05, 0.15, 0.4, 0.4), manners=NAIVE)
    street.run(2.0, 0.5)
    street.run(3.0, 10.0)
    street.run(1.0, 0.5)
    critical = street.account.between(2.0, 5.0, "/critical")
    assert critical.kept >= 0.995 * critical.wanted


@pytest.mark.parametrize("kinds", [EVEN, EXPONENTIAL])
def test_after_a_burst_next_to_nobody_is_refused(kinds: Sequence[Kind]) -> None:
    """A second of twice the capacity, then nine tenths of it. A queue that has stood has little
    room at first, and chance fills that now and then; a dip must not make more of it.
    """
    refused = []
    for seed in range(10):
        street = Street(kinds=kinds, seed=seed)
        street.run(1.0, 2.0)
        street.run(8.0, 0.9)
        tallies = [street.account.between(each, each + 1) for each in range(1, 9)]
        refused.append([len(each.refusals) for each in tallies])
    total = [sum(each) for each in zip(*refused, strict=True)]
    assert total[0] < 0.02 * 10 * 900
    assert max(each[0] for each in refused) < 0.06 * 900
    assert sum(total[1:3]) < 0.001 * 10 * 2 * 900
    assert total[3:] == [0, 0, 0, 0, 0]
