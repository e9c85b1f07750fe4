"""The two C programs of this bench, made when they are needed: it takes a second."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent


class Programs(NamedTuple):
    """Where they are: who asks, and the shop that is asked."""

    load: Path
    shop: Path


def compiler() -> str | None:
    """The C compiler of this machine, if there is one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(folder: Path) -> Programs:
    """Compile both into `folder`. Exits with a sentence when that can't be."""
    programs = Programs(folder / "load", folder / "shop")
    command = compiler()
    if command is None:
        raise SystemExit("no C compiler: sudo apt install gcc")
    for program in programs:
        source = _HERE / f"{program.name}.c"
        warnings = ("-Wall", "-Wextra", "-Werror")
        done = subprocess.run(
            [command, "-O2", *warnings, "-o", str(program), str(source), "-lm"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{source.name} could not be compiled:\n{done.stderr}")
    return programs
