"""A migration while another transaction uses its table, as a backup does, or while another node migrates."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import psycopg
import pytest

from idp import schema
from idp.config import Settings
from idp.operations.revisions import newest
from tests import next_release
from tests.databases import settings_for

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def settings(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of a process of the next release, which alters a table that each sign-in reads."""
    monkeypatch.setattr(schema, "MIGRATIONS", next_release.sources(tmp_path) / "migrations")
    return settings_for(database_url)


@pytest.fixture
def dump(database_url: str) -> Iterator[psycopg.Connection]:
    """A transaction that reads all tables, as that of `pg_dump`."""
    with psycopg.connect(database_url, application_name="pg_dump") as connection:
        connection.execute("SELECT FROM account")
        yield connection


def test_requests_are_served_while_a_migration_waits_and_the_operator_reads_for_whom(
    settings: Settings, database_url: str, dump: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_PAUSES", (1, 0.5))  # the first one lets the dump look old
    with (
        ThreadPoolExecutor(1) as operator,
        psycopg.connect(database_url, autocommit=True, options="-c lock_timeout=2s") as request,
    ):
        upgraded = operator.submit(schema.upgrade, settings)
        while not upgraded.done():
            request.execute("SELECT FROM account")
    with pytest.raises(schema.UpgradeRefusedError, match=rf": {dump.info.backend_pid} \(pg_dump as [a-z_]+\)[,.] "):
        upgraded.result()
    assert schema.current(settings)[0] == newest()


def test_a_migration_is_tried_again_until_the_table_is_free(
    settings: Settings, dump: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pauses() -> Iterator[int]:
        yield 0
        dump.rollback()
        yield 0

    monkeypatch.setattr(schema, "_PAUSES", pauses())
    assert schema.upgrade(settings)[0] == newest()
    assert schema.current(settings)[0] == next_release.REVISION


@pytest.fixture
def migrating(database_url: str) -> Iterator[psycopg.Connection]:
    """The session of another node that migrates the database."""
    with psycopg.connect(database_url, application_name="idp db") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [schema._MIGRATION_LOCK])
        yield connection


def test_an_operator_reads_for_which_session_a_migration_waits(
    settings: Settings,
    migrating: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pid, pauses = migrating.info.backend_pid, []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            migrating.rollback()

    monkeypatch.setattr(schema, "_TOLD_AFTER_SECONDS", 0)
    monkeypatch.setattr("idp.schema.time.sleep", pause)
    assert schema.upgrade(settings)[0] == newest()
    assert schema.current(settings)[0] == next_release.REVISION
    session = rf"{pid} \(idp db as [a-z_]+\)"
    text = rf"waiting: another process migrates the database, in the session {session}\n"
    assert re.fullmatch(text, capsys.readouterr().err), "once"


def test_a_migration_waits_for_another_one_only_for_so_long(
    settings: Settings, migrating: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_MOST_SECONDS", 0.5)
    session = rf"{migrating.info.backend_pid} \(idp db as [a-z_]+\)"
    text = f"for ten minutes, in the session {session}; nothing was changed"
    with pytest.raises(click.ClickException, match=text), schema._errors_as_messages():
        schema.upgrade(settings)
    assert schema.current(settings)[0] == newest()
