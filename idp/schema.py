"""Migrations of the database (Alembic, `migrations/`) and the command `idp db`."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.runtime.migration import MigrationInfo
from alembic.util import CommandError
from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from idp import database_faults, secret_check
from idp.audit import changes
from idp.audit.models import NotedSettings
from idp.config import Settings
from idp.db import upsert
from idp.operations import revisions
from idp.paths import MIGRATIONS
from idp.pool import ENCODING

# The key of the advisory lock of PostgreSQL, so that two nodes do not migrate at the same time.
_MIGRATION_LOCK = 7201962650
_TOLD_AFTER_SECONDS, _MOST_SECONDS = 1.0, 600.0
"""How long the lock may be held by another process before the operator reads it, and before this one gives up."""
# The time limits of a transaction, whatever the role has.
#
# Requests queue behind a statement that waits for the lock of a table. They wait for 2 s (`idp.pool`). After 1 s, the
# server ends an autovacuum that is in the way.
_LIMITS = (
    "SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true),"
    " set_config('lock_timeout', '1200ms', true)"
)
# For an index that is created concurrently, which no request waits for.
_NO_LIMITS = "-c statement_timeout=0 -c lock_timeout=0"
_PAUSES = (0, 1, 2, 4, 8, 8, 8, 8, 8)  # seconds before each attempt; requests are served meanwhile
_LOCK_NOT_AVAILABLE = "55P03"
_USERS_OF_TABLES = """
    SELECT pid, usename, application_name FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND coalesce(xact_start < clock_timestamp() - interval '1 s', true)  -- the start is hidden if it is another role's
    AND EXISTS (
        SELECT FROM pg_locks JOIN pg_class ON pg_class.oid = relation
        WHERE pg_locks.pid = pg_stat_activity.pid AND granted AND relnamespace = current_schema()::regnamespace
    ) ORDER BY xact_start, pid
"""

_HOLDER_OF_LOCK = f"""
    SELECT pid, usename, application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
    AND database = datid AND (classid::bigint << 32) + objid::bigint = {_MIGRATION_LOCK}
"""  # noqa: S608 - our own number


class UpgradeRefusedError(Exception):
    """The database cannot be upgraded now; the text says why, which session is in the way, and what to do."""


def upgrade(settings: Settings) -> tuple[str | None, str | None]:
    """Bring the database to the newest migration; return the revisions before and after.

    Each revision has a transaction of its own. One that does not get a lock soon is rolled back and tried again, so
    that requests do not queue behind it. The check value of the secret key is stored too, if the database has none.
    Tables of a newer release do not change.

    Raises:
        SQLAlchemyError: the database is not available.
        UpgradeRefusedError: the database is not in UTF-8, another process has migrated it for ten minutes, or another
            transaction kept a lock during all attempts.
    """
    url = make_url(settings.database_url)
    pooler = settings.database_pooler
    with _alone(url, pooler=pooler):
        before, _ = current(settings)
        if revisions.is_newer(before):
            return before, before
        applied: list[str | None] = []
        for pause in _PAUSES:
            time.sleep(pause)
            try:
                with _connection(url, pooler=pooler) as connection:
                    _apply(connection, settings, applied)
            except OperationalError as fault:
                if getattr(fault.orig, "sqlstate", "") != _LOCK_NOT_AVAILABLE:
                    raise
            else:
                return (applied or [revisions.newest()])[0], revisions.newest()
        raise UpgradeRefusedError(
            "the database is in use, and the migration would stop the service; it was undone. These sessions keep"
            f" tables locked (a backup?): {_sessions(_USERS_OF_TABLES, url, pooler=pooler)}. Wait for their end, or end"
            " them by SELECT pg_terminate_backend(NUMBER), then run idp db upgrade again"
        )


def _apply(connection: Connection, settings: Settings, applied: list[str | None]) -> None:
    """Apply the revisions that the database does not have; append to `applied` the one before each."""

    def note(*, step: MigrationInfo, **_values: object) -> None:
        applied.append(next(iter(step.source_revision_ids), None))

    config = _config(connection)
    config.attributes["on_version_apply"] = note
    command.upgrade(config, "head")
    _store_check_value(connection, settings)
    connection.commit()


@contextmanager
def _alone(url: URL, *, pooler: bool) -> Iterator[None]:
    """Let one node at a time migrate the database.

    The lock belongs to a transaction beside that of the migration, as a pooler needs it. Others ask again and again: an
    index that is created concurrently waits for each transaction whose statement runs.

    Raises:
        UpgradeRefusedError: the database is not in UTF-8, or another process keeps the lock.
    """
    with _connection(url, pooler=pooler) as connection:
        if (encoding := connection.exec_driver_sql("SHOW server_encoding").scalar_one()) != ENCODING:
            raise UpgradeRefusedError(
                f"the database is in {encoding}: create it anew, with TEMPLATE template0 ENCODING 'UTF8'"
            )
        began, is_told = time.monotonic(), False
        while not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({_MIGRATION_LOCK})").scalar_one():
            waited = time.monotonic() - began
            if waited > _MOST_SECONDS:
                raise UpgradeRefusedError(
                    "another process has migrated the database for ten minutes, in the session"
                    f" {_sessions(_HOLDER_OF_LOCK, url, pooler=pooler)}; nothing was changed. Wait for its end, or end"
                    " it by SELECT pg_terminate_backend(NUMBER), then run idp db upgrade again"
                )
            if waited > _TOLD_AFTER_SECONDS and not is_told:
                holder = _sessions(_HOLDER_OF_LOCK, url, pooler=pooler)
                click.echo(f"waiting: another process migrates the database, in the session {holder}", err=True)
                is_told = True
            time.sleep(0.2)
        yield


def _sessions(statement: str, url: URL, *, pooler: bool) -> str:
    with _connection(url, pooler=pooler) as connection:
        rows = connection.exec_driver_sql(statement).all()
    return ", ".join(f"{pid} ({' as '.join(filter(None, (program, user)))})" for pid, user, program in rows)


def current(settings: Settings) -> tuple[str | None, str]:
    """Return the revision of the database and the newest one."""
    url = make_url(settings.database_url)
    with _connection(url, pooler=settings.database_pooler) as connection:
        reading = connection.execution_options(isolation_level="AUTOCOMMIT")
        return MigrationContext.configure(reading).get_current_revision(), revisions.newest()


def _store_check_value(connection: Connection, settings: Settings) -> None:
    """Store the check value of the secret key if the database has none: the first node decides which key is used."""
    noting = {secret_check.DIGESTS: {secret_check.KEY: secret_check.check_value(settings.secrets[0])}}
    first = upsert(NotedSettings).values(id=changes.SETTINGS_ROW, settings=noting)
    connection.execute(first.on_conflict_do_nothing())


@contextmanager
def _connection(url: URL, *, pooler: bool = False) -> Iterator[Connection]:
    connect_args: dict[str, Any] = {
        "connect_timeout": 5,
        "client_encoding": ENCODING,
        "fallback_application_name": "idp db",
    }
    if not pooler:  # a pooler takes no start options
        connect_args["options"] = _NO_LIMITS
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_args)
    event.listen(engine, "begin", _limit)
    with engine.connect() as connection:
        yield connection


def _limit(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql(_LIMITS)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _errors_as_messages() -> Iterator[None]:
    """Turn errors into messages of the command, without the driver's text, which may have a password."""
    try:
        yield
    except SQLAlchemyError as fault:
        why = database_faults.message(fault).removesuffix(".")
        raise click.ClickException(f"{why}; no revision was applied in part") from fault
    except CommandError as fault:
        raise click.ClickException(f"the database belongs to another version of the service: {fault}") from fault
    except UpgradeRefusedError as fault:
        raise click.ClickException(str(fault)) from fault


def _of_newer_release(revision: str | None) -> str:
    return f"{revision}, of a newer release (this one: {revisions.newest()})"


def commands(load_settings: Callable[[], Settings]) -> click.Group:
    """Return `idp db`, whose commands read the settings when they run."""

    @click.group("db")
    def group() -> None:
        """Manage the tables of the database."""

    @group.command("upgrade")
    def upgrade_command() -> None:
        """Upgrade the tables to this version of the service."""
        settings = load_settings()
        with _errors_as_messages():
            before, after = upgrade(settings)
        if revisions.is_newer(before):
            click.echo(f"{_of_newer_release(before)}: nothing to do")
        else:
            click.echo(f"already at {after}" if before == after else f"{before or 'empty'} → {after}")

    @group.command("current")
    def current_command() -> None:
        """Show the revision of the database; exit 1 if this release needs a newer one."""
        settings = load_settings()
        with _errors_as_messages():
            revision, head = current(settings)
        click.echo(
            _of_newer_release(revision) if revisions.is_newer(revision) else f"{revision or 'empty'} (newest: {head})"
        )
        if not revisions.is_enough(revision):
            raise click.exceptions.Exit(1)

    return group
