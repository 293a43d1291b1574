"""What `make bench-peers` installs is pinned with hashes, and the peers' files are valid."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest

from bench.peers import canaille
from bench.peers.install import NODE_SOURCES, REQUIREMENTS

_PACKAGE = json.loads((NODE_SOURCES / "package.json").read_text(encoding="utf-8"))
_LOCK = json.loads((NODE_SOURCES / "package-lock.json").read_text(encoding="utf-8"))


def test_npm_packages_are_pinned_with_their_hashes() -> None:
    assert _LOCK["packages"][""]["dependencies"] == _PACKAGE["dependencies"]
    packages = {name: package for name, package in _LOCK["packages"].items() if name}
    assert len(packages) > 20
    assert [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []  # any registry may serve them
    for name, version in _PACKAGE["dependencies"].items():
        assert packages[f"node_modules/{name}"]["version"] == version
    assert _PACKAGE["dependencies"]["oidc-provider"].startswith("9.")


def test_python_packages_are_pinned_with_their_hashes() -> None:
    text = REQUIREMENTS.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(lines) > 20
    assert [line for line in lines if not re.match(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+ .*--hash=sha256:\w{64}", line)] == []
    requirements = (REQUIREMENTS.with_suffix(".in")).read_text(encoding="utf-8").splitlines()
    pins = [re.sub(r"\[.*\]", "", line) for line in requirements if not line.startswith("#")]
    assert [pin for pin in pins if not any(line.startswith(f"{pin} ") for line in lines)] == []


def test_the_configuration_of_canaille_is_valid() -> None:
    settings = tomllib.loads(canaille.configuration(8001, "postgresql://u@/d?host=/tmp/a"))
    assert settings["SERVER_NAME"] == "127.0.0.1:8001"
    assert settings["CANAILLE_SQL"]["DATABASE_URI"] == "postgresql+psycopg2://u@/d?host=%2Ftmp%2Fa"
    assert settings["CANAILLE_SQL"]["PASSWORD_HASH_PARAMS"]["argon2__memory_cost"] == 19 * 1024
    [key] = settings["CANAILLE_OIDC"]["ACTIVE_JWKS"]
    assert key["kty"] == "RSA"
    assert "d" in key


@pytest.mark.interop
def test_the_scripts_of_node_are_valid() -> None:
    node = shutil.which("node")
    assert node
    scripts = sorted(NODE_SOURCES.glob("*.mjs"))
    assert [script.stem for script in scripts] == ["hash_rate", "redis_adapter", "server"]
    for script in scripts:
        subprocess.run([node, "--check", script], check=True)
