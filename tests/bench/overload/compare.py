"""Plan B beside its peers before a shop that gets more than it can serve. See ../README.md.

python -m tests.bench.overload.compare [--quick] [--contenders nginx planb] [--cases wave] \
[--into FOLDER]
"""

import argparse
import asyncio
import os
import shlex
import sys
import tempfile
from pathlib import Path

from tests.bench.machine import LOAD_CORE, keep
from tests.bench.overload.cases import LOADS, WAVE, Case, cases, load_name
from tests.bench.overload.contenders import CONTENDERS
from tests.bench.overload.programs import build
from tests.bench.overload.report import report
from tests.bench.overload.results import OTHERS_CORES, Outcome, Results
from tests.bench.overload.run import quiet, run

RESULTS = Path(__file__).parents[1] / "OVERLOAD.md"
LOADS_PICTURE, WAVE_PICTURE = "overload_loads.png", "overload_wave.png"

_TRIES, _QUIET_WITHIN = 3, 20.0
"""How often a run is made that other processes spoil, and seconds to wait for them to be quiet."""


async def measure(results: Results, directory: Path) -> None:
    """All cases, for each contender in turn, so that a noisy minute hits all."""
    programs = build(directory)
    folder = directory / "proxy"
    folder.mkdir()
    for number in range(max(case.rounds for case in results.cases)):
        for case in results.cases:
            if number >= case.rounds:
                continue
            for who in results.contenders:
                for _ in range(_TRIES):
                    await quiet(_QUIET_WITHIN)
                    outcome = await run(case, who, programs, folder, seed=number + 1)
                    results.add(case, who, outcome)
                    print(_line(number + 1, case, who, outcome), flush=True)
                    if outcome.others <= OTHERS_CORES:
                        break


def _line(number: int, case: Case, who: str, outcome: Outcome) -> str:
    told = outcome.figures
    return (
        f"round {number}  {case.name:<24} {who:<25} goodput {told.goodput / case.reachable:>4.0%}  "
        f"refused {told.refusals:>7,} in {1000 * told.refusal_p50:>6.2f} ms  "
        f"cores {outcome.cores:.2f}, others {outcome.others:.2f}  "
        f"generator late {1000 * told.late_p99:.1f} ms"
        f"{'' if outcome.valid else ': INVALID'}"
    )


def chosen(names: list[str], parts: list[str] | None) -> list[str]:
    """Those of `names` that have one of `parts` in them; all without any."""
    return [name for name in names if parts is None or any(part in name for part in parts)]


def write(results: Results, folder: Path, command: str) -> None:
    """OVERLOAD.md, as written by `command`, and the pictures for which all was measured."""
    from tests.bench.overload.plot import plot_loads, plot_wave  # noqa: PLC0415  (needs matplotlib)

    pictures = []
    by_name = {case.name: case for case in results.cases}
    if all(load_name(times) in by_name for times in LOADS):
        plot_loads(results, folder / LOADS_PICTURE)
        pictures.append(f"![Goodput over load]({LOADS_PICTURE})")
    if WAVE in by_name:
        plot_wave(results, by_name[WAVE], folder / WAVE_PICTURE)
        pictures.append(f"![Goodput in a wave, over time]({WAVE_PICTURE})")
    file = folder / RESULTS.name
    file.write_text(f"# Surviving the wave\n\nWritten by `{command}`.\n")
    text = "\n\n".join([*pictures, report(results)])
    keep("Overload", text, file)


def main() -> None:
    """The command."""
    every = cases()
    parser = argparse.ArgumentParser(prog="overload", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter, and each case once")
    parser.add_argument(
        "--contenders",
        nargs="+",
        metavar="PART",
        help=f"those with a PART in their names: {', '.join(CONTENDERS)} (all)",
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        metavar="PART",
        help=f"those with a PART in their names: {', '.join(case.name for case in every)} (all)",
    )
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="write OVERLOAD.md and pictures there; a whole run writes them beside this bench",
    )
    options = parser.parse_args()
    contenders = chosen(list(CONTENDERS), options.contenders)
    wanted = chosen([case.name for case in every], options.cases)
    if not contenders or not wanted:
        parser.error("nothing has such a name")
    picked = [case for case in cases(quick=options.quick) if case.name in wanted]
    results = Results(contenders, picked)
    if (os.cpu_count() or 1) > LOAD_CORE:
        os.sched_setaffinity(0, {LOAD_CORE})
    else:
        print("One core only: these numbers say little.", file=sys.stderr)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(results, Path(directory)))
    print(f"\n{report(results)}")
    whole = contenders == list(CONTENDERS) and len(picked) == len(every) and not options.quick
    folder = options.into or (RESULTS.parent if whole else None)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        program = ["python", "-m", "tests.bench.overload.compare"]
        command = "make bench-overload" if whole else shlex.join([*program, *sys.argv[1:]])
        write(results, folder, command)


if __name__ == "__main__":
    main()
