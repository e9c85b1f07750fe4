import math
from pathlib import Path

from tests.bench.overload.cases import Case
from tests.bench.overload.contenders import NO_PROXY
from tests.bench.overload.customers import Phase
from tests.bench.overload.programs import Programs
from tests.bench.overload.run import run

CALM = Case("calm", (Phase(200, 1.0),), 0.2, 1.0, 200, arrivals="constant")
STANDSTILL = Case(
    "standstill",
    (Phase(200, 2.5),),
    0.5,
    1.5,
    200,
    arrivals="constant",
    events=((0.5, "slow 25"), (1.0, "slow 1")),
    over=0.6,
)


async def test_a_shop_with_time_to_spare_serves_everybody(
    programs: Programs, tmp_path: Path
) -> None:
    outcome = await run(CALM, NO_PROXY, programs, tmp_path, seed=1)
    assert abs(outcome.figures.goodput - 200) <= 2
    assert [kind.good_ratio for kind in outcome.figures.kinds] == [1.0] * 4
    assert 0.018 <= outcome.figures.success_p99 < 0.1
    assert outcome.wasted_ratio == 0.0
    assert math.isnan(outcome.cores)
    assert math.isnan(outcome.recovery)
    assert len(outcome.series) == 4


async def test_what_happens_to_the_shop_is_seen_and_so_is_its_end(
    programs: Programs, tmp_path: Path
) -> None:
    outcome = await run(STANDSTILL, NO_PROXY, programs, tmp_path, seed=1)
    assert 0.3 < outcome.figures.good_ratio < 0.8
    assert outcome.series[0] > 0.9 * 200
    assert outcome.series[2] < 0.2 * 200
    assert 0.1 < outcome.recovery < 1.2
