"""What `make` says when something is missing, tried with a PATH that lacks it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("sh", "make", "awk", "basename", "env", "id", "mkdir", "rm", "touch")

OLD_PYTHON = """#!/bin/sh
case "$2" in *print*) echo 3.10.12 ;; *) exit 1 ;; esac
"""
NO_ENSUREPIP = f"""#!/bin/sh
case "$2" in *ensurepip*) exit 1 ;; esac
exec {sys.executable} "$@"
"""
HALF_A_VENV = f"""#!/bin/sh
case "$1 $2" in "-m venv") mkdir -p .venv/bin; exit 1 ;; esac
exec {sys.executable} "$@"
"""


class Folder:
    """A copy of the Makefile, and a PATH with `TOOLS` and what a test adds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands = path / "commands"
        self.commands.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, tool
            (self.commands / tool).symlink_to(found)
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy(ROOT / name, path)

    def command(self, name: str, script: str) -> None:
        file = self.commands / name
        file.write_text(script)
        file.chmod(0o755)

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.commands / "make", *arguments],
            cwd=self.path,
            env={"PATH": str(self.commands), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_make_alone_lists_the_targets(folder: Folder) -> None:
    done = folder.make()
    assert done.returncode == 0
    assert {"run", "surge", "test", "lint", "bench", "bench-overload", "bench-dependency"} <= {
        line.split()[1] for line in done.stdout.splitlines()
    }


def test_no_python_at_all(folder: Folder) -> None:
    done = folder.make(".venv/.made")
    assert done.returncode != 0
    assert "sudo apt install python3 python3-venv" in done.stderr


def test_a_python_that_is_too_old(folder: Folder) -> None:
    folder.command("python3", OLD_PYTHON)
    done = folder.make(".venv/.made")
    assert done.returncode != 0
    assert "python3 is 3.10.12." in done.stderr
    assert "PYTHON=" in done.stderr


def test_a_newer_python_beside_an_old_one_is_found(folder: Folder) -> None:
    folder.command("python3", OLD_PYTHON)
    folder.command("python3.12", NO_ENSUREPIP)
    assert "sudo apt install python3.12-venv" in folder.make(".venv/.made").stderr


def test_a_python_without_its_venv_module(folder: Folder) -> None:
    folder.command("python3", NO_ENSUREPIP)
    done = folder.make(".venv/.made")
    assert done.returncode != 0
    assert "sudo apt install python3-venv" in done.stderr
    assert not (folder.path / ".venv").exists()


def test_a_half_made_environment_is_made_again(folder: Folder) -> None:
    folder.command("python3", HALF_A_VENV)
    assert folder.make(".venv/.made").returncode != 0
    assert (folder.path / ".venv").exists()
    folder.command("python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    assert folder.make(".venv/.made").returncode == 0
    assert (folder.path / ".venv/bin/pip").exists()
    assert "up to date" in folder.make(".venv/.made").stdout


def test_packages_that_cannot_be_had(folder: Folder) -> None:
    (folder.path / ".venv/bin").mkdir(parents=True)
    (folder.path / ".venv/.made").touch()
    pip = folder.path / ".venv/bin/python"
    pip.write_text("#!/bin/sh\necho 'no route to host' >&2\nexit 1\n")
    pip.chmod(0o755)
    done = folder.make(".venv/.run")
    assert done.returncode != 0
    assert "no route to host" in done.stderr
    assert "Is the package index within reach?" in done.stderr
    assert not (folder.path / ".venv/.run").exists()


def test_a_changed_project_file_installs_again(folder: Folder) -> None:
    (folder.path / ".venv/bin").mkdir(parents=True)
    for mark in (".made", ".run"):
        (folder.path / ".venv" / mark).touch()
    python = folder.path / ".venv/bin/python"
    python.write_text('#!/bin/sh\necho "$@" >>installed\n')
    python.chmod(0o755)
    later = (folder.path / ".venv/.run").stat().st_mtime + 1
    os.utime(folder.path / "pyproject.toml", (later - 2, later - 2))
    folder.make(".venv/.run")
    assert not (folder.path / "installed").exists()
    os.utime(folder.path / "pyproject.toml", (later, later))
    folder.make(".venv/.run")
    assert "--editable ." in (folder.path / "installed").read_text()


def test_a_missing_tool_without_the_right_to_install_it(folder: Folder) -> None:
    (folder.commands / "id").unlink()
    folder.command("id", "#!/bin/sh\necho 1000\n")
    done = folder.make("browser")
    assert done.returncode != 0
    assert "sudo apt install chromium" in done.stderr


def test_a_missing_tool_is_installed_under_the_name_that_apt_knows(folder: Folder) -> None:
    (folder.commands / "id").unlink()
    folder.command("id", "#!/bin/sh\necho 0\n")
    folder.command("apt-cache", '#!/bin/sh\n[ "$2" = chromium-browser ]\n')
    folder.command("apt-get", '#!/bin/sh\necho "$@" >>installed\n')
    assert folder.make("browser").returncode == 0
    assert (
        "install -y --no-install-recommends chromium-browser"
        in (folder.path / "installed").read_text()
    )


def test_a_tool_that_is_there_is_left_alone(folder: Folder) -> None:
    folder.command("chromium", "#!/bin/sh\n")
    done = folder.make("browser")
    assert (done.returncode, done.stderr) == (0, "")
