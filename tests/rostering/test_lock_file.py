"""The file of the import lock beside a SQLite database: root and the service's user both import."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from idp.app import create_app
from idp.rostering import lock
from tests.databases import settings_for, sqlite_copy

OTHER = 54321
"""The number of a user; nobody needs the name."""


@pytest.fixture
def database(shared: Path, tmp_path: Path) -> Iterator[Path]:
    """A database whose owner is another user, if the tests run as root."""
    folder = tmp_path / "database"
    folder.mkdir()
    with sqlite_copy(shared, folder) as url:
        file = Path(url.removeprefix("sqlite:///"))
        if os.geteuid() == 0:
            os.chown(file, OTHER, OTHER)
        yield file


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the lock of the imports into this database."""
    with create_app(settings_for(f"sqlite:///{database}")).app_context(), lock.alone():
        yield


def place(database: Path) -> Path:
    return database.with_name(f"{database.name}.import-lock")


def test_the_lock_belongs_to_the_user_of_the_database_alone(database: Path) -> None:
    with locked(database):
        made = place(database).stat()
        owner = database.stat()
        assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (owner.st_uid, owner.st_gid, 0o600)
        with pytest.raises(lock.ImportRunningError), locked(database):
            pass
    with locked(database):
        assert place(database).stat() == made


def test_an_import_by_root_follows_no_link_of_the_services_user(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "nologin"
    place(database).symlink_to(target)
    with pytest.raises(OSError, match="import-lock"), locked(database):
        pass
    assert not target.exists()


def test_an_import_keeps_the_owner_of_a_lock_that_exists(database: Path, tmp_path: Path) -> None:
    """A file of root may have a second name here."""
    private = tmp_path / "private"
    private.touch(0o600)
    before = private.stat()
    os.link(private, place(database))
    with locked(database):
        pass
    assert private.stat().st_uid == before.st_uid


def test_an_import_waits_for_no_pipe(database: Path) -> None:
    os.mkfifo(place(database))
    with locked(database):
        pass
