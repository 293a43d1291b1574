import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from idp.operations.revisions import newest
from tests.commands.conftest import Answer, Run
from tests.databases import SECRET
from tests.short_waits import short_lock_waits

pytestmark = pytest.mark.both_databases

ACTS = (
    ("client", "list"),
    ("client", "add", "ENT", "--uai", "0599001N", "--redirect-uri", "https://ent.test/cb"),
    ("keys", "rotate"),
    ("charter", "list"),
    ("outbox", "list"),
    ("worker", "--once"),
)
EVERYTHING = (*ACTS, ("db", "upgrade"), ("db", "current"))


@pytest.fixture
def alone(bare: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command with valid settings and no database."""
    monkeypatch.setenv("IDP_ISSUER", "https://connexion.exemple.fr")
    monkeypatch.setenv("IDP_SECRET_KEY", SECRET)
    monkeypatch.setenv("IDP_ALLOW_SQLITE", "1")
    return bare


def is_one_sentence(answer: Answer) -> None:
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith(("Error: the database ", "Error: the folder of the database "))
    assert answer.err.count("\n") == 1, answer.err


def test_current_and_upgrade_print_the_revision(idp: Run, engine: Engine) -> None:
    assert idp("db", "current").out == f"{newest()} (newest: {newest()})\n"
    answer = idp("db", "upgrade")
    assert (answer.code, answer.out, answer.err) == (0, f"already at {newest()}\n", "")


def test_an_empty_file_is_upgraded_and_usable(alone: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "idp.db"
    monkeypatch.setenv("IDP_DATABASE_URL", f"sqlite:///{path}")
    answer = alone("db", "current")
    assert (answer.code, answer.out, answer.err) == (1, f"empty (newest: {newest()})\n", "")
    assert not path.parent.exists(), "to look is not to make"
    assert alone("db", "upgrade").out == f"empty → {newest()}\n"
    assert alone("db", "current").code == 0
    assert alone("client", "list", "--json").out == "[]\n"


@pytest.mark.parametrize("command", ACTS, ids=" ".join)
def test_missing_tables_are_a_one_line_error(idp: Run, engine: Engine, command: tuple[str, ...]) -> None:
    with engine.begin() as connection:
        for table in ("client_school", "charter_acceptance", "charter_version", "outbox", "signing_key"):
            connection.execute(text(f"DROP TABLE {table}{'' if engine.dialect.name == 'sqlite' else ' CASCADE'}"))
        if engine.dialect.name == "postgresql":
            connection.execute(text("DROP TABLE client CASCADE"))
        else:
            connection.execute(text("ALTER TABLE client RENAME TO gone"))
    answer = idp(*command)
    is_one_sentence(answer)
    assert "idp db upgrade" in answer.err or command[0] == "worker"


@pytest.mark.parametrize("command", EVERYTHING, ids=" ".join)
def test_an_invalid_database_file_is_a_one_line_error(
    alone: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    file = tmp_path / "letter.db"
    file.write_text("Chers parents, " * 100)
    before = file.read_bytes()
    monkeypatch.setenv("IDP_DATABASE_URL", f"sqlite:///{file}")
    is_one_sentence(alone(*command))
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_created_is_a_one_line_error(
    alone: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("IDP_DATABASE_URL", f"sqlite:///{tmp_path}/file/idp.db")
    answer = alone("db", "upgrade")
    is_one_sentence(answer)
    assert "the folder of the database cannot be created" in answer.err.replace("'", "’")


def test_a_locked_database_file_is_a_one_line_error(
    alone: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "idp.db"
    monkeypatch.setenv("IDP_DATABASE_URL", f"sqlite:///{path}")
    assert alone("db", "upgrade").code == 0
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    for reading in (("db", "current"), ("client", "list")):
        assert alone(*reading).code == 0, "a command that reads waits for no writer"
    for command in (
        ("client", "add", "ENT", "--uai", "0599001N", "--redirect-uri", "https://ent.test/cb"),
        ("db", "upgrade"),
    ):
        with short_lock_waits():
            answer = alone(*command)
        is_one_sentence(answer)
        assert "locked" in answer.err
    holder.execute("ROLLBACK")
    holder.close()
    assert alone("client", "add", "ENT", "--uai", "0599001N", "--redirect-uri", "https://ent.test/cb").code == 0


def test_tables_of_a_newer_release_are_enough_and_stay(idp: Run, engine: Engine) -> None:
    """The steps of compose and Helm pass when an operator goes back to the former release."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    newer = f"9999, of a newer release (this one: {newest()})"
    for command, out in (("upgrade", f"{newer}: nothing to do\n"), ("current", f"{newer}\n")):
        answer = idp("db", command)
        assert (answer.code, answer.out, answer.err) == (0, out, "")
    assert idp("keys", "rotate", "--if-none").code == 0


def test_tables_of_an_unknown_revision_are_not_changed(idp: Run, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'another'"))
    answer = idp("db", "upgrade")
    is_one_sentence(answer)
    assert "belongs to another version of the service" in answer.err
    answer = idp("db", "current")
    assert (answer.code, answer.out) == (1, f"another (newest: {newest()})\n")
