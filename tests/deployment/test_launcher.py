"""deploy/installation/idp.sh, the command `idp` of the Debian package and of the image, which root types too."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from idp import __version__
from idp.paths import CHECKOUT

HOSTILE = "raise SystemExit('imported from the working directory')"


@pytest.fixture
def launcher(tmp_path: Path) -> Path:
    """Install the command beside a Python that is the one of the tests."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    (commands / "python").chmod(0o755)
    return Path(shutil.copy(CHECKOUT / "deploy" / "installation" / "idp.sh", commands / "idp"))


def test_the_command_imports_nothing_from_the_folder_where_it_is_typed(launcher: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "idp").mkdir(parents=True)
    for name in ("idp/__init__", "idp/__main__", "click", "runpy", "os"):
        (folder / f"{name}.py").write_text(HOSTILE, encoding="utf-8")
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [launcher, "--version"], cwd=folder, env=inherited, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout
