"""The settings of a command, or a message that names all faults."""

from collections.abc import Iterable

import click
from sqlalchemy import make_url

from idp import config, logging as log_lines, pool, secret_check
from idp.config import ConfigurationError, Settings
from idp.operations.checks.settings import production_faults

# Said where only the faults that stop every command are known.
_ALL_FAULTS = "`idp config check` names the faults of the other settings too."


def load() -> Settings:
    """Return the settings, and log at their level.

    Raises:
        ClickException: a setting is missing, wrong or unknown.
    """
    try:
        settings = config.load()
    except ConfigurationError as error:
        raise faults_exception([*error.faults, _ALL_FAULTS]) from None
    log_lines.configure(settings.log_level)
    return settings


def load_to_serve() -> Settings:
    """Return the settings of a process that serves pages.

    Raises:
        ClickException: they cannot be read, must not be used in production or not with the pooler that is there, or
            have another secret key.
    """
    settings = load()
    if faults := production_faults(settings):
        raise faults_exception(faults)
    if fault := _find_pooler_fault(settings):
        raise faults_exception([fault])
    refuse_another_key(settings)
    return settings


def refuse_another_key(settings: Settings) -> None:
    """Refuse to start with a secret key that is not the key of the database.

    Raises:
        ClickException: it is another key.
    """
    if secret_check.is_another_key(settings):
        raise click.ClickException(secret_check.ANOTHER_KEY)


def _find_pooler_fault(settings: Settings) -> str:
    url = make_url(settings.database_url).set(drivername="postgresql+psycopg")
    return pool.find_pooler_fault(url, pooler=settings.database_pooler)


def faults_exception(faults: Iterable[str]) -> click.ClickException:
    """Return the error that ends the command with a line for each fault."""
    return click.ClickException("\n".join(("the settings cannot be used:", *faults)))
