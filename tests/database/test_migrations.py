import re
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import click
import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, make_url
from sqlalchemy.pool import NullPool

from idp import schema
from idp.accounts.models import Child
from idp.audit import log
from idp.audit.events import DisputeSettled
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.operations.revisions import newest
from idp.paths import MIGRATIONS
from idp.tables import metadata
from tests import next_release
from tests.applications import lent
from tests.builders import Build
from tests.databases import settings_for


def seen(settings: Settings) -> Engine:
    return create_engine(settings.database_url, poolclass=NullPool)


def differences(settings: Settings) -> list[object]:
    """Return the differences between the tables and the models that Alembic finds, types and defaults included."""
    with seen(settings).connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "target_metadata": metadata}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def tables(settings: Settings) -> set[str]:
    return set(inspect(seen(settings)).get_table_names())


def go_down(settings: Settings, revision: str) -> None:
    with schema._connection(make_url(settings.database_url)) as connection:
        command.downgrade(schema._config(connection), revision)
        connection.commit()


def test_migrations_lead_from_an_empty_database_to_the_models(empty: Settings) -> None:
    assert schema.upgrade(empty) == (None, newest())
    assert differences(empty) == []
    assert tables(empty) == {*metadata.tables, "alembic_version"}
    assert schema.upgrade(empty) == (newest(), newest()), "twice is once"
    assert schema.current(empty) == (newest(), newest())


def test_downgrade_and_upgrade_restore_the_models(empty: Settings) -> None:
    schema.upgrade(empty)
    for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions():  # each step down, then all, then up
        go_down(empty, str(script.down_revision or "base"))
    assert tables(empty) == {"alembic_version"}
    schema.upgrade(empty)
    assert differences(empty) == []


_STATES = "SELECT child_id, disputed_at, excluded_at, was_excluded FROM guardianship ORDER BY child_id"
_KINDS = "SELECT child_id, kind, begun_at, reason FROM closing WHERE ended_at IS NULL ORDER BY child_id, kind"


def test_disputes_and_exclusions_are_carried_to_closings_and_back(empty: Settings) -> None:
    schema.upgrade(empty)
    with lent(empty, own=True) as app, app.app_context():
        build = Build(empty)
        names = ("open", "disputed", "excluded", "excluded before", "waiting")
        pupils = {name: build.child(name).id for name in names}
        account = build.active(children=[db.session.get_one(Child, key) for key in pupils.values()])
        key, number = account.id, db.session.get_one(Child, pupils["excluded"]).student_id
        settled = DisputeSettled(
            account_id=key,
            dispute="not_guardian",
            outcome="confirm",
            before="disputed",
            after="excluded",
            reason="jugement",
            children=[number],
        )
        with unit_of_work():
            log.record(settled)
        db.session.remove()
    go_down(empty, "0001")
    moment = datetime(2026, 9, 1, 8, tzinfo=UTC)
    changes = {
        "disputed": "disputed_at = %(at)s",
        "excluded": "excluded_at = %(at)s, ended_at = %(at)s",
        "excluded before": "ended_at = %(at)s, was_excluded = true",
    }
    with psycopg.connect(empty.database_url.replace("+psycopg", "")) as connection:
        for name, change in changes.items():
            update = f"UPDATE guardianship SET {change} WHERE child_id = %(child)s"  # noqa: S608 - from the table above
            connection.execute(update, {"at": moment, "child": pupils[name]})
        connection.execute(
            "INSERT INTO closing (id, account_id, child_id, reason, reference, begun_at, begun_by, sessions_ended, "
            "ended_by, end_reason, kind) VALUES (%s, %s, %s, 'fichier', '', %s, '', 0, '', '', 'excluded')",
            [uuid.uuid4(), key, pupils["waiting"], moment],
        )
        connection.commit()
        former = connection.execute(_STATES).fetchall()
        connection.commit()
        schema.upgrade(empty)
        rows = {child: rest for child, *rest in connection.execute(_KINDS)}
        connection.commit()
        go_down(empty, "0001")
        assert connection.execute(_STATES).fetchall() == former
        kept = connection.execute(_KINDS).fetchall()
    assert rows == {
        pupils["disputed"]: ["disputed", moment, ""],
        pupils["excluded"]: ["excluded", moment, "jugement"],
        pupils["excluded before"]: ["returned", moment, ""],
        pupils["waiting"]: ["returned", moment, "fichier"],
    }
    assert kept == [(pupils["waiting"], "excluded", moment, "fichier")]
    schema.upgrade(empty)
    assert differences(empty) == []


def test_two_nodes_that_start_at_once_migrate_once(empty: Settings) -> None:
    results: list[object] = []
    barrier = threading.Barrier(2)

    def node() -> None:
        barrier.wait(60)
        try:
            results.append(schema.upgrade(empty))
        except Exception as error:  # noqa: BLE001 - reported as the result
            results.append(error)

    nodes = [threading.Thread(target=node) for _ in range(2)]
    for process in nodes:
        process.start()
    for process in nodes:
        process.join(60)
    assert sorted(map(str, results)) == sorted(map(str, [(None, newest()), (newest(), newest())]))
    assert differences(empty) == []


def test_a_failed_migration_is_rolled_back(empty: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("the power went out")

    monkeypatch.setattr(Operations, "create_index", fail)
    monkeypatch.setattr("alembic.operations.base.BatchOperations.create_index", fail)
    with pytest.raises(RuntimeError, match="the power went out"):
        schema.upgrade(empty)
    monkeypatch.undo()
    assert tables(empty) == set()
    assert schema.upgrade(empty) == (None, newest())


def test_an_index_is_created_on_a_table_that_has_rows(
    empty: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema.upgrade(empty)
    monkeypatch.setattr(schema, "MIGRATIONS", next_release.sources(tmp_path) / "migrations")
    assert schema.upgrade(empty)[0] == newest()
    assert schema.current(empty)[0] == next_release.REVISION
    assert "ix_of_next_release" in {index["name"] for index in inspect(seen(empty)).get_indexes("account")}


def test_head_file_names_the_only_head() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    assert script.get_heads() == [(MIGRATIONS / "HEAD").read_text().strip()]


def test_revisions_are_numbered_in_their_order() -> None:
    order = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()][::-1]
    assert order == [f"{number:04}" for number in range(1, len(order) + 1)]
    files = sorted((MIGRATIONS / "versions").glob("*.py"))
    assert [file.name[:5] for file in files] == [f"{revision}_" for revision in order]


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
