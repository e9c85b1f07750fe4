"""Plan B beside nginx, HAProxy and Envoy, in the same run. See README.md.

python -m tests.bench.compare [--rounds 3] [--seconds 3] [--contenders nginx planb] \
[--cases refuse memory] [--into FOLDER]
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.bench.cases import CASES, FORWARD
from tests.bench.closed_loop import check_answers, measure_speeds
from tests.bench.constant_rate import measure_floods, measure_waits
from tests.bench.contenders import CONTENDERS
from tests.bench.machine import LOAD_CORE, RESULTS, keep
from tests.bench.memory import measure_memory
from tests.bench.report import report
from tests.bench.results import Results
from tests.bench.upstream import upstream

LATENCY, FLOOD, MEMORY = "latency", "flood", "memory"
PICTURE = "results.png"
ALL = [*(case.name for case in CASES), LATENCY, FLOOD, MEMORY]


async def measure(results: Results, wanted: list[str], directory: Path) -> None:
    """Fill `results` with what is wanted, of `ALL`."""
    # Half load is known only when the full one has been measured.
    needed = {*wanted, FORWARD.name} if LATENCY in wanted else wanted
    cases = [each for each in CASES if each.name in needed]
    shop_directory, proxy_directory = directory / "upstream", directory / "proxy"
    shop_directory.mkdir()
    proxy_directory.mkdir()
    async with upstream(shop_directory) as shop:
        await check_answers(results.contenders, shop, proxy_directory)
        await measure_speeds(results, cases, shop, proxy_directory)
        if LATENCY in wanted:
            await measure_waits(results, shop, proxy_directory)
        if FLOOD in wanted:
            await measure_floods(results, shop, proxy_directory)
        if MEMORY in wanted:
            await measure_memory(results, shop, proxy_directory)


def chosen(parts: list[str] | None) -> list[str]:
    """The names of `ALL` that have one of `parts` in them; all without any."""
    return [name for name in ALL if parts is None or any(part in name for part in parts)]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="compare", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each run (3)")
    parser.add_argument("--rounds", type=int, default=3, help="medians are taken over these (3)")
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=CONTENDERS,
        default=list(CONTENDERS),
        metavar="NAME",
        help=f"of {', '.join(CONTENDERS)} (all); the first is the measure of the others",
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        metavar="PART",
        # A % is a place to fill in, for argparse.
        help=f"those with a PART in their names: {', '.join(ALL)} (all)".replace("%", "%%"),
    )
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="write RESULTS.md and results.png there; a whole run writes them beside this file",
    )
    options = parser.parse_args()
    wanted = chosen(options.cases)
    if not wanted:
        parser.error(f"no such case; there are: {', '.join(ALL)}")
    results = Results(options.contenders, options.rounds, options.seconds)
    if (os.cpu_count() or 1) > LOAD_CORE:
        os.sched_setaffinity(0, {LOAD_CORE})
    else:
        print("One core only: these numbers say little.", file=sys.stderr)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(measure(results, wanted, Path(directory)))
    whole = wanted == ALL and options.contenders == list(CONTENDERS)
    folder = options.into or (RESULTS.parent if whole else None)
    print(f"\n{report(results)}")
    if folder is not None:
        from tests.bench.plot import plot  # noqa: PLC0415  (a part needs no matplotlib)

        plot(results, folder / PICTURE)
        text = f"![The medians below, as bars]({PICTURE})\n\n{report(results)}"
        keep("Forwarding and refusing", text, folder / RESULTS.name)


if __name__ == "__main__":
    main()
