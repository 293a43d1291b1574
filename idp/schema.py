"""Migrations, as a command and as a function (Alembic, `migrations/` at the top of the project)."""

from pathlib import Path

import click
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from idp.config import Settings
from idp.paths import MIGRATIONS


def upgrade(settings: Settings) -> tuple[str | None, str | None]:
    """Bring the database to the newest migration, in one transaction; return the revisions before and after."""
    with _connection(settings) as connection:
        before = MigrationContext.configure(connection).get_current_revision()
        command.upgrade(_config(connection), "head")
        connection.commit()
        return before, ScriptDirectory(str(MIGRATIONS)).get_current_head()


def current(settings: Settings) -> tuple[str | None, str | None]:
    """Return the database's revision and the newest one."""
    with _connection(settings) as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
        return revision, ScriptDirectory(str(MIGRATIONS)).get_current_head()


def _connection(settings: Settings) -> Connection:
    url = make_url(settings.database_url)
    if url.drivername.startswith("sqlite") and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    return create_engine(url, poolclass=NullPool).connect()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def commands(settings: Settings) -> click.Group:
    """Return `idp db`."""

    @click.group("db")
    def group() -> None:
        """The database's tables."""

    @group.command("upgrade")
    def upgrade_command() -> None:
        """Bring the tables to this version of the service."""
        try:
            before, after = upgrade(settings)
        except SQLAlchemyError as fault:
            raise click.ClickException(f"the database cannot be used ({type(fault).__name__})") from fault
        click.echo(f"already at {after}" if before == after else f"{before or 'empty'} → {after}")

    @group.command("current")
    def current_command() -> None:
        """Say which revision the database has; exit 1 when it is not the newest."""
        try:
            revision, head = current(settings)
        except SQLAlchemyError as fault:
            raise click.ClickException(f"the database cannot be used ({type(fault).__name__})") from fault
        click.echo(f"{revision or 'empty'} (newest: {head})")
        if revision != head:
            raise SystemExit(1)

    return group
