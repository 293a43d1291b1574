"""`idp config` and `idp db`."""

from collections.abc import Iterator

import click

from idp import schema, secret_check
from idp.accounts.passwords.hasher import Hasher
from idp.audit import changes
from idp.cli import settings as command_settings
from idp.cli.application import opened
from idp.config import PREFIX, ConfigurationError, Settings, concerns, load
from idp.operations.checks import machine
from idp.operations.checks.settings import production_faults

db = schema.commands(command_settings.load)


@click.group("config")
def config() -> None:
    """Check the settings, and accept a new secret key when the former one is lost."""


@config.command()
def check() -> None:
    """Show all settings that can be read, with secrets hidden, all errors, and the rate of password hashes."""
    try:
        load()
    except ConfigurationError as error:
        raise command_settings.faults_exception(_all_faults(error)) from None
    settings = command_settings.load()
    _show(settings)
    click.echo(f"password hashes: {'; '.join(filter(None, machine.hash_rate(Hasher(settings))))}")
    if faults := production_faults(settings):
        raise command_settings.faults_exception(faults)


@config.command("accept-secret-key")
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept_secret_key(*, yes: bool) -> None:
    """Use the database with this IDP_SECRET_KEY from now on, because the former key is lost."""
    settings = command_settings.load()
    if secret_check.is_known(settings):
        click.echo("nothing to do: the database knows this key")
        return
    if not yes:
        click.confirm(
            "What the former key signed or encrypted cannot be read any more: signing keys, links of waiting mails,"
            " seals of the journal. Use the new key?",
            abort=True,
            err=True,
        )
    with opened(settings):
        changes.note_settings(settings)
    if not secret_check.is_known(settings):
        raise click.ClickException("the database did not take the key; nothing was changed")
    click.echo("The key is accepted. Replace each key that `idp keys list` calls sealed under a secret key that is not")
    click.echo("configured: idp keys retire KID --emergency")


def _all_faults(error: ConfigurationError) -> Iterator[str]:
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
