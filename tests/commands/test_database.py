"""`idp db`; an error of PostgreSQL ends a command with its cause in fixed words, never with the driver’s text."""

from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError, TimeoutError as PoolTimeout

from idp import database_faults
from idp.config import Settings
from idp.operations.revisions import newest
from idp.pool import NoLimitsError
from tests.commands.conftest import Answer, Run
from tests.databases import SECRET, run_sql
from tests.rows import each_row

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


@each_row("command", ACTS)
def test_missing_tables_are_a_one_line_error(idp: Run, engine: Engine, command: tuple[str, ...]) -> None:
    with engine.begin() as connection:
        for table in ("client_school", "charter_acceptance", "charter_version", "outbox", "signing_key", "client"):
            connection.execute(text(f"DROP TABLE IF EXISTS {table} CASCADE"))
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
    assert idp("db", "current").out == f"another (newest: {newest()})\n"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"host": "base.invalid", "query": {}}, "the host name in IDP_DATABASE_URL is unknown"),
        ({"host": "127.0.0.1", "port": 1, "query": {}}, "nothing listens at the host and the port"),
        ({"database": "idp_nowhere"}, "the server has no database of the name"),
        ({"username": "idp_stranger", "password": "private"}, "the user or the password of IDP_DATABASE_URL"),
    ],
    ids=("host", "port", "name", "user"),
)
def test_an_error_of_the_connection_says_its_cause_and_no_secret(
    alone: Run,
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    change: dict[str, Any],
    cause: str,
) -> None:
    url = engine.url.set(**change).render_as_string(hide_password=False)
    monkeypatch.setenv("IDP_DATABASE_URL", url)
    for command in (("db", "upgrade"), ("client", "list")):
        answer = alone(*command)
        is_one_sentence(answer)
        assert cause in answer.err
        assert "private" not in answer.err


_FAILED = 'connection failed: connection to server at "10.0.0.1", port 5432 failed: '


@pytest.mark.parametrize(
    ("written", "cause"),
    [
        ('FATAL:  password authentication failed for user "idp"', "the user or the password"),
        ("FATAL:  authentification par mot de passe échouée pour l'utilisateur  « idp »", "the user or the password"),
        ("FATAL:  la base de données « idp » n'existe pas", "the server has no database"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.2", user "idp", database "idp", no encryption', "pg_hba.conf"),
        ("FATAL:  désolé, trop de clients sont déjà connectés", "the server has no connection left"),
        ("SSL error: certificate verify failed", "the authority in sslrootcert did not sign"),
        ('server certificate for "db1" does not match host name "db2"', "the certificate of the server is for another"),
        ('root certificate file "/etc/idp/base.crt" does not exist', "the file that sslrootcert names does not exist"),
        ('could not read root certificate file "/etc/idp/base.crt": Permission denied', "cannot be read"),
        ("timeout expired", "does not answer"),
        ("the database did not answer a moment ago", "does not answer"),
        (
            "FATAL:  unsupported startup parameter: options",
            "PgBouncer refuses start options. Set IDP_DATABASE_POOLER=1",
        ),
        ("Connection refused\nconnection to server failed: session is read-only", "no host accepts writes"),
        ("quelque chose d'autre", "check IDP_DATABASE_URL"),
    ],
)
def test_each_text_of_the_driver_becomes_fixed_words(written: str, cause: str) -> None:
    answer = database_faults.cause(OperationalError("SELECT 1", {}, Exception(_FAILED + written)))
    assert cause in answer
    assert "10.0.0.1" not in answer


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (psycopg.errors.ReadOnlySqlTransaction, "accepts no writes"),
        (psycopg.errors.DiskFull, "disk is full"),
        (psycopg.errors.QueryCanceled, "longer than its time limit"),
    ],
)
def test_a_server_that_writes_french_is_understood_by_its_sqlstate(error: type[psycopg.Error], cause: str) -> None:
    assert cause in database_faults.cause(OperationalError("INSERT", {}, error("aucun mot connu")))


@pytest.mark.parametrize(
    ("pooler", "remedy"), [(False, "Set IDP_DATABASE_POOLER=1, and: ALTER ROLE"), (True, "Set: ALTER ROLE")]
)
def test_a_pooler_that_drops_the_time_limits_is_named_with_the_remedy(pooler: bool, remedy: str) -> None:  # noqa: FBT001 - a parameter
    cause = database_faults.cause(OperationalError("SELECT 1", {}, NoLimitsError(pooler=pooler)))
    assert cause.startswith(f"a pooler drops the time limits of connections. {remedy}")
    assert cause.endswith(
        "Then restart PgBouncer (or RECONNECT at its console): its open connections keep the former limits."
    )


def test_a_pool_without_a_free_connection_is_no_fault_of_the_url() -> None:
    assert "all connections of this process are in use" in database_faults.cause(PoolTimeout("QueuePool limit"))


def test_a_database_in_another_encoding_is_refused_before_it_has_tables(
    alone: Run, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    plain = engine.url.set(drivername="postgresql")
    server, other = plain.render_as_string(hide_password=False), f"{plain.database}_ascii"
    run_sql(server, "CREATE DATABASE {} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'", other)
    try:
        monkeypatch.setenv("IDP_DATABASE_URL", plain.set(database=other).render_as_string(hide_password=False))
        answer = alone("db", "upgrade")
        is_one_sentence(answer)
        assert "the database is in SQL_ASCII: create it anew, with TEMPLATE template0 ENCODING 'UTF8'" in answer.err
        assert alone("db", "current").out.startswith("empty")
    finally:
        run_sql(server, "DROP DATABASE {} WITH (FORCE)", other)


def test_tables_of_another_owner_are_named_as_such(alone: Run, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    plain = engine.url.set(drivername="postgresql")
    role = f"restored_{plain.database}"
    run_sql(plain.render_as_string(hide_password=False), "CREATE ROLE {} LOGIN PASSWORD 'secret'", role)
    try:
        url = plain.set(username=role, password="secret")
        monkeypatch.setenv("IDP_DATABASE_URL", url.render_as_string(hide_password=False))
        for command in (("db", "upgrade"), ("client", "list")):
            answer = alone(*command)
            is_one_sentence(answer)
            assert "does not own its tables" in answer.err
    finally:
        run_sql(plain.render_as_string(hide_password=False), "DROP ROLE {}", role)
