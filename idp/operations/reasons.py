"""Reasons that the journal stores: their length, and the `--reason` option of commands."""

import click

SHORTEST = 4  # fewer characters say nothing: « ok »
LONGEST = 200


def check_reason(_ctx: click.Context, _option: click.Parameter, typed: str) -> str:
    """Return the typed reason as one line.

    Raises:
        click.BadParameter: the reason is too short, too long, or not printable.
    """
    reason = " ".join(typed.split())
    if not reason.isprintable() or not SHORTEST <= len(reason) <= LONGEST:
        raise click.BadParameter(f"must have {SHORTEST} to {LONGEST} printable characters")
    return reason


REASON = click.option(
    "--reason", required=True, callback=check_reason, metavar="TEXT", help="Why; the journal keeps it."
)
