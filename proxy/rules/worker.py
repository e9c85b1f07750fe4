"""Compiles a rules file in a process of its own: `python -m proxy.rules.worker FILE`.

Takes the environment as it is, and writes to its standard output what `proxy.rules.stream` reads.
A file that would fill the machine (a "billion laughs", a thousand large pages) ends this process
and no other.
"""

import contextlib
import gc
import os
import resource
import sys
from pathlib import Path

from proxy.rules.load import load
from proxy.rules.problems import Problem, RulesError
from proxy.rules.stream import write_error, write_snapshot

LARGEST_MEMORY_BYTES = 1024**3
LONGEST_CPU = 20
"""Seconds."""
NICENESS = 5
"""Requests go first: a reload may take longer, but must not slow them down."""


def main() -> None:
    """Compile the file named on the command line."""
    file = sys.argv[1]
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    _limit(resource.RLIMIT_AS, LARGEST_MEMORY_BYTES)
    _limit(resource.RLIMIT_CPU, LONGEST_CPU)
    # The process ends before garbage could matter.
    gc.disable()
    out = sys.stdout.buffer
    try:
        snapshot = load(Path(file), os.environ)
    except RulesError as error:
        write_error(error, out)
    except MemoryError:
        size = LARGEST_MEMORY_BYTES // 2**20
        message = f"needs more than {size} MiB of memory to read"
        write_error(RulesError([Problem(file, 1, 1, "", message)]), out)
    else:
        write_snapshot(snapshot, out)
    out.flush()
    # Nothing is left to do; freeing every object one by one would take its time.
    os._exit(0)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    main()
