"""Where Plan B's time goes in one case of the benchmark, sampled by py-spy. See README.md.

python -m tests.bench.profile --case "refuse by rate, browser head" [--seconds 10] [--native]
"""

import argparse
import asyncio
import os
import tempfile
from collections import Counter
from pathlib import Path

from tests.bench import wrk
from tests.bench.cases import CASES, Case
from tests.bench.contenders import CONTENDERS, FULL_LANE, PLANB
from tests.bench.machine import LOAD_CORE, find_tool, table
from tests.bench.upstream import upstream

_SAMPLES_PER_SECOND = 500
_SHOWN = 25
_MAIN = "(proxy/__main__.py"


async def record(case: Case, who: str, seconds: int, native: bool, directory: Path) -> str:
    """The stacks that were sampled under the case's load: `outermost;...;innermost COUNT` lines."""
    stacks = directory / "stacks"
    options = ["--format", "raw", "--rate", str(_SAMPLES_PER_SECOND), "--duration", f"{seconds}"]
    options += ["--native"] if native else []
    async with upstream(directory) as shop, CONTENDERS[who](directory, shop.port) as proxy:
        load = asyncio.create_task(wrk.run(proxy.port, case, seconds + 2))
        await asyncio.sleep(1)
        spy = await asyncio.create_subprocess_exec(
            *[find_tool("py-spy"), "record", *options, "--output", str(stacks)],
            *["--pid", str(proxy.pid)],
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await spy.communicate()
        report = await load
    if spy.returncode != 0:
        raise SystemExit(f"py-spy failed (it may need root):\n{output.decode()}")
    report.check(case, who)
    print(f"{report.per_second:,.0f}/s while sampled")
    return _text(stacks)


def hottest(stacks: str, shown: int = _SHOWN) -> str:
    """The functions of the main thread with the most time of their own.

    Other threads wait or write the log, and py-spy takes some of that waiting for work.
    """
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        if _MAIN not in stack:
            continue
        frames = [_function(frame) for frame in stack.split(";")]
        own[frames[-1]] += int(count)
        for frame in set(frames):
            within[frame] += int(count)
    total = own.total() or 1
    rows = [
        [name, f"{count / total:.1%}", f"{within[name] / total:.1%}"]
        for name, count in own.most_common(shown)
    ]
    return table(["function", "itself", "with what it calls"], rows)


def _function(frame: str) -> str:
    """Without the line: `feed (proxy/wire/request_head.py:194)` is `feed`'s, whatever the line."""
    return frame.rpartition(":")[0] + ")" if frame.endswith(")") and ":" in frame else frame


def _text(file: Path) -> str:
    return file.read_text()


def main() -> None:
    """The command."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(prog="profile")
    parser.add_argument("--case", required=True, metavar="PART", help=f"of {'; '.join(names)}")
    parser.add_argument("--seconds", type=int, default=10, help="of sampling (10)")
    parser.add_argument("--full-lane", action="store_true", help="with express: false")
    parser.add_argument("--native", action="store_true", help="C functions too")
    parser.add_argument("--stacks", type=Path, metavar="FILE", help="keep the stacks there")
    options = parser.parse_args()
    found = [case for case in CASES if options.case in case.name]
    if len(found) != 1:
        parser.error(f"{options.case!r} must be in the name of one case: {'; '.join(names)}")
    if (os.cpu_count() or 1) > LOAD_CORE:
        os.sched_setaffinity(0, {LOAD_CORE})
    who = FULL_LANE if options.full_lane else PLANB
    with tempfile.TemporaryDirectory() as outer:
        directory = Path(outer) / "planb"
        directory.mkdir()
        stacks = asyncio.run(record(found[0], who, options.seconds, options.native, directory))
    if options.stacks is not None:
        options.stacks.write_text(stacks)
    print(hottest(stacks))


if __name__ == "__main__":
    main()
