"""Node.js and its packages, installed once per run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.databases import once
from tests.interop.installation import RECIPES, Installation

EXPRESS = RECIPES / "express"
OLDEST = 18
"""The oldest Node.js that works with the flags below; the recipe itself needs a maintained version."""
UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "EAI_AGAIN", "ETIMEDOUT", "ENOTCACHED", "ENETUNREACH")


def command(script: str) -> list[str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        pytest.skip("Node.js and npm are not installed (.ci/install brings them)")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(version.lstrip("v").split(".")[0])
    if major < OLDEST:
        pytest.skip(f"Node.js {OLDEST} is needed, {version.strip()} is installed")
    # before 20, Web Crypto is not a global, and only the first IP of a host is tried
    flags = ["--experimental-global-webcrypto", "--dns-result-order=ipv4first"] if major < 20 else []
    return [node, *flags, script]


def packages(shared: Path) -> Path:
    """Return a read-only folder with the Express recipe, also used by the tests of openid-client, and its packages."""
    return installed(shared, EXPRESS)


def installed(shared: Path, source: Path) -> Path:
    """Return a read-only copy of the folder `source` with the packages of its lock file, installed by `npm ci`."""
    folder = shared / source.name
    command("server.mjs")
    with once(shared, f"npm-{source.name}") as first:
        if first:
            shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules"))
            install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
            done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
            (folder / "npm.out").write_text(done.stderr if done.returncode else "")
    failed = (folder / "npm.out").read_text()
    if any(word in failed for word in UNREACHABLE):
        pytest.skip("npm cannot fetch the packages: no registry can be reached and they are not in npm's cache")
    assert not failed, failed
    return folder


def environment(installation: Installation, **more: str) -> dict[str, str]:
    """Return the environment of a Node.js program that trusts the installation's authority."""
    return {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(installation.trusted), **more}
