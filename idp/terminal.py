"""What a command writes for an operator: tables for eyes, JSON for programs, neither of which moves the cursor.

Names come from school files and addresses from browsers: what a terminal would obey is shown, not done (O-02).
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import click

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def plain(text: object) -> str:
    r"""Return `text` on one line; control, direction and invisible characters stand as their escapes (`\x1b`)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def instant(moment: datetime | None) -> str | None:
    """Return a time as all commands show it: ISO 8601, UTC, seconds."""
    return moment.isoformat(timespec="seconds") if moment else None


def dumped(value: Any) -> str:
    """Return `value` as JSON in ASCII: no reader can take a part of a name for an order."""
    return json.dumps(value, indent=2)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print `rows` under `head`, in columns; all are held in memory, so give it few."""
    lines = [list(head), *([plain(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def members(shown: dict[str, Any], texts: Callable[[Any], Iterable[object]], *, as_json: bool) -> None:
    """Print one object: as JSON, or `name: text`, a line for each of the texts that a member's value takes."""
    if as_json:
        click.echo(dumped(shown))
        return
    for name, value in shown.items():
        for text in texts(value):
            click.echo(f"{name}: {plain(text)}")
