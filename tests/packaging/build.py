"""Build the wheel and the sdist without network, and install the wheel outside the sources."""

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from idp.config import PREFIX
from idp.paths import CHECKOUT

_PATIENCE = 300


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a working directory outside the sources."""

    environment: Path
    folder: Path
    settings: dict[str, str]

    def run(self, command: str, *arguments: str) -> str:
        done = subprocess.run(
            [self.environment / "bin" / command, *arguments],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command} {arguments}: {done.stderr}"
        return done.stdout

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of its processes, without paths of the sources."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith((PREFIX, "PYTHON", "VIRTUAL_ENV"))}
        return {**environment, **self.settings}


def build(folder: Path, change: Callable[[Path], None] = lambda _sources: None) -> Built:
    """Build both from a copy of the sources, which `change` may alter; a build leaves no files beside the sources."""
    sources = copy_sources(folder)
    change(sources)
    out = folder / "dist"
    commands = _builders(out)
    if not commands:
        pytest.skip("neither hatchling nor uv is installed")
    failures = []
    for command in commands:
        done = subprocess.run(command, cwd=sources, capture_output=True, text=True, timeout=_PATIENCE, check=False)
        if done.returncode == 0:
            return found_in(folder)
        failures.append(f"{command}: {done.stderr}")
    pytest.fail("\n".join(failures))


def copy_sources(folder: Path) -> Path:
    ignored = shutil.ignore_patterns(
        ".*_cache", "__pycache__", ".venv", ".git", ".tools", "var", "node_modules", "dist"
    )
    return shutil.copytree(CHECKOUT, folder / "sources", ignore=ignored)


def found_in(folder: Path) -> Built:
    [wheel], [sdist] = folder.glob("dist/*.whl"), folder.glob("dist/*.tar.gz")
    return Built(wheel, sdist)


def _builders(out: Path) -> list[list[str]]:
    """Return the build commands to try: hatchling if it is installed, otherwise uv, first from its cache."""
    if importlib.util.find_spec("hatchling"):
        return [[sys.executable, "-m", "hatchling", "build", "-d", str(out)]]
    uv = _uv()
    if uv is None:
        return []
    command = [uv, "build", "--quiet", "--python", sys.executable, "--out-dir", str(out)]
    return [[*command, "--offline"], command]


def _uv() -> str | None:
    return shutil.which("uv") or shutil.which("uv", path=str(CHECKOUT / ".tools" / "bin"))


def install(wheel: Path, environment: Path) -> None:
    """Install the wheel in a new environment that uses the dependencies of the current one; download nothing."""
    for command in _installers(wheel, environment):
        subprocess.run(command, check=True, timeout=_PATIENCE, cwd=environment.parent)
    packages = sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
    # a path in a .pth file is searched last, and .pth files in it, such as that of an editable install, are ignored
    Path(packages, "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")


def _installers(wheel: Path, environment: Path) -> list[list[str]]:
    """Return the commands that make the environment and install the wheel: those of uv, 15 times faster, or of pip."""
    install_only = ["install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    if uv := _uv():
        alone = [uv, "--quiet", "--offline", "--no-config"]
        return [
            [*alone, "venv", "--python", sys.executable, str(environment)],
            [*alone, "pip", *install_only, "--python", str(environment)],
        ]
    return [
        [sys.executable, "-m", "venv", str(environment)],
        [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *install_only],
    ]
