import pytest
from sqlalchemy import Engine, text

from idp.config import Settings
from idp.operations.revisions import newest
from tests.commands.conftest import Answer, Run
from tests.databases import SECRET

ACTS = (
    ("client", "list"),
    ("client", "add", "ENT", "--uai", "0599001N", "--redirect-uri", "https://ent.test/cb"),
    ("keys", "rotate"),
    ("charter", "list"),
    ("outbox", "list"),
    ("worker", "--once"),
)


@pytest.fixture
def alone(bare: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command with valid settings and no database."""
    monkeypatch.setenv("IDP_ISSUER", "https://connexion.exemple.fr")
    monkeypatch.setenv("IDP_SECRET_KEY", SECRET)
    return bare


def is_one_sentence(answer: Answer) -> None:
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("Error: the database ")
    assert answer.err.count("\n") == 1, answer.err


def test_current_and_upgrade_print_the_revision(idp: Run, engine: Engine) -> None:
    assert idp("db", "current").out == f"{newest()} (newest: {newest()})\n"
    answer = idp("db", "upgrade")
    assert (answer.code, answer.out, answer.err) == (0, f"already at {newest()}\n", "")


def test_an_empty_database_is_upgraded_and_usable(alone: Run, monkeypatch: pytest.MonkeyPatch, empty: Settings) -> None:
    monkeypatch.setenv("IDP_DATABASE_URL", empty.database_url)
    answer = alone("db", "current")
    assert (answer.code, answer.out, answer.err) == (1, f"empty (newest: {newest()})\n", "")
    assert alone("db", "upgrade").out == f"empty → {newest()}\n"
    assert alone("db", "current").code == 0
    assert alone("client", "list", "--json").out == "[]\n"


@pytest.mark.parametrize("command", ACTS, ids=" ".join)
def test_missing_tables_are_a_one_line_error(idp: Run, engine: Engine, command: tuple[str, ...]) -> None:
    with engine.begin() as connection:
        for table in ("client_school", "charter_acceptance", "charter_version", "outbox", "signing_key"):
            connection.execute(text(f"DROP TABLE {table} CASCADE"))
        connection.execute(text("DROP TABLE client CASCADE"))
    answer = idp(*command)
    is_one_sentence(answer)
    assert "idp db upgrade" in answer.err or command[0] == "worker"


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
