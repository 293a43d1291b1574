"""The `idp` command, with the commands of all packages.

Exit codes: 0 success, 1 refused or failed, 2 wrong usage. Errors are one message on stderr.
"""

import copy
import os
import pwd
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from alembic.util import CommandError
from flask import Flask
from sqlalchemy import make_url
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from idp import __version__, schema
from idp import logging as log_lines
from idp.app import create_app
from idp.audit import log, noted_settings
from idp.charter.commands import charter
from idp.config import PREFIX, ConfigurationError, Settings, concerns, load
from idp.db import db
from idp.letters.commands import letters
from idp.oidc.keys.commands import keys_group
from idp.operations import proxies
from idp.operations.account_commands import account
from idp.operations.audit_chain import export, verify
from idp.operations.audit_commands import audit
from idp.operations.helpdesk.notice_commands import notices
from idp.operations.helpdesk.password_commands import passwords
from idp.operations.purge.commands import purge
from idp.outbox.commands import outbox, worker
from idp.paths import DEMO
from idp.production import production_faults
from idp.registration.commands import client
from idp.registration.trial.commands import try_client
from idp.rostering.commands import roster, school
from idp.services import services_of
from idp.serving import commands as serving

_MAX_UID = 2**32 - 2
_MAX_USER_NAME = 20
"""Two names with their user ids fit into the journal's column of 80 characters."""


def _settings() -> Settings:
    try:
        settings = load()
    except ConfigurationError as error:
        raise _faults_exception(error.faults) from None
    log_lines.configure(settings.log_level)
    return settings.model_copy(update={"database_url": _with_absolute_path(settings.database_url)})


def _faults_exception(faults: Iterable[str]) -> click.ClickException:
    return click.ClickException("\n".join(("the settings cannot be used:", *faults)))


def _production_settings() -> Settings:
    """Return the settings; fail if they must not be used in production."""
    settings = _settings()
    if faults := production_faults(settings):
        raise _faults_exception(faults)
    return settings


def _with_absolute_path(database_url: str) -> str:
    """Make the path of a SQLite URL absolute, since Flask-SQLAlchemy resolves it in another folder."""
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return database_url
    return url.set(database=str(Path(url.database).absolute())).render_as_string(hide_password=False)


@contextmanager
def _application(settings: Settings | None = None) -> Iterator[Flask]:
    """Open the application for one command, and close its connections."""
    app = create_app(settings or _settings())
    with app.app_context():
        log.set_origin(log.Origin(actor=_operator()))
        try:
            yield app
        finally:
            db.session.remove()
            db.engine.dispose()
            services_of(app).close()


def _operator() -> str:
    """Return the operator for the journal: the real user id of the process, and the user who became root by sudo.

    User names in the environment are not read, since users can set them. `SUDO_UID` is read only if the process runs as
    root, since any other user can set it.
    """
    uid = os.getuid()
    sudo_uid = os.environ.get("SUDO_UID", "")
    if uid == 0 and sudo_uid.isascii() and sudo_uid.isdigit() and int(sudo_uid) <= _MAX_UID:
        return f"{_user(uid)} via sudo from {_user(int(sudo_uid))}"
    return _user(uid)


def _user(uid: int) -> str:
    """Return a user id with its name, such as `uid 1000 (anne)`."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
    return f"uid {uid} ({name[:_MAX_USER_NAME]})"


def _note_settings(settings: Settings) -> None:
    """Journal the settings that changed since the last start of the service."""
    with _application(settings):
        noted_settings.note(settings)


def _in_application(command: click.Command, *, notes_settings: bool = False) -> click.Command:
    """Return `command` with each leaf run in an application, created when it runs: `--help` needs no settings."""
    wrapped = copy.copy(command)
    if isinstance(wrapped, click.Group):
        wrapped.commands = {name: _in_application(part) for name, part in wrapped.commands.items()}
        return wrapped
    callback: Callable[..., Any] | None = command.callback

    def run(*args: Any, **kwargs: Any) -> Any:
        with _application() as app:
            if notes_settings:
                noted_settings.note(services_of(app).settings)
            return callback(*args, **kwargs) if callback else None

    wrapped.callback = run
    return wrapped


@click.group()
@click.version_option(__version__, prog_name="idp")
def cli() -> None:
    """Scolarité Services: an OpenID Connect identity provider for French school sites."""


@cli.group("config")
def _config() -> None:
    """Check the settings."""


@_config.command("check")
def _check() -> None:
    """Show all settings that can be read, with secrets hidden, and all errors."""
    try:
        load()
    except ConfigurationError as error:
        raise _faults_exception(_all_faults(error)) from None
    settings = _settings()
    _show(settings)
    if not settings.trusted_proxies:
        _check_proxies(settings)
    if faults := production_faults(settings):
        raise _faults_exception(faults)


def _all_faults(error: ConfigurationError) -> Iterator[str]:
    """Show the settings that can be read; yield all faults, with those for production."""
    yield from error.faults
    if error.readable is not None:
        _show(error.readable, error.wrong)
        known = {fault.partition(": ")[0] for fault in error.faults}
        for fault in production_faults(error.readable):
            if not concerns(fault, error.wrong) and fault.partition(": ")[0] not in known:
                yield fault


def _show(settings: Settings, wrong: frozenset[str] = frozenset()) -> None:
    for name, value in settings.rows():
        if name.removeprefix(PREFIX).lower() not in wrong:
            click.echo(f"{name} = {value}")


def _check_proxies(settings: Settings) -> None:
    """Warn if the service ignored forwarded headers in the last week."""
    try:
        if None in schema.current(settings):
            return  # there are no tables yet
        with _application():
            was_noticed = proxies.was_noticed()
    except (SQLAlchemyError, OSError, CommandError):
        click.echo("Note: the database does not answer, so that undeclared proxies cannot be detected.", err=True)
        return
    if was_noticed:
        click.echo(
            "Warning: IDP_TRUSTED_PROXIES is 0, but requests of the last week had forwarded headers, which are "
            "ignored. If there is a proxy, set it to the number of proxies. Without this, all parents have the proxy's "
            "IP and share its rate limits.",
            err=True,
        )


cli.add_command(schema.commands(_settings))
cli.add_command(serving.command(_production_settings, create_app, _note_settings))
client.add_command(try_client)
audit.add_command(verify)
audit.add_command(export)
school.add_command(notices)
for _part in (client, keys_group, charter, roster, school, letters, account, passwords, audit, purge, outbox):
    cli.add_command(_in_application(_part))
cli.add_command(_in_application(worker, notes_settings=True))
if DEMO.is_file():  # a wheel does not have the demonstration
    cli.add_command(import_module("demo.commands").command())


def main() -> None:
    """Run the command. Errors of the database and of files are one message, not a trace."""
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
        _discard_output()
        click.echo(f"Error: {fault.strerror or type(fault).__name__}: a file could not be read or written.", err=True)
        raise SystemExit(1) from None


def _discard_output() -> None:
    """Discard buffered output: Python would try to write it at exit, and print a trace."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_text(argument: str) -> bool:
    """Return whether an argument is UTF-8."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _advice(error: SQLAlchemyError) -> str:
    """Return the probable remedy. The driver's message is not shown, since it may have personal data."""
    message = str(getattr(error, "orig", "")).lower()
    if isinstance(error, ProgrammingError) or "no such table" in message or "no such column" in message:
        return ": run `idp db upgrade` to create its tables."
    if "locked" in message or "lock timeout" in message:
        return ": it is locked, try again."
    if "disk" in message or "too large" in message or "no space" in message:
        return ": its disk may be full."
    return ": check IDP_DATABASE_URL, and that the database runs."
