"""Output of commands: tables and JSON.

Names come from school files and user agents from browsers, so that terminal escape sequences must be escaped (O-02).
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
YES = click.option("--yes", is_flag=True, help="Do not ask. Without a terminal, nothing is asked.")
"""For a command that acts at once on the people or messages that it names; see `confirm`."""


def confirm(question: str, *, yes: bool) -> None:
    """Ask before an act, at a terminal, unless the option `--yes` was given.

    Raises:
        Abort: the answer is no.
    """
    if not yes and sys.stdin.isatty():
        click.confirm(plain(question), abort=True, err=True)


def plain(text: object) -> str:
    r"""Return `text` on one line, with control, direction and invisible characters escaped (`\x1b`)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def instant(moment: datetime | None) -> str | None:
    """Return an instant in the format of all commands: ISO 8601, UTC, seconds."""
    return moment.isoformat(timespec="seconds") if moment else None


def dumped(value: Any) -> str:
    """Return `value` as JSON in ASCII, so that no name has an escape sequence."""
    return json.dumps(value, indent=2)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print `rows` in aligned columns under `head`. All rows are in memory."""
    lines = [list(head), *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def records(names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Print the values of these names in each row, under the names; an empty value leaves its cell empty."""
    table(names, [[row[name] or "" for name in names] for row in rows])


def members(shown: dict[str, Any], texts: Callable[[Any], Iterable[object]], *, as_json: bool) -> None:
    """Print an object as JSON, or as lines `name: text`; `texts` returns the texts of a value."""
    if as_json:
        click.echo(dumped(shown))
        return
    for name, value in shown.items():
        for text in texts(value):
            click.echo(f"{name}: {plain(text)}")
