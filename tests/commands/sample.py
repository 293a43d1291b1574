"""Valid arguments for every `idp` command, derived from its declaration, so that a new command is tested too."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import click

from idp.cli import cli

APART = {
    ("serve",): "runs on, and without a database too: /readyz says so",
    ("desk", "serve"): "the same, for the desk",
    ("demo",): "makes a database of its own",
    ("config", "check"): "asks no database",
    ("doctor",): "reports it with all else: tests/commands/test_doctor.py",
    ("mail", "test"): "asks no database",
    ("dossier",): "asks no database: it tells of the settings",
}
_OTHERWISE = {
    ("worker",): ("--once",),
    ("client", "add"): ("ENT", "--uai", "0599001N", "--redirect-uri", "https://ent.test/cb"),
    ("client", "invite"): ("--uai", "0599001N"),
    ("outbox", "retry"): ("--dead",),
    ("outbox", "drop"): ("--dead",),
    ("letters", "print"): ("--username", "x", "--out", "letters.pdf"),
    ("school", "set"): ("0599001N", "--name", "x"),
    ("account", "find"): ("x",),
    ("account", "force-password-change"): ("--all", "--yes"),
}
_NAMED = {"redirect_uris": "https://ent.test/cb", "version": "1", "reason": "xxxx"}


def leaves(group: click.Group = cli, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from leaves(command, *path, name)
        else:
            yield (*path, name), command


def arguments(path: tuple[str, ...], command: click.Command, folder: Path) -> list[str]:
    """Return the arguments of `idp` for `command`; create the files that it reads in `folder`."""
    typed = list(path)
    if path in {("roster", "check"), ("roster", "import")}:
        return [*typed, _families(folder), "--school", "0599001N"]
    if path in _OTHERWISE:
        return [*typed, *_OTHERWISE[path]]
    for parameter in command.params:
        if parameter.required:
            if isinstance(parameter, click.Option):
                typed.append(parameter.opts[0])
            typed.append(_value(parameter, folder))
    return typed


def _families(folder: Path) -> str:
    """Create a file with families: the import does not use the database for an empty file."""
    file = folder / "familles.csv"
    file.write_text("id;nom;prenom;nomenfant;prenomenfant;classeenfant\n1;LEROY;Anne;LEROY;Malo;6e 1\n", "utf-8")
    return str(file)


def _value(parameter: click.Parameter, folder: Path) -> str:
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return str(next(iter(kind.choices)))
    if isinstance(kind, click.Path) and not kind.exists:
        return str(folder / "made")
    if isinstance(kind, click.Path | click.File):
        file = folder / "file.md"
        file.write_text("# Texte\n", encoding="utf-8")
        return str(file)
    if kind is click.UUID:
        return str(uuid.uuid4())
    if kind is click.INT:
        return "1"
    return _NAMED.get(str(parameter.name), "x")
