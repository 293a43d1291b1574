"""deploy/debian/postrm keeps what cannot be made again; test_debian_package.py runs it in a whole Debian."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from idp.paths import CHECKOUT
from tests.databases import SECRET

SAMPLE = (CHECKOUT / "deploy" / "environment.sample").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Machine:
    """The folders that a purge touches, and a `userdel` that notes whom it was asked to delete."""

    folder: Path

    @property
    def environment(self) -> Path:
        return self.folder / "etc/idp/environment"

    @property
    def state(self) -> Path:
        return self.folder / "var/lib/idp"

    def deleted_user(self) -> bool:
        return (self.folder / "deleted").exists()

    def purge(self) -> str:
        """Run the script with these folders; return what it says to the administrator."""
        script = (CHECKOUT / "deploy" / "debian" / "postrm").read_text(encoding="utf-8")
        for path in ("/etc/idp", "/var/lib/idp", "/run/systemd/system"):
            assert path in script
            script = script.replace(path, f"{self.folder}{path}")
        environment = {**os.environ, "PATH": f"{self.folder}/bin{os.pathsep}{os.environ['PATH']}", "LC_ALL": "C"}
        done = subprocess.run(
            ["sh", "-c", script, "postrm", "purge"], env=environment, capture_output=True, text=True, check=True
        )
        return done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for folder in ("bin", "etc/idp", "var/lib/idp"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bin/userdel").write_text(f"#!/bin/sh\necho $1 >{tmp_path}/deleted\n", encoding="utf-8")
    (tmp_path / "bin/userdel").chmod(0o755)
    made = Machine(tmp_path)
    made.environment.write_text(SAMPLE, encoding="utf-8")
    return made


@pytest.mark.parametrize(
    "line",
    [
        f"IDP_SECRET_KEY={SECRET}",
        f"  IDP_SECRET_KEY={SECRET}",
        f"\tIDP_SECRET_KEY = '{SECRET}'",
        f'IDP_SECRET_KEY="{SECRET}"',
        f"IDP_SECRET_KEY=\\\n{SECRET}",
        f"IDP_SECRET_KEY=…\nIDP_SECRET_KEY_FALLBACKS=['{SECRET}']",
        f"IDP_SECRET_KEY=…\r\nIDP_SECRET_KEY={SECRET}\r\n",
        f"IDP_SECRET_KEY=…\n#IDP_SECRET_KEY={SECRET}",
        f"export IDP_SECRET_KEY={SECRET}",
    ],
    ids=[
        "as in the sample",
        "indented",
        "quoted",
        "in double quotes",
        "on two lines",
        "a former one",
        "twice",
        "a comment",
        "of a shell",
    ],
)
def test_a_purge_keeps_a_secret_key_however_it_is_written(machine: Machine, line: str) -> None:
    text = SAMPLE.replace("IDP_SECRET_KEY=…", line)
    assert SECRET in text
    machine.environment.write_text(text, encoding="utf-8")
    assert "stays, since it has the secret key" in machine.purge()
    assert machine.environment.read_text(encoding="utf-8") == text.replace("\r\n", "\n")
    assert not machine.deleted_user(), "the group of the file is the user's"


def test_a_purge_deletes_settings_without_a_key(machine: Machine) -> None:
    assert machine.purge() == ""
    assert not machine.environment.parent.exists()
    assert not machine.state.exists()
    assert machine.deleted_user()


def test_a_purge_keeps_the_user_whose_database_stays(machine: Machine) -> None:
    """The settings may be elsewhere; the next system user would get the number, and read the database."""
    (machine.state / "idp.db").touch()
    assert f"{machine.state} stays" in machine.purge()
    assert not machine.environment.parent.exists()
    assert not machine.deleted_user()
