"""The `idp` command, with the commands of all packages.

Exit codes: 0 success, 1 refused or failed, 2 wrong usage. Errors are one message on stderr.

The module of a command is imported when the command is called. Otherwise, `idp --help` and the parent process of
`idp serve` would import the whole application, which takes a second and 100 MiB.
"""

import gc
import os
import sys
from collections import UserDict
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import click

from idp import __version__
from idp.paths import DEMO


class Entry(NamedTuple):
    """Where a command is defined.

    Attributes:
        home: the module and the name of the command, or of a function that returns it.
        help: the first sentence of the command's help.
        in_application: whether the command runs in an application.
        notes_settings: whether it is a start of the service, at which changed settings are journaled.
        takes_any_key: whether it runs with a secret key that is not the database's, and says itself what that key
            does not read. Other commands in an application refuse one: what they encrypt or sign, no node could read.
    """

    home: str
    help: str
    in_application: bool = True
    notes_settings: bool = False
    takes_any_key: bool = False


ENTRIES = {
    "account": Entry(
        "idp.cli.account:account",
        "People's accounts: find and show them, enable and reopen, export and erase them.",
    ),
    "audit": Entry(
        "idp.operations.audit_commands:audit",
        "Show, check and export the journal: who did what, when, from where, with what result.",
        takes_any_key=True,
    ),
    "charter": Entry("idp.charter.commands:charter", "Charters of the ENTs: what parents accept before they enter."),
    "client": Entry("idp.cli.client:client", "ENTs that may ask who signs in."),
    "config": Entry(
        "idp.cli.config:config",
        "Check the settings, and accept a new secret key when the former one is lost.",
        in_application=False,
    ),
    "db": Entry("idp.cli.config:db", "Manage the tables of the database.", in_application=False),
    "desk": Entry(
        "idp.cli.serve:desk",
        "Serve the school desk: the pages for schools, operators of ENTs and the académie.",
        in_application=False,
    ),
    "doctor": Entry(
        "idp.operations.checks.commands:doctor",
        "Check all that the service needs; exit 1 on a fault.",
        takes_any_key=True,
    ),
    "dossier": Entry(
        "idp.dossier:dossier",
        "Write the file that a buyer or a data protection officer asks for, in French, from the running configuration.",
    ),
    "keys": Entry(
        "idp.oidc.keys.commands:keys_group", "Keys that sign ID tokens and logout tokens.", takes_any_key=True
    ),
    "letters": Entry(
        "idp.cli.letters:letters",
        "Letters that schools hand out: an identifier and a provisional password on paper.",
    ),
    "mail": Entry("idp.operations.checks.commands:mail_group", "Try the mail server."),
    "outbox": Entry(
        "idp.operations.outbox_commands:outbox", "Outgoing messages: list them, retry or drop those that failed."
    ),
    "passwords": Entry(
        "idp.operations.password_commands:passwords",
        "Stolen passwords: they are refused at a sign-in and as a new password.",
    ),
    "purge": Entry(
        "idp.operations.purge.commands:purge",
        "Remove expired links, sessions, messages, old events and unused accounts.",
    ),
    "roster": Entry("idp.rostering.commands:roster", "Import school files: AAF, SIECLE, ONDE, CSV."),
    "school": Entry(
        "idp.rostering.commands:school",
        "List schools, and change what files do not say about them.",
    ),
    "serve": Entry("idp.cli.serve:serve", "Serve pages and protocol endpoints.", in_application=False),
    "staff": Entry(
        "idp.cli.staff:staff",
        "People of the school desk: invite the first ones, end an access, give a lost access back.",
    ),
    "worker": Entry(
        "idp.outbox.commands:worker",
        "Deliver the messages of the outbox and run the periodic jobs, until SIGTERM or Ctrl-C.",
        notes_settings=True,
    ),
}
if DEMO.is_file():  # a wheel does not have the demonstration
    ENTRIES["demo"] = Entry(
        "demo.commands:command",
        "Run the service, two ENTs, the mail worker and a mailbox with invented families, until Ctrl-C.",
        in_application=False,
    )


SECTIONS = {
    "Run the service": ("serve", "desk", "worker", "purge", "demo"),
    "Set up and watch": ("config", "db", "doctor", "mail", "keys", "outbox", "audit", "dossier"),
    "Schools and letters": ("roster", "school", "letters"),
    "People": ("account", "passwords", "staff"),
    "ENTs": ("client", "charter"),
}
"""The commands in the order of `idp --help`."""
_WHOLE = 200  # characters of the longest first sentence of a help


class _Commands(UserDict[str, Any]):
    """Commands by name. A command is imported when it is looked up for the first time."""

    def __getitem__(self, name: str) -> click.Command:
        known = super().__getitem__(name)
        if isinstance(known, Entry):
            known = self[name] = _command(known)
        assert isinstance(known, click.Command)  # noqa: S101 - a mistake in the table
        return known


class _Group(click.Group):
    """The group of all commands, whose help imports none of them."""

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by what they are for."""
        width = max(map(len, ENTRIES))
        for title, names in SECTIONS.items():
            with formatter.section(title):
                listed = [(name.ljust(width), ENTRIES[name].help) for name in names if name in ENTRIES]
                formatter.write_dl(listed)


def _write_whole_helps(group: click.Group) -> None:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            _write_whole_helps(command)

    def format_commands(_context: click.Context, formatter: click.HelpFormatter) -> None:
        shown = {name: command for name, command in sorted(group.commands.items()) if not command.hidden}
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(_WHOLE)) for name, command in shown.items()])

    group.format_commands = format_commands  # type: ignore[method-assign, assignment]


def _command(entry: Entry) -> click.Command:
    # Imported modules are not garbage: looking for garbage among them would add a sixth to the time.
    gc.disable()
    try:
        command = _imported(entry.home)
        if isinstance(command, click.Group):
            _write_whole_helps(command)
        if entry.in_application:
            from idp.cli import application  # noqa: PLC0415 - as the commands

            command = application.in_application(
                command, notes_settings=entry.notes_settings, takes_any_key=entry.takes_any_key
            )
    finally:
        gc.enable()
    return command


def _imported(home: str) -> click.Command:
    module, _, name = home.partition(":")
    value = getattr(import_module(module), name)
    command: click.Command = value if isinstance(value, click.Command) else value()
    return command


@click.group(cls=_Group, commands=_Commands(ENTRIES))
@click.version_option(__version__, prog_name="idp")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read settings from a file of KEY=VALUE, as systemd does. They replace those of the environment.",
)
def cli(env_file: Path | None) -> None:
    """Scolarité Services: an OpenID Connect identity provider for French school sites."""
    from idp import logging as log_lines  # noqa: PLC0415 - `--help` needs none

    log_lines.configure()
    if env_file is not None:
        from idp.cli import environment_file  # noqa: PLC0415 - as above

        environment_file.load(env_file)


def main() -> None:
    """Run the command. Errors of the database and of files are one message, not a trace."""
    if not all(_is_text(argument) for argument in sys.argv[1:]):
        click.echo("Error: an argument is not UTF-8 text.", err=True)
        raise SystemExit(2)
    try:
        cli.main(prog_name="idp")
    except OSError as fault:
        _discard_output()
        click.echo(f"Error: {fault.strerror or type(fault).__name__}: a file could not be read or written.", err=True)
        raise SystemExit(1) from None
    except Exception as error:
        from idp import database_faults  # noqa: PLC0415 - as the commands

        if not (message := database_faults.message(error)):
            raise
        click.echo(f"Error: {message}", err=True)
        raise SystemExit(1) from None


def _discard_output() -> None:
    """Discard buffered output: Python would try to write it at exit, and print a trace."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True
