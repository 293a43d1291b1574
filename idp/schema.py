"""Migrations of the database (Alembic, `migrations/`) and the command `idp db`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from idp import database_faults, secret_check
from idp.audit import noted_settings
from idp.audit.models import NotedSettings
from idp.clock import now
from idp.config import Settings
from idp.db import upsert
from idp.operations import revisions
from idp.paths import MIGRATIONS

_MIGRATION_LOCK = 7201962650
"""The key of the advisory lock of PostgreSQL, so that two nodes do not migrate at the same time."""


class ForeignKeyError(Exception):
    """A migration on SQLite would break foreign keys."""


def upgrade(settings: Settings) -> tuple[str | None, str | None]:
    """Bring the database to the newest migration, in one transaction; return the revisions before and after.

    The check value of the secret key is stored too, if the database has none. Tables of a newer release do not change.

    Raises:
        SQLAlchemyError: the database is not available; nothing changed.
        OSError: the folder of a SQLite file cannot be created.
        ForeignKeyError: a migration is wrong; nothing changed.
    """
    url = make_url(settings.database_url)
    if _is_file(url):
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    with _connection(url) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # the role may have that of requests
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        before = MigrationContext.configure(connection).get_current_revision()
        if revisions.is_newer(before):
            return before, before
        command.upgrade(_config(connection), "head")
        if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise ForeignKeyError
        _store_check_value(connection, settings)
        connection.commit()
        return before, revisions.newest()


def current(settings: Settings) -> tuple[str | None, str]:
    """Return the revision of the database and the newest one. A missing SQLite file is not created."""
    url = make_url(settings.database_url)
    if _is_file(url) and not Path(str(url.database)).exists():
        return None, revisions.newest()
    with _connection(url) as connection:
        reading = connection.execution_options(isolation_level="AUTOCOMMIT")  # no write lock on SQLite
        return MigrationContext.configure(reading).get_current_revision(), revisions.newest()


def _store_check_value(connection: Connection, settings: Settings) -> None:
    """Store the check value of the secret key if the database has none: the first node decides which key is used."""
    noting = {secret_check.DIGESTS: {secret_check.KEY: secret_check.check_value(settings.secrets[0])}}
    first = upsert(NotedSettings, connection.dialect.name).values(
        id=noted_settings.ROW, noted_at=now(), settings=noting
    )
    connection.execute(first.on_conflict_do_nothing())


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and bool(url.database) and url.database != ":memory:"


@contextmanager
def _connection(url: URL) -> Iterator[Connection]:
    """Yield a connection without the timeouts of requests; it rolls back changes that are not committed.

    On SQLite, foreign keys are not enforced: a table is altered by creating it again, and dropping the old one would
    delete the rows that refer to it. `upgrade` checks all foreign keys before it commits.
    """
    postgresql = url.get_backend_name() == "postgresql"
    connect_args: dict[str, Any] = {"connect_timeout": 5} if postgresql else {"timeout": 5.0}
    engine = create_engine(url, poolclass=NullPool, connect_args=connect_args)
    if not postgresql:
        event.listen(engine, "connect", lambda raw, _record: raw.execute("PRAGMA foreign_keys=OFF").close())
    with engine.connect() as connection:
        yield connection


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
        raise click.ClickException(f"{why}; nothing was changed") from fault
    except OSError as fault:
        raise click.ClickException(f"the folder of the database cannot be created ({fault.strerror})") from fault
    except CommandError as fault:
        raise click.ClickException(f"the database belongs to another version of the service: {fault}") from fault
    except ForeignKeyError as fault:
        raise click.ClickException("the migration would break foreign keys; nothing was changed") from fault


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
