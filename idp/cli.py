"""The `idp` command: assembles each slice's commands.

Exit 0 is done, 1 refused or failed, 2 wrong usage; what went wrong is one sentence on stderr.
"""

import copy
import getpass
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
from flask import Flask
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, ProgrammingError, SQLAlchemyError

from idp import __version__, schema
from idp import logging as log_lines
from idp.app import create_app
from idp.audit import log
from idp.charter.commands import charter
from idp.config import ConfigurationError, Settings, load
from idp.db import db
from idp.demo import commands as demo
from idp.letters.commands import letters
from idp.oidc.commands import client
from idp.oidc.key_commands import keys_group
from idp.oidc.trial_commands import try_client
from idp.ops.accounts import account
from idp.ops.journal import audit
from idp.ops.passwords import passwords
from idp.ops.purge import purge
from idp.outbox.commands import outbox, worker
from idp.rostering.commands import roster, school
from idp.serving import commands as serving


def _settings() -> Settings:
    try:
        settings = load()
    except ConfigurationError as error:
        raise click.ClickException("\n".join(("the settings cannot be used:", *error.faults))) from None
    log_lines.configure(settings.log_level)
    return settings.model_copy(update={"database_url": _from_here(settings.database_url)})


def _from_here(database_url: str) -> str:
    """Return the address with a SQLite path made absolute: Flask's extension would look for it in another folder."""
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise click.ClickException("the settings cannot be used:\nIDP_DATABASE_URL: not an address") from None
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return database_url
    return url.set(database=str(Path(url.database).absolute())).render_as_string(hide_password=False)


@contextmanager
def _application() -> Iterator[Flask]:
    """Open the application for one command, and leave no connection behind."""
    app = create_app(_settings())
    with app.app_context():
        log.set_origin(log.Origin(actor=_operator()))
        try:
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()
            app.extensions["idp.server"].store.close()


def _operator() -> str:
    """Return who runs the command, as the machine knows them."""
    try:
        return getpass.getuser()[:80]
    except (KeyError, OSError):
        return str(os.getuid())


def _in_application(command: click.Command) -> click.Command:
    """Return `command` with every leaf run inside the application, made when it runs: `--help` needs no settings."""
    made = copy.copy(command)
    if isinstance(made, click.Group):
        made.commands = {name: _in_application(part) for name, part in made.commands.items()}
        return made
    act: Callable[..., Any] | None = command.callback

    def run(*args: Any, **kwargs: Any) -> Any:
        with _application():
            return act(*args, **kwargs) if act else None

    made.callback = run
    return made


def _upgrade(settings: Settings) -> None:
    schema.upgrade(settings)


@click.group()
@click.version_option(__version__, prog_name="idp")
def cli() -> None:
    """Scolarité Services: an OpenID Connect identity provider for French school sites."""


@cli.group("config")
def _config() -> None:
    """The settings."""


@_config.command("check")
def _check() -> None:
    """Show every setting, secrets hidden, and all errors at once."""
    for name, value in _settings().rows():
        click.echo(f"{name} = {value}")


cli.add_command(schema.commands(_settings))
cli.add_command(serving.command(_settings, create_app))
cli.add_command(demo.command(create_app, _upgrade))
client.add_command(try_client)
for _part in (client, keys_group, charter, roster, school, letters, account, passwords, audit, purge, worker, outbox):
    cli.add_command(_in_application(_part))


def main() -> None:
    """Run the command; a database or a disk that fails is one sentence, not a trace."""
    log_lines.configure()
    if not all(_is_text(argument) for argument in sys.argv[1:]):
        click.echo("Error: an argument is not UTF-8 text.", err=True)
        raise SystemExit(2)
    try:
        cli.main(prog_name="idp")
    except SQLAlchemyError as error:
        click.echo(f"Error: the database cannot be used ({type(error).__name__}){_advice(error)}", err=True)
        raise SystemExit(1) from None
    except OSError as fault:
        _give_up_output()
        click.echo(
            f"Error: {fault.strerror or type(fault).__name__}: something could not be read or written.", err=True
        )
        raise SystemExit(1) from None


def _give_up_output() -> None:
    """Drop what stdout still holds: Python would try again to write it when it exits, and say so with a trace."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_text(argument: str) -> bool:
    """Say whether bytes of the command line were text: what is stored and printed must be."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _advice(error: SQLAlchemyError) -> str:
    """Say what probably mends it. The database's own message stays unsaid: it may hold names and addresses."""
    said = str(getattr(error, "orig", "")).lower()
    if isinstance(error, ProgrammingError) or "no such table" in said or "no such column" in said:
        return ": `idp db upgrade` makes its tables."
    if "locked" in said or "lock timeout" in said:
        return ": it is busy, try again."
    if "disk" in said or "too large" in said or "no space" in said:
        return ": its disk may be full."
    return ": look at IDP_DATABASE_URL and whether the database answers."
