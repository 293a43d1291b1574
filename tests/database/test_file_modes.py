"""Only its owner may read a SQLite database, with any umask."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from idp import schema
from idp.app import create_app
from idp.config import Settings
from idp.db import db
from idp.services import services_of
from tests import forked
from tests.commands.processes import IDP, environment
from tests.databases import settings_for

NAMES = ("idp.db", "idp.db-wal", "idp.db-shm")


@pytest.fixture
def lax() -> Iterator[None]:
    """Set a umask that lets everybody read and write."""
    former = os.umask(0)
    yield
    os.umask(former)


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return settings_for(f"sqlite:///{tmp_path / 'idp.db'}")


def modes(folder: Path) -> dict[str, int]:
    return {name: stat.S_IMODE((folder / name).stat().st_mode) for name in NAMES if (folder / name).exists()}


def write(settings: Settings, folder: Path) -> dict[str, int]:
    """Write through the application; return the modes of the files while it has them open."""
    app = create_app(settings)
    with app.app_context():
        db.session.execute(text("UPDATE school SET name = name"))
        db.session.commit()
        file_modes = modes(folder)
        db.session.remove()
        db.engine.dispose()
        services_of(app).close()
    return file_modes


@pytest.mark.row("K-03")
def test_a_new_database_is_its_owners_alone(lax: None, here: Settings, tmp_path: Path) -> None:
    schema.upgrade(here)
    assert modes(tmp_path)["idp.db"] == 0o600
    assert write(here, tmp_path) == dict.fromkeys(NAMES, 0o600)


@pytest.mark.row("K-03")
def test_a_database_that_was_open_to_others_is_closed_and_logged(
    here: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema.upgrade(here)
    capsys.readouterr()
    (tmp_path / "idp.db").chmod(0o664)
    assert write(here, tmp_path) == dict.fromkeys(NAMES, 0o600)
    assert "other users of this machine could open a database file" in capsys.readouterr().err


@pytest.mark.row("K-03")
def test_the_commands_restrict_the_file_modes(lax: None, here: Settings, tmp_path: Path) -> None:
    code = "import os, sys; os.umask(0); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", code, IDP, "db", "upgrade"]
    subprocess.run(command, env=environment(here), check=True, capture_output=True, timeout=60)
    assert set(modes(tmp_path).values()) == {0o600}


def test_a_path_that_cannot_be_opened_raises_the_database_error(here: Settings, tmp_path: Path) -> None:
    (tmp_path / "idp.db").mkdir()
    done = forked.run(forked.IDP, "client", "list", env=environment(here))
    assert done.returncode == 1
    assert "the database cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
