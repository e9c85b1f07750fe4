from pathlib import Path

import pytest

from proxy.ops.signals_pressure import pressure_file, stalled
from proxy.ops.signals_system import Unreadable
from tests.ops.recorded import CONTAINER, files, system


def test_it_is_the_share_of_time_in_which_somebody_waited(tmp_path: Path) -> None:
    made = system(tmp_path)
    assert stalled(pressure_file(made, "cpu")) == pytest.approx(0.125)
    assert stalled(pressure_file(made, "memory")) == pytest.approx(0.03)


def test_a_container_s_own_goes_before_the_machine_s(tmp_path: Path) -> None:
    made = system(tmp_path, cgroups=CONTAINER)
    assert stalled(pressure_file(made, "cpu")) == pytest.approx(0.8)


@pytest.mark.parametrize("text", ["", "full avg10=1.00 \n", "some avg10=nan avg60=1\n"])
def test_without_an_average_it_is_unreadable(tmp_path: Path, text: str) -> None:
    files(tmp_path, {"cpu": text})
    with pytest.raises(Unreadable):
        stalled(tmp_path / "cpu")
    with pytest.raises(Unreadable):
        stalled(tmp_path / "none")
