"""Migrations, as a command and as a function (Alembic, `migrations/` at the top of the project)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

import idp.db  # noqa: F401 - its rules hold for every engine, that of the migrations too
from idp.config import Settings
from idp.paths import MIGRATIONS

_ONE_AT_A_TIME = 7201962650
"""The number of PostgreSQL's advisory lock: two nodes that start together migrate one after the other."""


class DanglingRows(Exception):  # noqa: N818 - says what is there
    """A migration on SQLite would leave rows that refer to rows which are not there."""


def upgrade(settings: Settings) -> tuple[str | None, str | None]:
    """Bring the database to the newest migration, in one transaction; return the revisions before and after.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database cannot be used; nothing has changed.
        OSError: the folder of a SQLite file cannot be made.
        DanglingRows: a migration is wrong; nothing has changed.
    """
    url = make_url(settings.database_url)
    if _is_file(url):
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    with _connection(url) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})")
        before = MigrationContext.configure(connection).get_current_revision()
        command.upgrade(_config(connection), "head")
        if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise DanglingRows
        connection.commit()
        return before, newest()


def current(settings: Settings) -> tuple[str | None, str | None]:
    """Return the database's revision and the newest one. A SQLite file that is not there is not made."""
    url = make_url(settings.database_url)
    if _is_file(url) and not Path(str(url.database)).exists():
        return None, newest()
    with _connection(url) as connection:
        reading = connection.execution_options(isolation_level="AUTOCOMMIT")  # no write lock on SQLite
        return MigrationContext.configure(reading).get_current_revision(), newest()


def newest() -> str | None:
    """Return the revision that this version of the service needs."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def _is_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and bool(url.database) and url.database != ":memory:"


@contextmanager
def _connection(url: URL) -> Iterator[Connection]:
    """Yield a connection of its own: it waits as long as a migration needs, and takes back what was not committed.

    On SQLite foreign keys are not enforced meanwhile: a table is altered there by making it anew, and dropping the old
    one would take the rows that refer to it away. `upgrade` checks them all before it commits.
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
def _one_sentence() -> Iterator[None]:
    """Turn what goes wrong into the command's error. The database's own message may hold an address or a password."""
    try:
        yield
    except SQLAlchemyError as fault:
        why = "it is busy, try again" if "locked" in str(getattr(fault, "orig", "")) else type(fault).__name__
        raise click.ClickException(f"the database cannot be used ({why}); nothing was changed") from fault
    except OSError as fault:
        raise click.ClickException(f"the database's folder cannot be made ({fault.strerror})") from fault
    except CommandError as fault:
        raise click.ClickException(f"the database is of another version of the service: {fault}") from fault
    except DanglingRows as fault:
        raise click.ClickException(
            "the migration would leave rows without those they refer to; nothing was changed"
        ) from fault


def commands(load_settings: Callable[[], Settings]) -> click.Group:
    """Return `idp db`; the settings are read when a command runs."""

    @click.group("db")
    def group() -> None:
        """The database's tables."""

    @group.command("upgrade")
    def upgrade_command() -> None:
        """Bring the tables to this version of the service."""
        settings = load_settings()
        with _one_sentence():
            before, after = upgrade(settings)
        click.echo(f"already at {after}" if before == after else f"{before or 'empty'} → {after}")

    @group.command("current")
    def current_command() -> None:
        """Say which revision the database has; exit 1 when it is not the newest."""
        settings = load_settings()
        with _one_sentence():
            revision, head = current(settings)
        click.echo(f"{revision or 'empty'} (newest: {head})")
        if revision != head:
            raise click.exceptions.Exit(1)

    return group
