"""The `--reason` option of commands, which the journal stores."""

import click

_LONGEST = 200


def check_reason(_ctx: click.Context, _option: click.Parameter, typed: str) -> str:
    """Return the typed reason as one line.

    Raises:
        click.BadParameter: the reason is empty, too long, or not printable.
    """
    reason = " ".join(typed.split())
    if not reason or not reason.isprintable() or len(reason) > _LONGEST:
        raise click.BadParameter(f"must have 1 to {_LONGEST} printable characters")
    return reason
