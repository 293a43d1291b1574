"""The `idp` command: assembles each slice's commands.

Exit 0 is done, 1 refused or failed, 2 wrong usage; what went wrong is one sentence on stderr.
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

_LAST_UID = 2**32 - 2
_LONGEST_USER_NAME = 20
"""Two of them and their numbers fit into the journal's column of 80 characters."""


def _settings() -> Settings:
    try:
        settings = load()
    except ConfigurationError as error:
        raise _unusable(error.faults) from None
    log_lines.configure(settings.log_level)
    return settings.model_copy(update={"database_url": _from_here(settings.database_url)})


def _unusable(faults: Iterable[str]) -> click.ClickException:
    return click.ClickException("\n".join(("the settings cannot be used:", *faults)))


def _production_settings() -> Settings:
    """Return the settings, if real families may be served with them."""
    settings = _settings()
    if faults := production_faults(settings):
        raise _unusable(faults)
    return settings


def _from_here(database_url: str) -> str:
    """Return the address with a SQLite path made absolute: Flask's extension would look for it in another folder."""
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return database_url
    return url.set(database=str(Path(url.database).absolute())).render_as_string(hide_password=False)


@contextmanager
def _application(settings: Settings | None = None) -> Iterator[Flask]:
    """Open the application for one command, and leave no connection behind."""
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
    """Return who runs the command: the real user id of the process, and who became root by sudo.

    Names in the environment are not read, since everybody sets their own. `SUDO_UID` is read only when the process runs
    as root: any other user could have set it.
    """
    uid = os.getuid()
    by_sudo = os.environ.get("SUDO_UID", "")
    if uid == 0 and by_sudo.isascii() and by_sudo.isdigit() and int(by_sudo) <= _LAST_UID:
        return f"{_user(uid)} via sudo from {_user(int(by_sudo))}"
    return _user(uid)


def _user(uid: int) -> str:
    """Return a user id, with the name that the machine gives it, such as `uid 1000 (anne)`."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
    return f"uid {uid} ({name[:_LONGEST_USER_NAME]})"


def _note_settings(settings: Settings) -> None:
    """Record in the journal which settings changed since the service was started last."""
    with _application(settings):
        noted_settings.note(settings)


def _in_application(command: click.Command, *, notes_settings: bool = False) -> click.Command:
    """Return `command` with every leaf run inside the application, made when it runs: `--help` needs no settings."""
    made = copy.copy(command)
    if isinstance(made, click.Group):
        made.commands = {name: _in_application(part) for name, part in made.commands.items()}
        return made
    act: Callable[..., Any] | None = command.callback

    def run(*args: Any, **kwargs: Any) -> Any:
        with _application() as app:
            if notes_settings:
                noted_settings.note(services_of(app).settings)
            return act(*args, **kwargs) if act else None

    made.callback = run
    return made


@click.group()
@click.version_option(__version__, prog_name="idp")
def cli() -> None:
    """Scolarité Services: an OpenID Connect identity provider for French school sites."""


@cli.group("config")
def _config() -> None:
    """The settings."""


@_config.command("check")
def _check() -> None:
    """Show every setting that can be read, secrets hidden, and all errors at once."""
    try:
        load()
    except ConfigurationError as error:
        raise _unusable(_all_faults(error)) from None
    settings = _settings()
    _show(settings)
    if not settings.trusted_proxies:
        _check_proxies(settings)
    if faults := production_faults(settings):
        raise _unusable(faults)


def _all_faults(error: ConfigurationError) -> Iterator[str]:
    """Show what can be read of settings that cannot be used; yield all faults, those of a real installation too."""
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
    """Return whether the running service sees forwarded headers that it ignores, as far as the database knows."""
    try:
        if None in schema.current(settings):
            return  # there are no tables yet, so nobody was served
        with _application():
            noticed = proxies.was_noticed()
    except (SQLAlchemyError, OSError, CommandError):
        click.echo("Note: the database does not answer, so proxies in front were not looked for.", err=True)
        return
    if noticed:
        click.echo(
            "Warning: IDP_TRUSTED_PROXIES is 0, but requests of this week came with forwarded headers, which are "
            "ignored. If a proxy stands in front, say how many: else all parents share its IP, and its limits.",
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
if DEMO.is_dir():  # the demonstration is in the repository alone: a wheel has no `idp demo`
    cli.add_command(import_module("demo.commands").command())


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
    """Return whether bytes of the command line were text: what is stored and printed must be."""
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
