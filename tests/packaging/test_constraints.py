"""The dependencies are listed with hashes in constraints.txt, which is part of the wheel."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from idp.paths import CHECKOUT

CONSTRAINTS = CHECKOUT / "constraints.txt"
MAKEFILE = (CHECKOUT / "Makefile").read_text(encoding="utf-8")


def uv() -> str:
    """Return the path of uv, in the Makefile's version."""
    [version] = re.findall(r"^UV_VERSION := (\S+)$", MAKEFILE, re.MULTILINE)
    for path in (str(CHECKOUT / ".tools" / "bin" / "uv"), shutil.which("uv")):
        if path and Path(path).exists():
            version_text = subprocess.run(
                [path, "--version"], capture_output=True, text=True, check=True, timeout=60
            ).stdout
            if version_text.split()[1] == version:
                return path
    pytest.skip(f"uv {version} is not here (make setup brings it)")


def test_the_makefile_uses_the_uv_that_it_names_and_no_other() -> None:
    assert re.findall(r"^UV := (.+)$", MAKEFILE, re.MULTILINE) == [".tools/bin/uv"]
    assert not re.findall(r"^\t@?(?:[^#\n]*\s)?uv\s", MAKEFILE, re.MULTILINE), "a command with another uv"
    assert "uv==$(UV_VERSION)" in MAKEFILE


def test_constraints_match_the_lock_file(tmp_path: Path) -> None:
    [options] = re.findall(r"^EXPORT := (.+)$", MAKEFILE, re.MULTILINE)
    out = tmp_path / "constraints.txt"
    command = [uv(), "export", *options.split(), "--offline", "--output-file", str(out)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, timeout=120)
    assert CONSTRAINTS.read_text(encoding="utf-8") == out.read_text(encoding="utf-8"), "`make lock` writes it anew"


def test_every_requirement_has_one_version_and_a_hash() -> None:
    entries = re.split(r"\n(?=\S)", CONSTRAINTS.read_text(encoding="utf-8").strip())
    assert len(entries) > 30
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==[0-9][^ ]* ", entry), entry
        assert re.findall(r"--hash=sha256:[0-9a-f]{64}", entry), entry
