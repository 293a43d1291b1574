"""Node.js, and the packages of the Express recipe, which the tests of openid-client use too: installed once a run."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.databases import once
from tests.interop.installation import RECIPES, Installation

EXPRESS = RECIPES / "express"
OLDEST = 18
"""The oldest Node.js for which the flags below make up; the recipe itself asks for one that is maintained."""
UNREACHABLE = ("ENOTFOUND", "ECONNREFUSED", "EAI_AGAIN", "ETIMEDOUT", "ENOTCACHED", "ENETUNREACH")


def command(script: str) -> list[str]:
    """Return what runs `script`; skip the test on a machine that cannot."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        pytest.skip("Node.js and npm are not installed (.ci/install brings them)")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(version.lstrip("v").split(".")[0])
    if major < OLDEST:
        pytest.skip(f"Node.js {OLDEST} is needed, {version.strip()} is installed")
    # before 20, Web Crypto is no global by itself, and of a name's addresses the first alone is tried
    flags = ["--experimental-global-webcrypto", "--dns-result-order=ipv4first"] if major < 20 else []
    return [node, *flags, script]


def packages(shared: Path) -> Path:
    """Return a folder with the recipe and its packages, as `npm ci` lays them out; not to be written to."""
    folder = shared / "express"
    command("server.mjs")
    with once(shared, "npm") as first:
        if first:
            shutil.copytree(EXPRESS, folder, ignore=shutil.ignore_patterns("node_modules"))
            install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
            done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
            (folder / "npm.out").write_text(done.stderr if done.returncode else "")
    failed = (folder / "npm.out").read_text()
    if any(word in failed for word in UNREACHABLE):
        pytest.skip("npm cannot fetch the packages: no registry can be reached and they are not in npm's cache")
    assert not failed, failed
    return folder


def environment(installation: Installation, **more: str) -> dict[str, str]:
    """Return the environment of a program on Node.js that trusts the installation's authority."""
    return {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(installation.trusted), **more}
