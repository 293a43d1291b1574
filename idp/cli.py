"""The `idp` command: assembles each slice's commands. Exit 0 is done, 1 refused or failed, 2 wrong usage; one
sentence on stderr."""

import getpass
import os
import sys
from collections.abc import Callable
from typing import Any

import click
from sqlalchemy.exc import OperationalError, ProgrammingError

from idp import __version__, schema, serving
from idp import logging as log_lines
from idp.app import create_app
from idp.audit import log
from idp.charter.commands import charter
from idp.config import ConfigurationError, Settings, load
from idp.demo import commands as demo
from idp.oidc.commands import client, keys_group
from idp.outbox.commands import outbox, worker


class _Lazy(click.Group):
    """`idp`: commands are made when they are asked for, so that `--help` and `config check` need no valid settings."""

    _plain = ("config", "db", "serve", "demo")
    _in_app: dict[str, click.Command] = {  # noqa: RUF012 - never changed
        "client": client,
        "keys": keys_group,
        "charter": charter,
        "worker": worker,
        "outbox": outbox,
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted((*super().list_commands(ctx), *self._plain, *self._in_app))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "config":
            return _config
        if cmd_name == "demo":
            return demo.command(create_app, lambda settings: schema.upgrade(settings) and None)
        makers: dict[str, Callable[[Settings], click.Command]] = {
            "db": schema.commands,
            "serve": lambda settings: serving.command(settings, create_app),
        }
        if cmd_name in makers:
            return makers[cmd_name](_settings(ctx))
        return self._in_app.get(cmd_name) or super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        name = ctx._protected_args[0] if ctx._protected_args else ""  # noqa: SLF001 - click has no public name for it
        wants_help = "--help" in sys.argv[1:]
        if name not in self._in_app or wants_help:
            return super().invoke(ctx)
        app = create_app(_settings(ctx))
        with app.app_context():
            log.set_origin(log.Origin(actor=_operator()))
            return super().invoke(ctx)


def _settings(ctx: click.Context) -> Settings:
    if "--help" in sys.argv[1:]:
        return Settings.model_construct(database_url="sqlite:///:memory:", issuer="https://localhost")
    if ctx.obj is None:
        try:
            ctx.obj = load()
        except ConfigurationError as error:
            raise click.ClickException("the settings cannot be used:\n" + "\n".join(error.faults)) from None
    settings: Settings = ctx.obj
    return settings


def _operator() -> str:
    """Return who runs the command, as the machine knows them."""
    try:
        return getpass.getuser()[:80]
    except (KeyError, OSError):
        return str(os.getuid())


@click.group(cls=_Lazy)
@click.version_option(__version__, prog_name="idp")
def cli() -> None:
    """Scolarité Services: an OpenID Connect identity provider for French school sites."""


@click.group("config")
def _config() -> None:
    """The settings."""


@_config.command("check")
def _check() -> None:
    """Show every setting, secrets hidden, and all errors at once."""
    try:
        settings = load()
    except ConfigurationError as error:
        raise click.ClickException("the settings cannot be used:\n" + "\n".join(error.faults)) from None
    for name, value in settings.rows():
        click.echo(f"{name} = {value}")


def main() -> None:
    """Run the command; a database that fails is one sentence, not a trace."""
    log_lines.configure()
    try:
        cli.main(prog_name="idp")
    except (OperationalError, ProgrammingError) as error:
        click.echo(f"Error: the database cannot be used ({type(error).__name__}): is `idp db upgrade` done?", err=True)
        raise SystemExit(1) from None
